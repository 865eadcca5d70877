"""SAMN's appearance memory: cells of the first frame, of every few since, and of the last."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import LARGEST, Given, outside
from memtrack_ros.nets.transfer import carried

EVERY = 5  # sampling interval of the frames that stay


class AppearanceMemory(Bank):
    """Keys (K, capacity * cells) and values (V, capacity * cells) of the cells of frames.

    All cells of all frames stored are read. The first frame and the newest are always stored; of
    the others one in `every` stays once it is no longer the newest. That is the paper; it knows no
    bound. When full, the oldest but the first makes room. Unless it `keeps_first`, the first frame
    goes with the third, as in the authors' code, and the oldest of all when full.
    """

    kept = (*Bank.kept, '_keys', '_values', '_numbers')

    def __init__(
        self,
        capacity: int,
        keys: int,
        values: int,
        cells: int,
        *,
        max_bytes: int,
        device: torch.device,
        every: int = EVERY,
        keeps_first: bool = True,
        last: bool = True,
    ) -> None:
        """Allocate all, for frames of so many `cells` with keys and values of so many channels."""
        super().__init__(capacity, capacity * cells * (keys + values) * 4, max_bytes)
        self.every, self.keeps_first, self.last = every, keeps_first, last
        # A cell's channels lie side by side, as they are read.
        self._keys, self._values = (
            torch.zeros(capacity, cells, channels, device=device).permute(2, 0, 1)
            for channels in (keys, values)
        )
        # Of the frame in every slot, counted from 1 in the order of writing; 0 in an empty one.
        self._numbers: NDArray[np.int64] = np.zeros(capacity, np.int64)

    def faults(self, given: Given) -> Iterator[str]:
        """Each slot has a frame of its own; the first and the newest are among them."""
        yield from super().faults(given)
        yield from outside(given, '_keys', -LARGEST, LARGEST)
        yield from outside(given, '_values', -LARGEST, LARGEST)
        yield from outside(given, '_numbers', 0, given['writes'])
        stored = given['_numbers'][given['_numbers'] > 0]
        if len(np.unique(stored)) < len(stored):
            yield '_numbers holds a frame twice'
        for number in (1, given['writes'])[not self.keeps_first :]:
            if number not in stored:
                yield f'_numbers lacks frame {number}'

    @property
    def entries(self) -> int:
        """Frames stored."""
        return int(np.count_nonzero(self._numbers))

    def clear(self) -> None:
        """Forget all frames."""
        self._numbers = np.zeros_like(self._numbers)
        self.writes = self.refused = 0

    def write(self, key: Tensor, value: Tensor) -> None:
        """Store the newest frame's key (K, h, w) and value (V, h, w); refused when frozen."""
        if self.frozen:
            self.refuse()
            return
        slot = self._free()
        self._keys[:, slot] = key.flatten(1)
        self._values[:, slot] = value.flatten(1)
        self.writes += 1
        self._numbers[slot] = self.writes

    def held(self) -> NDArray[np.int64]:
        """Numbers of the frames stored, in the order of their cells in a read."""
        return self._numbers[self._numbers > 0]

    def stored(self) -> NDArray[np.int64]:
        """Numbers (from 1, in the order of writing) of the frames that are read.

        All that are stored; but without the `last` one if that is not to be, and not the only one.
        """
        stored = np.sort(self._numbers[self._numbers > 0])
        return stored if self.last or len(stored) == 1 else stored[:-1]

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """Keys (1, K, M), values (1, V, M) and which of the M cells are in use, bool (1, M).

        The shapes never change. Raises ValueError when nothing was written yet.
        """
        if not self.writes:
            raise ValueError('The memory bank is empty; write a frame before reading.')
        used = carried(np.isin(self._numbers, self.stored()), self._keys.device)
        valid = used[:, None].expand(self._keys.shape[1:])
        return self._keys.flatten(1)[None], self._values.flatten(1)[None], valid.reshape(1, -1)

    def _free(self) -> int:
        """The slot for the next frame."""
        newest = int(self._numbers.argmax())
        stays = self.writes % self.every == 0 or (self.keeps_first and self.writes == 1)
        if self.writes and not stays:
            return newest
        empty = np.flatnonzero(self._numbers == 0)
        if len(empty):
            return int(empty[0])
        # The first is the lowest number of all: the next lowest is the oldest but it.
        return int(self._numbers.argsort()[int(self.keeps_first)])
