"""STMTrack's bank: every frame's feature is kept, a few representative ones are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import LARGEST, MOST, Given, outside
from memtrack_ros.nets.transfer import carried

SEGMENTS = 4  # N of the paper is two more: the first, the last and one frame a segment


def representative_frames(count: int, segments: int = SEGMENTS) -> list[int]:
    """Numbers (from 1) of the frames to read after `count` were memorised, besides the last.

    The authors' rule: all while there are at most `segments`, then the first and the middle of each
    of so many equal segments. The last one is read besides these if its score was confident (so
    that of eight frames the last is read twice). Eq. 5 of the paper names frames to come.
    """
    if count <= segments:
        return list(range(1, count + 1))
    duration = count // segments
    return sorted({1} | {i * duration + duration // 2 + 1 for i in range(segments)})


class SampledFrames(Bank):
    """Features of memorised frames, (capacity, C, H * W), key and value at once.

    Below capacity the rule is the paper's. When full, every second frame is thinned out, and from
    then on only every second one stays once it is no longer the newest, and so on: what is stored
    is spread evenly over the whole stream, the first frame and the newest among it. A
    representative frame that is not stored is stood in for by the one nearest to it in time.
    """

    kept = (*Bank.kept, '_features', '_numbers', '_stride', '_last_score')

    def __init__(
        self,
        capacity: int,
        channels: int,
        cells: int,
        *,
        confident: float,
        segments: int = SEGMENTS,
        max_bytes: int,
        device: torch.device,
    ) -> None:
        """Allocate all; `confident` is the score above which the last frame is read."""
        super().__init__(capacity, capacity * channels * cells * 4, max_bytes)
        self.confident, self.segments = confident, segments
        self.most = segments + 2  # frames read
        # A cell's channels lie side by side, as they are read.
        self._features = torch.zeros(capacity, cells, channels, device=device).mT
        self._numbers: NDArray[np.int64] = np.empty(0, np.int64)
        self._stride = 1  # of the numbers of the frames that stay
        self._last_score = 0.0
        self.longest = {'_numbers': capacity}

    def faults(self, given: Given) -> Iterator[str]:
        """What is stored are the numbers of the stride, and the newest."""
        yield from super().faults(given)
        yield from outside(given, '_features', -LARGEST, LARGEST)
        yield from outside(given, '_last_score', 0, 1)
        yield from outside(given, '_stride', 1, MOST)
        stride, writes = given['_stride'], given['writes']
        if stride & stride - 1:
            yield f'_stride is {stride}, not a power of two'
        expected = np.unique(np.minimum(1 + stride * np.arange(self.capacity), writes))
        if expected[-1] != writes or not np.array_equal(given['_numbers'], expected):
            yield f'_numbers does not hold every number of stride {stride} up to {writes}'

    @property
    def entries(self) -> int:
        """Frames stored."""
        return len(self._numbers)

    def clear(self) -> None:
        """Forget all frames."""
        self._numbers = np.empty(0, np.int64)
        self._stride = 1
        self.writes = self.refused = 0

    def write(self, features: Tensor, score: float) -> None:
        """Store the newest frame's feature (C, H, W), found with `score`; refused when frozen."""
        if self.frozen:
            self.refuse()
            return
        if self.entries and (self._numbers[-1] - 1) % self._stride:
            self._numbers = self._numbers[:-1]
        if self.entries == self.capacity:
            self._thin_out()
        self._features[self.entries] = features.flatten(1)
        self.writes += 1
        self._numbers = np.append(self._numbers, self.writes)
        self._last_score = score

    def held(self) -> NDArray[np.int64]:
        """Numbers of the frames stored."""
        return self._numbers

    def selected(self) -> NDArray[np.int64]:
        """Numbers (from 1, in the order of writing) of the frames that a read uses now."""
        return self._numbers[self._slots()]

    def read(self) -> tuple[Tensor, Tensor]:
        """Memory cells (1, C, N * H * W) and which of them are in use, bool (1, N * H * W).

        N is the `most` frames that are read.

        The shapes never change. Raises ValueError when nothing was written yet.
        """
        slots = self._slots()
        if not len(slots):
            raise ValueError('The memory bank is empty; write a frame before reading.')
        padded = np.zeros(self.most, np.int64)
        padded[: len(slots)] = slots
        device = self._features.device
        chosen = self._features.mT[carried(padded, device)]
        used = torch.arange(self.most, device=device) < len(slots)
        return (
            chosen.flatten(0, 1).mT[None],
            used[:, None].expand(-1, chosen.shape[1]).reshape(1, -1),
        )

    def _slots(self) -> NDArray[np.int64]:
        """Places in the store of the frames nearest to the representative ones, then the last."""
        if not self.entries:
            return np.empty(0, np.int64)
        distance = np.abs(
            self._numbers[:, None] - np.array(representative_frames(self.writes, self.segments))
        )
        slots = np.unique(distance.argmin(0))
        read_last = self.writes > self.segments and self._last_score > self.confident
        return np.append(slots, self.entries - 1) if read_last else slots

    def _thin_out(self) -> None:
        self._stride *= 2
        keep = np.flatnonzero((self._numbers - 1) % self._stride == 0)
        kept = self._features[carried(keep, self._features.device)]
        self._features[: len(keep)] = kept
        self._numbers = self._numbers[keep]
