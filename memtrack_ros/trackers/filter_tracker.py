"""How SAMN and CMEDFL follow a target: the filter finds it, what is remembered segments it there.

Both took this over from D3S (Lukezic et al., CVPR 2020).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.masks.guided import above_half, shares_along_edges
from memtrack_ros.memory import Bank, FilterSamples, JoinedBanks, Stateful
from memtrack_ros.nets.compact import CompactTrunk
from memtrack_ros.nets.transfer import carried, fetched
from memtrack_ros.trackers.looking import Look, LookingTracker
from memtrack_ros.trackers.observation import Observation, Prior, Sight, Target
from memtrack_ros.trackers.search import (
    LEAST_FILL,
    label_map,
    search_window,
    to_device,
)
from memtrack_ros.trackers.target_filter import FilterSettings, Peak, TargetFilter, augmented
from memtrack_ros.trackers.tracker import Tracker
from memtrack_ros.weights.files import Calibration

UNSEGMENTED = 10.0  # uncertainty from which nothing is learned from a segmentation
TARGET = 0.5  # probability above which a pixel is the target's
NEAR = 0.75  # of the target's sqrt(w h): what comes so near to the peak may be the target
SHRINKING, GROWING = 0.85, 1.18  # factor of a side of the compact trackers' box in one frame
SMALLEST = 3.0  # pixels, of a side of that box

Seen = TypeVar('Seen')
Maps = NDArray[np.float32]


class Appearance(Stateful, ABC, Generic[Seen]):
    """What a target looks like: segments it in a crop, and learns from what was segmented.

    Crops are (N, 3, S, S), RGB 0..255; `Seen` is what a network makes of them.
    """

    bank: Bank
    inputs: int  # channels of what the filter sees
    trunk: CompactTrunk | None = None  # what a compact network sees with
    rough_label: float = 1.0  # of a pixel in a rough outline, for the compact trackers

    @abstractmethod
    def see(self, crops: Tensor) -> Seen:
        """What the network makes of crops."""

    @abstractmethod
    def deep(self, seen: Seen) -> Tensor:
        """What the filter sees of them, (N, C, h, w)."""

    @abstractmethod
    def begin(self, seen: Seen, label: Tensor) -> None:
        """Forget all, learn the first frame: a crop with the target's mask (1, 1, S, S) in 0..1."""

    @abstractmethod
    def segment(self, seen: Seen, offset: Floats) -> Tensor:
        """Mask logits (1, 1, h, w) of a crop.

        The filter found the target `offset` (2,) x, y crop pixels from its middle.
        """

    @abstractmethod
    def write(self, seen: Seen, probability: Tensor) -> None:
        """Learn from a crop with the foreground's probability (1, 1, h, w) found in it."""

    @abstractmethod
    def reads(self, seen: Seen, window: Window, mask: Pixels) -> dict[int, float]:
        """What `Tracker.reads` says, of the window's crop in which the target has this mask."""


@dataclass(frozen=True)
class FilterObservation(Observation, Generic[Seen]):
    """An observation with what a write needs.

    The filter's peak in its window, and the segmented crop with the foreground's probability
    (1, 1, h, w).
    """

    peak: Peak
    window: Window
    seen: Seen
    probability: Tensor

    @property
    def segmented(self) -> Window:
        """The crop that was segmented."""
        return self.window


Found = TypeVar('Found', bound=FilterObservation[Any])
View = TypeVar('View')


class FilterTracker(Tracker[Found, View], Generic[Seen, Found, View]):
    """What the variants share: a filter, an appearance, and what is learned from a frame."""

    segments = True
    bank: JoinedBanks
    filter_kind: type[TargetFilter] = TargetFilter
    kept = (*Tracker.kept, 'appearance', 'filter')

    def __init__(
        self,
        name: str,
        appearance: Appearance[Seen],
        settings: FilterSettings,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
    ) -> None:
        """Allocate the filter's samples; ConfigurationError when the banks are over `max_bytes`."""
        super().__init__(calibration, device)
        self.name, self.appearance, self.trunk = name, appearance, appearance.trunk
        samples = FilterSamples(
            settings.capacity,
            settings.channels,
            settings.cells,
            learning_rate=settings.learning_rate,
            max_bytes=max_bytes,
            device=device,
        )
        self.bank = JoinedBanks(appearance.bank, samples, max_bytes)
        self.filter = self.filter_kind(appearance.inputs, settings, samples)

    def kept_to(self, found: Found, mask: Pixels, shares: Pixels) -> Found:
        """What is learned of the crop is less where others have a part in it."""
        assert found.shares is not None
        share = shares / np.maximum(found.shares, 1)
        left = np.asarray(np.rint(255 * share.clip(0, 1)), np.uint8)
        left[found.shares <= shares] = 255
        cells = found.segmented.in_cells(found.probability.shape[-1])
        told = carried(cut(left, cells, 255) / np.float32(255), self.device)
        return replace(found, mask=mask, shares=shares, probability=found.probability * told)

    @torch.inference_mode()
    def remember(self, frame: Pixels, found: Found) -> None:
        """Teach filter and appearance what was found, as far as the filter was sure."""
        if self.filter.uncertainty(found.peak) < UNSEGMENTED:
            self.appearance.write(found.seen, found.probability)
        else:
            self.appearance.bank.refuse()
        middle = [found.window.center_x, found.window.center_y]
        offset = (boxes.centre(found.box) - middle) / found.window.pitch
        self.filter.remember(found.peak, np.asarray(offset))

    def _see(self, crops: Sequence[Pixels | Maps]) -> Seen:
        return self.appearance.see(torch.cat([to_device(crop, self.device) for crop in crops]))

    def _label(self, mask: Maps) -> Tensor:
        return carried(mask, self.device)[None, None]

    def _begin_filter(self, wide: Pixels | Maps, offset: Floats) -> None:
        """Learn the first frame from a crop twice as wide as what the filter sees.

        The target stands `offset` (2,) crop pixels from its middle.
        """
        crops, offsets = augmented(wide, self.filter.settings.augmentation)
        self.filter.begin(self.appearance.deep(self._see(crops)), offsets + offset)

    def _at_peak(self, frame: Pixels, peak: Peak, window: Window, size: ArrayLike) -> Floats:
        """The box of this size at the filter's peak, its centre within the frame."""
        height, width = frame.shape[:2]
        place = np.array([window.center_x, window.center_y]) + peak.offset * window.pitch
        return boxes.from_centre(np.clip(place, 0, [width - 1, height - 1]), size)


@dataclass(frozen=True)
class CompactView(Generic[Seen]):
    """The search window of a target's first frame, and what the network makes of its crop."""

    window: Window
    seen: Seen


class CompactFilterTracker(
    FilterTracker[Seen, FilterObservation[Seen], CompactView[Seen]],
    LookingTracker[FilterObservation[Seen], CompactView[Seen]],
):
    """The compact variants: the filter and the segmentation look at one crop, seen once."""

    variant = 'compact'
    gated = True
    # Chosen on clips of held-out videos: what is remembered of a mask that ran astray is segmented
    # again, and the target with it.
    remembered = 0.85
    kept = (*FilterTracker.kept, 'identity')

    @torch.inference_mode()
    def view(self, frame: Pixels, box: Floats) -> CompactView[Seen]:
        """The search crop around the box; the filter is taught where the target is in it."""
        self.bank.clear()
        window, crop = self.show(frame, Prior(box))
        wide = Window.around(boxes.centre(box), window.pitch, 2 * window.side)
        self._begin_filter(cut(frame, wide, self.border), np.zeros(2))
        return CompactView(window, self._see([crop]))

    @torch.inference_mode()
    def begin(self, view: CompactView[Seen], target: Target) -> None:
        """Teach the appearance what the target looks like."""
        label = label_map(target.mask, view.window)
        if not target.exact:
            label = self.appearance.rough_label * label
        self.appearance.begin(view.seen, self._label(label))

    @torch.inference_mode()
    def reads(self, found: FilterObservation[Seen]) -> dict[int, float]:
        """What the appearance read to segment the target."""
        return self.appearance.reads(found.seen, found.window, found.mask)

    def show(self, frame: Pixels, prior: Prior) -> tuple[Window, Pixels]:
        """As all compact trackers search."""
        window = search_window(frame, prior.box, prior.search, self.filter.settings.side)
        return window, cut(frame, window, self.border)

    def see(self, crops: Tensor) -> Seen:
        """What filter and appearance need of crops."""
        return self.appearance.see(crops)

    @torch.inference_mode()
    def answer(self, frame: Pixels, prior: Prior, look: Look) -> FilterObservation[Seen]:
        """The filter's peak and the mask around it; the box is that of the mask's largest part."""
        window, crop, seen = look.window, look.crop, look.query
        size = prior.box[2:]
        peak = self.filter.locate(
            self.appearance.deep(seen), size / window.pitch, central=prior.usual
        )
        probability = self.appearance.segment(seen, peak.offset).float().sigmoid()
        picture = fetched(probability)[0, 0].numpy()
        box = self._at_peak(frame, peak, window, size)
        cells = window.in_cells(len(picture))
        place = cells.to_crop(boxes.centre(box))
        part = near_part(picture, place, NEAR * boxes.scale(box) / cells.pitch)
        score = agreement(peak.value, part)
        shares = shares_along_edges(part, window, frame, crop)
        mask = above_half(shares)
        if cv2.countNonZero(mask) >= LEAST_FILL * size.prod():
            found = np.array(cv2.boundingRect(mask), float)
            changed = np.clip(found[2:], SHRINKING * size, GROWING * size)
            # A mask that is hardly believed may have run into its surroundings.
            changed = size + self.calibration.confidence(score) * (changed - size)
            box = boxes.from_centre(boxes.centre(found), np.maximum(changed, SMALLEST))
        sight = Sight(window, self.appearance.deep(seen)[0]) if self.trunk else None
        return FilterObservation(
            score, box, mask, peak, window, seen, probability, shares=shares, sight=sight
        )


def near_part(probability: Maps, place: Floats, reach: float) -> Maps:
    """`probability` (h, w) of the largest thing that comes within `reach` cells of `place` (2,).

    0 elsewhere.
    """
    foreground = (probability > TARGET).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    disc = np.zeros_like(foreground)
    middle = np.rint(place).astype(int).tolist()
    cv2.circle(disc, middle, max(1, round(reach)), 1, cv2.FILLED)
    near = np.unique(labels[(disc & foreground) > 0])
    if not len(near):
        return np.zeros_like(probability)
    largest = labels == near[stats[near, cv2.CC_STAT_AREA].argmax()]
    # With its rim, so that its edge lies where the probability says.
    part = cv2.dilate(largest.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.where(part & (largest | (foreground == 0)), probability, np.float32(0))


def agreement(peak: float, probability: Maps) -> float:
    """Score 0 to 1 of there being a target: the geometric mean of two opinions.

    That of the filter, its peak, which learns to be 1 on the target, and that of the mask: the mean
    foreground probability where it is foreground, 0 if that is nowhere.
    """
    foreground = probability[probability > TARGET]
    return float(np.sqrt(np.clip(peak, 0, 1) * foreground.mean())) if foreground.size else 0.0
