"""The loop of D3S (Lukezic et al., CVPR 2020) as SAMN's and CMEDFL's authors run it.

Where the target is, how large, and what of a segmentation is believed, from one frame to the next.
Places are the authors': see `d3s`. Nothing here looks at an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar, NamedTuple

import numpy as np

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import Given, outside
from memtrack_ros.trackers.d3s import D3S_CROP, Contours, Square, upright_size
from memtrack_ros.trackers.observation import Target
from memtrack_ros.trackers.target_filter import PAPER_FILTER

UNSCALED = 3.5  # uncertainty of the filter from which the size is kept
CHANGED_AREA = 2.0  # relative difference from those accepted lately from which no area is believed
MOVED_AREA = 1.0  # and from which the target is not moved to its middle
AREAS = 25  # accepted areas that a new one is compared with
SMALLEST = 10.0  # pixels, of a side of the target where the filter is sure
BEYOND = 0.3  # of the target's size: how far its middle may be beyond the frame
SMALLEST_SCALE = 0.2  # least one that is taken over
CHANGED_SCALE = 0.75  # relative change from which it is not
LARGEST = 2.0**16  # pixels, of a side or place of any target, and of any scale


class Start(IntEnum):
    """What a target was pointed at with: decides how it is followed, and how its place is told."""

    CORNERS = 1
    BOX = 2
    MASK = 3


class Way(NamedTuple):
    """How targets are followed that were pointed at in one way."""

    threshold: float  # probability above which a pixel is the target's
    slowest: float  # factors of the scale from frame to frame
    fastest: float
    always: bool  # segments every frame, however unsure the filter is


BY_BOX = Way(threshold=0.5, slowest=0.95, fastest=1.05, always=False)
BY_MASK = Way(threshold=0.2, slowest=0.9, fastest=1.1, always=True)


@dataclass
class Loop(Stateful):
    """What is known between two frames. Methods give new ones.

    `place` (2,) is where it is looked for next; `size` (2,) w, h is `base` times a `scale` of some
    frames ago: `base` (2,) is constant, and such that the filter sees 256 pixels of it; `scale` are
    frame pixels to one of them. `areas` are those of accepted segmentations, crop pixels.
    `answered` (4,) is the box that was answered last.
    """

    kept: ClassVar[tuple[str, ...]] = (
        'start',
        'place',
        'size',
        'base',
        'scale',
        'areas',
        'answered',
    )
    longest = {'areas': AREAS}  # noqa: RUF012

    start: Start
    place: Floats
    size: Floats
    base: Floats
    scale: float
    areas: Floats
    answered: Floats

    def faults(self, given: Given) -> Iterator[str]:
        """It is somewhere near an image and has a size."""
        yield from outside(given, 'place', -LARGEST, LARGEST)
        yield from outside(given, 'answered', -2 * LARGEST, 2 * LARGEST)
        yield from outside(given, 'areas', 0, D3S_CROP**2)
        for name in ('size', 'base', 'scale'):
            yield from outside(given, name, 1 / LARGEST, LARGEST)
        if given['answered'][2:].min() <= 0:
            yield f'answered is {given["answered"].tolist()}, which has no size'

    @classmethod
    def begun(cls, target: Target) -> Loop:
        """As the authors begin: with a box, with four corners, or with a mask.

        The bounds of a mask are taken for a box whose pixels are numbered from 1, so that all lies
        a pixel too far left and up, as theirs does.
        """
        box = target.whole
        if target.pointed is None:
            start, place, size = Start.MASK, box[:2] - 1 + box[2:] / 2, box[2:]
        elif len(target.pointed) == 4:
            start, place, size = Start.BOX, box[:2] + box[2:] / 2, box[2:]
        else:
            corners = target.pointed.reshape(4, 2)
            start, place, size = Start.CORNERS, corners.mean(0), upright_size(corners)
        scale = scale_of(size)
        return cls(start, place, size, size / scale, scale, np.zeros(1), box)

    @property
    def way(self) -> Way:
        """How it is followed."""
        return BY_MASK if self.start is Start.MASK else BY_BOX

    def towards(self, box: Floats) -> Loop:
        """As it is looked for in `box` (4,), which mostly is what was answered last.

        Another one says that the frames have another size now, or that it is elsewhere.
        """
        if np.array_equal(box, self.answered):
            return self
        factor = box[2:] / self.answered[2:]
        scale = float(np.sqrt(factor.prod()))
        before, now = (each[:2] + each[2:] / 2 for each in (self.answered, box))
        return replace(
            self,
            place=now + (self.place - before) * factor,
            size=self.size * factor,
            base=self.base * factor / scale,
            scale=self.scale * scale,
            answered=box,
        )

    def limits(self, frame: Floats) -> tuple[float, float]:
        """The least and the most scale in a frame of w, h (2,)."""
        return SMALLEST / float(self.base.min()), float((frame / self.base).min())

    def sure(self, place: Floats, frame: Floats) -> Loop:
        """The filter is sure that it is at `place` (2,) of a frame of w, h (2,)."""
        least, most = self.limits(frame)
        scale = max(least, min(most, self.scale))
        size = self.base * scale
        place = np.clip(place, -BEYOND * size, frame + BEYOND * size)
        return replace(self, place=place, size=size, scale=scale)

    def change(self, area: float) -> float:
        """Relative difference of an area from those accepted lately; infinite if these are 0."""
        mean = float(self.areas.mean())
        return abs(mean - area) / mean if mean else float('inf')

    def believes(self, found: Contours) -> bool:
        """Whether the area is near enough to those accepted lately."""
        return self.change(found.area) < CHANGED_AREA

    def after(self, found: Contours, square: Square, place: Floats, uncertainty: float) -> Loop:
        """What is believed of an outline in the crop `square`, which was cut around `place` (2,).

        Its smallest rectangle's middle is where the target is, unless the area is quite another.
        The scale follows slowly where the filter is not too unsure.
        """
        smallest = in_frame(found.smallest, square, place)
        change, after = self.change(found.area), self
        if uncertainty < UNSCALED:
            after = replace(
                after,
                areas=np.append(self.areas, found.area)[-AREAS:],
                scale=self._followed(scale_of(upright_size(smallest))),
            )
        return replace(after, place=smallest.mean(0)) if change < MOVED_AREA else after

    def _followed(self, scale: float) -> float:
        if scale <= SMALLEST_SCALE or abs(scale - self.scale) / self.scale >= CHANGED_SCALE:
            return self.scale
        return self.scale * float(np.clip(scale / self.scale, self.way.slowest, self.way.fastest))


def scale_of(size: Floats) -> float:
    """Frame pixels to one of the filter's for a target of w, h (2,)."""
    return float(PAPER_FILTER.search * np.sqrt(size.prod()) / PAPER_FILTER.side)


def in_frame(points: Floats, square: Square, place: Floats) -> Floats:
    """Points (..., 2) of the crop `square` around `place` (2,), in the frame.

    As the authors have it, who neglect how the square is rounded to whole pixels.
    """
    return (points - D3S_CROP / 2) * (square.extent / D3S_CROP) + place
