"""How SAMN and CMEDFL follow a target with the correlation filter, frame by frame, as D3S does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.masks.colour import Singles
from memtrack_ros.memory import FilterSamples, Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.nets.correlation_filter import (
    Regularisation,
    fit_filter,
    fit_jointly,
    gaussian_labels,
    normalised_power,
    principal_components,
    project,
    respond,
    upsampled,
    windowed,
)
from memtrack_ros.nets.graphs import captured, graphs_on
from memtrack_ros.nets.transfer import carried
from memtrack_ros.trackers.search import SEARCH

HARD_RATE = 0.02  # learning rate of a sample in which something else answers, too
HARD_SHARE = 0.3  # of the peak: what answers as strongly elsewhere is a hard negative
NEIGHBOURHOOD = 2.2  # times the target's size around the peak belong to the target
ACCEPTED = 25  # peaks in the queue
SURE_FRAMES = 5  # first frames, in which every peak is accepted
UNSURE = 3.0  # uncertainty from which a peak is not
SIGMA = 0.25  # of a label, over the target's sqrt(w h)
LARGEST = 10.0  # magnitude in projection, filter and peaks: all are kept small
REGULARISATION = Regularisation()


class Augmentation(NamedTuple):
    """What is made of the first frame's crop besides itself.

    Shifts (x, y) in half sides of the crop, standard deviations of blurs (x, y) in pixels, turns in
    degrees; and it is mirrored.
    """

    shifts: tuple[tuple[float, float], ...]
    blurs: tuple[tuple[float, float], ...]
    turns: tuple[float, ...]


class FilterSettings(NamedTuple):
    """The filter of one variant."""

    side: int  # of the crop that it sees, pixels
    search: float  # side of that crop over the target's sqrt(w h)
    cells: int  # of a side of its feature map
    channels: int  # after projection
    kernel: int  # cells of a side of the filter
    capacity: int  # samples
    learning_rate: float
    steps: int  # of Gauss-Newton on the first frame
    step_iterations: int  # of conjugate gradients in each of them
    iterations: int  # of conjugate gradients when learning goes on
    every: int  # so many frames
    augmentation: Augmentation
    on: bool = True  # else the target is always taken to be where it was


# The 27 samples and the iterations that D3S, SAMN and CMEDFL were run with.
PAPER_FILTER = FilterSettings(
    side=256,
    search=4.5,
    cells=16,
    channels=64,
    kernel=4,
    capacity=250,
    learning_rate=0.0075,
    steps=6,
    step_iterations=10,
    iterations=5,
    every=10,
    augmentation=Augmentation(
        shifts=tuple((s * x, s * y) for s in (0.25, 0.75) for x in (1, -1) for y in (1, -1)),
        blurs=((0.2, 2), (2, 0.2), (1, 3), (3, 1), (2, 2)),
        turns=(5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60),
    ),
)

# The same in small: the crop and the stride-8 cells that the compact trackers segment.
COMPACT_FILTER = FilterSettings(
    side=192,
    search=SEARCH,
    cells=24,
    channels=32,
    kernel=4,
    capacity=50,
    learning_rate=0.02,
    steps=4,
    step_iterations=6,
    iterations=5,
    every=10,
    augmentation=Augmentation(
        shifts=tuple((0.25 * x, 0.25 * y) for y in (1, -1) for x in (1, -1)),
        blurs=((2, 2),),
        turns=(10, -10, 30, -30),
    ),
)


@dataclass(frozen=True)
class Peak:
    """Where the filter answers most.

    `offset` (2,) x, y from the crop's middle, in crop pixels; `contested` where something away from
    there answers, too; `sample` (D, h, w) is what the filter saw.
    """

    value: float
    offset: Floats
    contested: bool
    sample: Tensor


class TargetFilter(Stateful):
    """Projection, filter and the peaks accepted lately; its samples are a bank of their own."""

    kept = ('_projection', '_filter', '_peaks', '_frames')
    longest: Mapping[str, int] = {'_peaks': ACCEPTED}

    def __init__(self, inputs: int, settings: FilterSettings, samples: FilterSamples) -> None:
        """Of feature maps with `inputs` channels."""
        device = samples.features.device
        self.settings, self.samples = settings, samples
        self.graphs = graphs_on(device)
        self._projection = torch.zeros(settings.channels, inputs, device=device)
        self._filter = torch.zeros(
            settings.channels, settings.kernel, settings.kernel, device=device
        )
        self._peaks: Floats = np.ones(1)
        self._frames = 0
        if self.graphs is not None:  # captured now: no frame that is followed waits for it
            self._bettered(samples.features, samples.labels, samples.weights, self._filter)

    def faults(self, given: Given) -> Iterator[str]:
        """All is as small as what keeps it so lets it be."""
        for name in ('_projection', '_filter', '_peaks'):
            yield from outside(given, name, -LARGEST, LARGEST)
        yield from outside(given, '_frames', 1, MOST)

    @torch.inference_mode()
    def begin(self, features: Tensor, offsets: ArrayLike) -> None:
        """Learn the first frame: features (N, C, h, w) of its crop and what was made of it.

        The target stands `offsets` (N, 2: x, y) crop pixels from the middle of each.
        """
        features = normalised_power(features.float())
        labels = self._labels(offsets)
        self.learn_first(features, labels)
        self.samples.begin(project(features, self._projection), labels)
        self._peaks, self._frames = np.ones(1), 1

    def learn_first(self, features: Tensor, labels: Tensor) -> None:
        """Find projection and filter for features (N, C, h, w) with labels (N, h, w)."""
        settings = self.settings
        fitted = fit_jointly(
            features,
            labels,
            features.new_full((len(features),), 1 / len(features)),
            principal_components(features, settings.channels),
            torch.zeros_like(self._filter),
            reg=REGULARISATION,
            steps=settings.steps,
            iterations=settings.step_iterations,
        )
        # Each in memory of its own: one that is bettered leaves nothing of itself with the other.
        self._projection, self._filter = (part.clone() for part in fitted)

    def learn_on(self) -> None:
        """Better the filter by the samples there are."""
        samples = self.samples
        self._filter = self._bettered(
            samples.features, samples.labels, samples.weights, self._filter
        )

    @torch.inference_mode()
    def locate(self, features: Tensor, size: Floats, *, central: bool = True) -> Peak:
        """The peak in features (1, C, h, w) of a crop that shows the target `size` (2,) large.

        Size w, h in crop pixels. `central` if the target is expected in the crop's middle.
        """
        sample = self._sampled(features, self._projection)[0]
        if not self.settings.on:
            return Peak(1.0, np.zeros(2), False, sample)
        return find_peak(self.scores(sample, central=central), size, sample)

    def scores(self, sample: Tensor, *, central: bool = True) -> NDArray[np.float32]:
        """What the filter answers to `sample` (D, h, w) for all pixels of its crop (S, S)."""
        fine = upsampled(self.response(sample), self.settings.kernel, self.settings.side)
        return np.asarray(windowed(fine, central=central).numpy(), np.float32)

    def response(self, sample: Tensor) -> Tensor:
        """What the filter answers to `sample` (D, h, w), cell by cell (h, w)."""
        return self._responded(sample[None], self._filter)[0]

    @property
    def sigma(self) -> float:
        """Standard deviation of a label, in cells."""
        return SIGMA * self.settings.cells / self.settings.search

    @property
    def young(self) -> bool:
        """Whether these are the first frames, in which every peak is accepted."""
        return self._frames < SURE_FRAMES

    @property
    def peaks(self) -> Floats:
        """Those accepted lately."""
        return self._peaks

    def uncertainty(self, peak: Peak) -> float:
        """How much lower this peak is than those accepted lately; 0 in the first frames.

        The authors' measure. SAMN's paper (eq. 9) has the peak's inverse instead, compared with the
        mean of the inverses.
        """
        if self.young:
            return 0.0
        return float(self._peaks.mean()) / max(peak.value, 1e-6)

    @torch.inference_mode()
    def remember(self, peak: Peak, offset: Floats) -> None:
        """Take in a frame whose target turned out to stand `offset` (2,) from the crop's middle.

        An uncertain one is no sample. The filter learns on every so many frames, and at once where
        something else answered, too.
        """
        if self.samples.frozen:
            self.samples.refuse()
            return
        if self.uncertainty(peak) < UNSURE:
            self._peaks = np.append(self._peaks, peak.value)[-ACCEPTED:]
            rate = HARD_RATE if peak.contested else None
            self.samples.write(peak.sample, self._labels(offset[None])[0], rate)
        else:
            self.samples.refuse()
        if peak.contested or self._frames % self.settings.every == 0:
            self.learn_on()
        self._frames += 1

    def _labels(self, offsets: ArrayLike) -> Tensor:
        """Labels (N, h, w) for offsets (N, 2) in crop pixels."""
        cells = np.asarray(offsets, np.float32) * (self.settings.cells / self.settings.side)
        labels = gaussian_labels(
            torch.from_numpy(cells),
            self.sigma,
            self.settings.cells,
            self.settings.cells,
            self.settings.kernel,
        )
        return carried(labels, self._filter.device)

    @captured
    def _sampled(self, features: Tensor, projection: Tensor) -> Tensor:
        return project(normalised_power(features.float()), projection)

    @captured
    def _responded(self, samples: Tensor, filt: Tensor) -> Tensor:
        return respond(samples, filt)

    @captured
    def _bettered(self, samples: Tensor, labels: Tensor, weights: Tensor, filt: Tensor) -> Tensor:
        return fit_filter(
            samples, labels, weights, filt, reg=REGULARISATION, iterations=self.settings.iterations
        )


def find_peak(scores: NDArray[np.float32], size: Floats, sample: Tensor) -> Peak:
    """The peak of `scores` (S, S), whose middle is at (S // 2, S // 2); target `size` (2,) w, h."""
    side = len(scores)
    place = np.unravel_index(int(scores.argmax()), scores.shape)
    value = float(scores[place])
    elsewhere = scores.copy()
    half = NEIGHBOURHOOD * size[::-1] / 2
    rows, columns = (
        slice(max(round(middle - reach), 0), max(round(middle + reach + 1), 0))
        for middle, reach in zip(map(int, place), half, strict=True)
    )
    elsewhere[rows, columns] = 0
    offset = np.array(place[::-1], float) - side // 2
    return Peak(value, offset, bool(elsewhere.max() > HARD_SHARE * value), sample)


def augmented(
    crop: NDArray[np.uint8] | Singles, augmentation: Augmentation
) -> tuple[list[NDArray[np.uint8] | Singles], Floats]:
    """Training crops (S, S, 3) from `crop` (2 S, 2 S, 3) and where their targets stand.

    The latter in crop pixels from the middle, (N, 2): x, y; the target is in the middle of `crop`.
    """
    side = crop.shape[0] // 2
    middle = ((2 * side - 1) / 2,) * 2

    def inner(image: NDArray[np.generic], shift: NDArray[np.int64]) -> NDArray[Any]:
        left, top = side // 2 - shift
        return np.asarray(image[top : top + side, left : left + side], crop.dtype)

    shifts = np.trunc(np.array([(0.0, 0.0), *augmentation.shifts]) * side / 2).astype(np.int64)
    images = [inner(crop, shift) for shift in shifts]
    changed: list[NDArray[np.generic]] = [cv2.flip(crop, 1)]
    for x, y in augmentation.blurs:
        extent = 2 * ceil(2 * x) + 1, 2 * ceil(2 * y) + 1
        changed.append(cv2.GaussianBlur(crop, extent, sigmaX=x, sigmaY=y))
    for degrees in augmentation.turns:
        turn = cv2.getRotationMatrix2D(middle, degrees, 1)
        changed.append(
            cv2.warpAffine(crop, turn, crop.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        )
    still = np.zeros(2, np.int64)
    images += [inner(image, still) for image in changed]
    return images, np.concatenate([shifts, np.zeros((len(changed), 2))])
