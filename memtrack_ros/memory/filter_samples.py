"""What the correlation filter learns from: samples with labels and weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import Given, outside
from memtrack_ros.nets.transfer import carried

FLOAT = 4  # bytes
STRONGEST = 1e3  # magnitude of features and labels; their mean squares are about one
ROUNDING = 1e-3  # by which the sum of the weights may differ from one


class FilterSamples(Bank):
    """Projected features (capacity, D, H, W), labels (capacity, H, W), weights that sum to one.

    The rule is ATOM's (Danelljan et al. 2019), as D3S runs it. The samples of the first frame start
    with equal weights. A new one takes the place of the lowest weight, which is 0 while there is
    room; it weighs 1 / (1 - learning rate) times as much as the one before it, so that older ones
    fade by the learning rate with every write. The very first that follows weighs the learning
    rate.
    """

    kept = (*Bank.kept, '_features', '_labels', '_weights', '_count', 'newest')

    def __init__(
        self,
        capacity: int,
        channels: int,
        cells: int,
        *,
        learning_rate: float,
        max_bytes: int,
        device: torch.device,
    ) -> None:
        """Allocate all, for feature maps of `channels` and `cells` x `cells`."""
        super().__init__(capacity, capacity * (channels + 1) * cells**2 * FLOAT, max_bytes)
        self.learning_rate = learning_rate
        self._features = torch.zeros(capacity, channels, cells, cells, device=device)
        self._labels = torch.zeros(capacity, cells, cells, device=device)
        self._weights: NDArray[np.float32] = np.zeros(capacity, np.float32)
        self._count = 0
        self.newest = -1  # slot of the newest sample; -1 before any followed the first frame's

    def faults(self, given: Given) -> Iterator[str]:
        """The slots before `_count`, and they alone, share a weight of one."""
        yield from super().faults(given)
        yield from outside(given, '_features', -STRONGEST, STRONGEST)
        yield from outside(given, '_labels', -STRONGEST, STRONGEST)
        yield from outside(given, '_weights', 0, 1)
        yield from outside(given, '_count', 1, self.capacity)
        yield from outside(given, 'newest', -1, given['_count'] - 1)
        weights, count, newest = given['_weights'], given['_count'], given['newest']
        if weights[count:].any():
            yield f'_weights holds more than the {count} samples of _count'
        if abs(total := float(weights.sum()) - 1) > ROUNDING:
            yield f'_weights sums up to {1 + total:g}, not 1'
        if newest >= 0 and not weights[newest]:
            yield f'_weights is 0 for newest, {newest}'

    @property
    def entries(self) -> int:
        """Samples stored."""
        return self._count

    @property
    def features(self) -> Tensor:
        """All slots (capacity, D, H, W); those without a sample weigh 0."""
        return self._features

    @property
    def labels(self) -> Tensor:
        """All slots' labels (capacity, H, W)."""
        return self._labels

    @property
    def weights(self) -> Tensor:
        """All slots' weights (capacity,), on the device of the features."""
        return carried(self._weights, self._features.device)

    def clear(self) -> None:
        """Forget all samples."""
        self._features.zero_()
        self._labels.zero_()
        self._weights = np.zeros_like(self._weights)
        self._count, self.newest = 0, -1
        self.writes = self.refused = 0

    def begin(self, features: Tensor, labels: Tensor) -> None:
        """Take the first frame's samples (N, D, H, W) with labels (N, H, W), N <= capacity."""
        self.clear()
        count = len(features)
        self._features[:count] = features
        self._labels[:count] = labels
        self._weights[:count] = 1 / count
        self._count = count
        self.writes = count

    def write(self, feature: Tensor, label: Tensor, learning_rate: float | None = None) -> None:
        """Store a sample (D, H, W) with its label (H, W); refused when frozen.

        `learning_rate` if it is not to count like any other.
        """
        if self.frozen:
            self.refuse()
            return
        keep = np.float32(1 - (learning_rate or self.learning_rate))
        slot = int(self._weights.argmin())
        if self.newest < 0:
            self._weights /= keep
            self._weights[slot] = 1 - keep
        else:
            self._weights[slot] = self._weights[self.newest] / keep
        self._weights /= self._weights.sum()
        self._features[slot] = feature
        self._labels[slot] = label
        self.newest = slot
        self._count = min(self._count + 1, self.capacity)
        self.writes += 1
