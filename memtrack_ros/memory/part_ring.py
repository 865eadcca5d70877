"""DMV's bank: the parts of the first frame and of the newest ones worth keeping."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import LARGEST, Given, outside

INTERVAL = 30  # frames that lie between two stored ones, at least, the later one counted


class PartRing(Bank):
    """Key and value maps of stored frames, (capacity, C, H, W) each: every cell is a part.

    The rule is the paper's (section 3.5): a frame is stored when the tracker is sure of it and it
    is `interval` frames after the last stored one; when all is full, the oldest goes, but never the
    first. The frames that count are those that the tracker saw: each was written or refused.
    """

    kept = (*Bank.kept, '_keys', '_values', '_newest')

    def __init__(
        self,
        capacity: int,
        channels: int,
        side: int,
        *,
        max_bytes: int,
        device: torch.device,
        interval: int = INTERVAL,
    ) -> None:
        """Allocate `capacity` key and value maps of `channels` on `side` x `side` cells."""
        super().__init__(capacity, 2 * capacity * channels * side**2 * 4, max_bytes)
        self.interval = interval
        self._keys = torch.zeros(capacity, channels, side, side, device=device)
        self._values = torch.zeros_like(self._keys)
        self._newest = 0  # number, from 1, of the newest stored frame among those seen

    def faults(self, given: Given) -> Iterator[str]:
        """The newest frame stored is one of those seen."""
        yield from super().faults(given)
        yield from outside(given, '_keys', -LARGEST, LARGEST)
        yield from outside(given, '_values', -LARGEST, LARGEST)
        yield from outside(given, '_newest', given['writes'], given['writes'] + given['refused'])

    @property
    def entries(self) -> int:
        """Frames stored."""
        return min(self.writes, self.capacity)

    def clear(self) -> None:
        """Forget all frames."""
        self.writes = self.refused = self._newest = 0

    def held(self) -> NDArray[np.int64]:
        """Numbers of the frames stored, in the order of a read: the first, then the ring."""
        slots = np.arange(self.entries)
        ring = max(self.capacity - 1, 1)
        return np.where(slots, self.writes - (self.writes - 1 - slots) % ring, 1)

    @property
    def due(self) -> bool:
        """Whether the frame seen now is to be stored."""
        number = self.writes + self.refused + 1
        return not self.frozen and self.capacity > 1 and number - self._newest >= self.interval

    def write(self, key: Tensor, value: Tensor) -> None:
        """Store the newest frame's maps, (C, H, W) each; refused when frozen."""
        if self.frozen:
            self.refuse()
            return
        slot = self.writes
        if slot >= self.capacity:
            slot = 1 + (slot - 1) % (self.capacity - 1)
        self._keys[slot] = key
        self._values[slot] = value
        self.writes += 1
        self._newest = self.writes + self.refused

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values (1, capacity, C, H, W) and which frames are in use, bool (1, capacity).

        The shapes never change. Raises ValueError when nothing was written yet.
        """
        if not self.writes:
            raise ValueError('The memory bank is empty; write a frame before reading.')
        used = torch.arange(self.capacity, device=self._keys.device) < self.entries
        return self._keys[None], self._values[None], used[None]
