"""SAMN and CMEDFL as their authors run them: the filter finds, D3S' loop segments there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import cv2
import numpy as np
import torch

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels, Window
from memtrack_ros.masks.guided import above_half
from memtrack_ros.trackers import d3s
from memtrack_ros.trackers.d3s import D3S_CROP, Contours, Maps, Square, patch
from memtrack_ros.trackers.d3s_loop import BY_BOX, Loop, Start, in_frame
from memtrack_ros.trackers.filter_tracker import (
    UNSEGMENTED,
    Appearance,
    FilterObservation,
    FilterTracker,
    agreement,
)
from memtrack_ros.trackers.observation import Prior, Target
from memtrack_ros.trackers.target_filter import UNSURE, FilterSettings, Peak, TargetFilter
from memtrack_ros.weights.files import Calibration

MARKED = 0.1  # share of a crop's pixel that a given mask covers at least
RIM = 0.05  # of the target's smaller side: how far from its box it may reach in the first frame
LEAST_RIM = 5  # crop pixels

Seen = TypeVar('Seen')


class Habits(NamedTuple):
    """What the authors' loops differ in."""

    soft_start: bool  # the first pseudo-mask is the probability, not where it is above one half
    trims_found: bool  # a mask ends with its outline, believed or not; else only if it is believed
    corners_always: bool  # a target pointed at by corners has four in every frame


class AuthorsFilter(TargetFilter):
    """The filter, as sure of a negative peak as the authors' is."""

    def uncertainty(self, peak: Peak) -> float:
        """The mean of the peaks accepted lately over this one; infinite for none at all."""
        if self.young:
            return 0.0
        return float(self.peaks.mean()) / peak.value if peak.value else float('inf')


@dataclass(frozen=True)
class PaperView(Generic[Seen]):
    """The square around a target in its first frame, and what the network makes of it.

    And, once segmented, what is taken for the target there: (S, S) in 0..1.
    """

    square: Square
    seen: Seen
    pseudo: Maps | None = None


@dataclass(frozen=True)
class OutlinedObservation(FilterObservation[Seen]):
    """What a paper variant found, and all that was made of it.

    `shift` (2,) is how far the target moved, in pixels of the filter's crop. If it `looked`, the
    `square` around a `place` (2,) was segmented. `after` is what is known from then on.
    """

    shift: Floats
    place: Floats
    square: Square
    looked: bool
    believed: bool
    after: Loop

    @property
    def segmented(self) -> Window:
        """The square."""
        return self.square.window


class PaperFilterTracker(FilterTracker[Seen, OutlinedObservation[Seen], PaperView[Seen]]):
    """The paper variants. Where they look is what they themselves know of the target's place."""

    variant = 'paper'
    gated = False
    kept = (*FilterTracker.kept, 'loop')
    filter_kind = AuthorsFilter

    def __init__(
        self,
        name: str,
        appearance: Appearance[Seen],
        settings: FilterSettings,
        habits: Habits,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
    ) -> None:
        """Like the compact one."""
        super().__init__(name, appearance, settings, calibration, device, max_bytes)
        self.habits = habits
        self.loop = Loop.begun(Target(np.ones(4), np.ones((1, 1), np.uint8)))

    def initialise(self, frame: Pixels, target: Target) -> FilterObservation[Seen]:
        """As any tracker begins, with a loop of its own."""
        self.loop = Loop.begun(target)
        return super().initialise(frame, target)  # type: ignore[return-value]

    @torch.inference_mode()
    def view(self, frame: Pixels, box: Floats) -> PaperView[Seen]:
        """The square around the target; the filter is taught where that is in its own crop."""
        self.bank.clear()
        loop = self.loop
        corner = np.rint(loop.place)  # of four pixels: where the authors take samples
        wide = patch(frame, corner, loop.scale, 2 * self.filter.settings.side)
        self._begin_filter(wide, (loop.place - corner) / loop.scale)
        square = Square.around(loop.place, loop.size)
        return PaperView(square, self._see([square.show(frame)]))

    @torch.inference_mode()
    def begin(self, view: PaperView[Seen], target: Target) -> None:
        """Teach the appearance what the target looks like.

        The first area is that of the label, but of a mask it is counted in the frame, although
        those to come are not.
        """
        if view.pseudo is not None:
            label, area = view.pseudo, float(view.pseudo.sum())
        elif target.exact:
            shown = view.square.show_mask(target.mask)
            label = np.asarray(shown > MARKED, np.float32)
            area = float(cv2.countNonZero(target.mask))
        else:
            label, area = first_label(view.square, target), 0.0
        self.loop = replace(self.loop, areas=np.array([area]))
        self.appearance.begin(view.seen, self._label(label))

    @torch.inference_mode()
    def refine(
        self, frame: Pixels, view: PaperView[Seen], target: Target
    ) -> tuple[PaperView[Seen], Target]:
        """Segmented in the square, as far as the dilated first label reaches."""
        probability = self.appearance.segment(view.seen, np.zeros(2))[0, 0].float().sigmoid()
        picture = np.asarray(probability.cpu().numpy(), np.float32)
        if not self.habits.soft_start:
            picture = np.asarray(picture > BY_BOX.threshold, np.float32)
        factor = D3S_CROP / view.square.extent
        rim = max(LEAST_RIM, round(RIM * float(self.loop.size.min()) * factor))
        label = cv2.dilate(first_label(view.square, target), np.ones((rim, rim), np.uint8))
        pseudo = np.asarray(picture * label, np.float32)
        mask = above_half(view.square.lay(pseudo, frame))
        return replace(view, pseudo=pseudo), replace(target, mask=mask, exact=True)

    @torch.inference_mode()
    def locate(self, frame: Pixels, prior: Prior) -> OutlinedObservation[Seen]:
        """The filter's peak, then the mask in the crop around it.

        The box is that of the outline, if it is believed, else one of the last size.
        """
        loop, extent = self.loop.towards(prior.box), np.array(frame.shape[1::-1], float)
        pitch, before = loop.scale * prior.search, loop.place
        side = self.filter.settings.side
        window = Window.around(before - 0.5, pitch, side)
        seen = self._see([patch(frame, before, pitch, side)])
        peak = self.filter.locate(
            self.appearance.deep(seen), loop.size / pitch, central=prior.usual
        )
        uncertainty = self.filter.uncertainty(peak)
        place = before + peak.offset * pitch
        if uncertainty < UNSURE:
            loop = loop.sure(place, extent)
        place = np.clip(place, 0, extent - 1)
        square = Square.around(place, loop.size)
        looked = loop.way.always or uncertainty < UNSEGMENTED
        if looked:
            seen = self._see([square.show(frame)])
            probability = self.appearance.segment(seen, np.zeros(2)).float().sigmoid()
        else:
            probability = torch.zeros(1, 1, D3S_CROP, D3S_CROP, device=self.device)
        picture = np.asarray(probability[0, 0].cpu().numpy(), np.float32)
        found = d3s.contours_of(picture, loop.way.threshold)
        believed = found is not None and loop.believes(found)
        if found is not None and believed:
            after = loop.after(found, square, place, uncertainty)
            box, oriented = self._region(loop, found, square, place)
        else:
            after = replace(loop, place=place)
            box, oriented = self._expected(loop, place)
        shares = square.lay(self._written(loop, picture, found, believed=believed), frame)
        part = None if found is None else d3s.inside(found.largest) > 0
        return OutlinedObservation(
            0.0 if part is None else agreement(peak.value, picture[part]),
            box,
            above_half(shares),
            peak,
            window,
            seen,
            probability,
            (after.place - before) / pitch,
            place,
            square,
            looked,
            believed,
            replace(after, answered=box),
            oriented=oriented,
            shares=shares,
        )

    @torch.inference_mode()
    def remember(self, frame: Pixels, found: OutlinedObservation[Seen]) -> None:
        """Teach the appearance what was segmented, believed or not, and the filter; go on."""
        if found.looked:
            self.appearance.write(found.seen, found.probability)
        else:
            self.appearance.bank.refuse()
        self.filter.remember(found.peak, found.shift)
        self.loop = found.after

    def _region(
        self, loop: Loop, found: Contours, square: Square, place: Floats
    ) -> tuple[Floats, OrientedBox | None]:
        """The box (4,) of what is believed; of a target pointed at by corners the fitted one."""
        if loop.start is Start.CORNERS:
            corners = in_frame(d3s.fitted(found), square, place)
            return boxes.bounds(corners.reshape(8)), OrientedBox.from_corners(corners - 0.5)
        shape = d3s.bounds(found, together=loop.start is Start.MASK)
        corners = in_frame(shape, square, place)
        return np.concatenate([corners.min(0), np.ptp(corners, axis=0) + 1]), None

    def _expected(self, loop: Loop, place: Floats) -> tuple[Floats, OrientedBox | None]:
        """The box (4,) of the last size at a place, rounded up and down as the authors do."""
        box = np.concatenate([place - (loop.size - 1) / 2, loop.size])
        if loop.start is not Start.CORNERS:
            return box - [1, 1, 0, 0], None
        if not self.habits.corners_always:
            return box, None
        corners = d3s.rectangle(box - [0, 0, 1, 1])
        return boxes.bounds(corners.reshape(8)), OrientedBox.from_corners(corners - 0.5)

    def _written(
        self, loop: Loop, picture: Maps, found: Contours | None, *, believed: bool
    ) -> Maps:
        """Of the probability (S, S) what is the mask: nothing far from what was found.

        Of a target pointed at by its mask all is, in SAMN's loop, and in CMEDFL's while nothing is
        believed.
        """
        whole = loop.start is Start.MASK
        if whole and (self.habits.trims_found or not believed):
            return picture
        if found is None or not (believed or self.habits.trims_found):
            return np.zeros_like(picture)
        parts = found.parts if whole else (found.largest,)
        return np.asarray(picture * d3s.with_rim(d3s.inside(*parts)), np.float32)


def first_label(square: Square, target: Target) -> Maps:
    """What was pointed at with as the square shows it, (S, S) in 0..1: a polygon, filled.

    Its corners are those of a box's first and last pixels, and are cut down to whole numbers.
    """
    assert target.pointed is not None
    if len(target.pointed) == 4:
        corners = d3s.rectangle(target.pointed - [0, 0, 1, 1])
    else:
        corners = target.pointed.reshape(4, 2)
    mask = np.zeros(target.mask.shape, np.uint8)
    cv2.fillConvexPoly(mask, np.trunc(corners).astype(np.int32), 255)
    return square.show_mask(mask)
