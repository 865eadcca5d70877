"""A judge's bank: single cells, those of the first frame and the newest."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import MOST, Given, outside

ROUNDING = 1e-3  # by which a value of a cell of one length may be beyond 1


class SeenCells(Bank):
    """Cells (C,) of one length: up to `first` of the first frame for good, `later` in a ring.

    Of a frame with more cells than there is room for, every so manyth is taken. A place not in use
    holds zeros, which are like nothing.
    """

    kept = (*Bank.kept, '_cells', '_first', '_later')

    def __init__(
        self, channels: int, first: int, later: int, *, max_bytes: int, device: torch.device
    ) -> None:
        """Allocate places for `first` + `later` cells of `channels`."""
        super().__init__(first + later, 4 * channels * (first + later), max_bytes)
        self._cells = torch.zeros(first + later, channels, device=device)
        self._room = first
        self._first = self._later = 0  # cells of the first frame; cells written since

    def faults(self, given: Given) -> Iterator[str]:
        """Cells have one length, and the first frame has no more than there is room for."""
        yield from super().faults(given)
        yield from outside(given, '_cells', -1 - ROUNDING, 1 + ROUNDING)
        yield from outside(given, '_first', 0, self._room)
        yield from outside(given, '_later', 0, MOST)

    @property
    def entries(self) -> int:
        """Cells in use."""
        return self._first + min(self._later, self.capacity - self._room)

    def clear(self) -> None:
        """Forget all cells."""
        self._cells.zero_()
        self.writes = self.refused = self._first = self._later = 0

    def begin(self, cells: Tensor) -> None:
        """Forget all; keep cells (N, C) of the first frame for good."""
        self.clear()
        kept = evenly(cells, self._room)
        self._first, self.writes = len(kept), 1
        self._cells[: len(kept)] = kept

    def write(self, cells: Tensor) -> None:
        """Keep cells (N, C) of the newest frame in place of the oldest; refused when frozen."""
        if self.frozen:
            self.refuse()
            return
        ring = self.capacity - self._room
        kept = evenly(cells, ring)
        free = self._cells[self._room :]
        first = self._later % ring
        before_end = min(len(kept), ring - first)
        free[first : first + before_end] = kept[:before_end]
        free[: len(kept) - before_end] = kept[before_end:]
        self._later += len(kept)
        self.writes += 1

    def read(self) -> Tensor:
        """All cells (capacity, C)."""
        return self._cells

    def of_first(self) -> Tensor:
        """Those of the first frame (N, C)."""
        return self._cells[: self._first]


def evenly(cells: Tensor, most: int) -> Tensor:
    """At most so many of the cells (N, C), evenly."""
    if len(cells) <= most:
        return cells
    return cells[torch.linspace(0, len(cells) - 1, most, device=cells.device).round().long()]
