"""Where a target was last seen, how it moves, and where it is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from memtrack_ros.errors import ImageError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window
from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import Given, outside
from memtrack_ros.session.clock import COUNTED
from memtrack_ros.session.motion import LARGEST_FRAME, SMALLEST_BOX, Motion
from memtrack_ros.session.prompts import SMALLEST
from memtrack_ros.trackers.identity import Rival
from memtrack_ros.trackers.search import SEARCH

UNLIKE = -20.0  # likeness of what is no rival at all: the least there is has -19
RESIZED = 4.0  # factor of an image's width or height beyond which it is none of the same camera
LIKELY = 2.0  # standard deviations within which a target is looked for
WIDER = 1.5  # how much wider than usual an unseen target is searched for, at least
LEFT_APART = 2.0  # of its size: further off a rival was never taken for the target
CLOSE = 1.5  # of its width or height: nearer to its middle a look-alike may touch it next
BESIDE = 0.7  # of its size: what is nearer to where a thing was is that thing
AGAIN = 1.2  # of its size: nearer to where it is expected a target that was hidden is seen again
KNOWN = 2.0  # seconds for which a rival is known to be where it was seen
LOOK_ALIKE = 0.35  # likeness of a rival from which whatever stands in its place is that
HARDLY = 0.6  # of what a rival had: with less likeness only a part of it is seen
TWIN = 0.7  # likeness of one that could be taken for the target
STRANGEST = 6.0  # standard deviations: beyond that nothing is told apart
PLACES = 14  # to look for a lost target at, hardly more: every other image one, all in a second
SURVEYED = 6.0  # of a lost target's size: what is seen of the image at once
OVERLAP = 1.4  # of the distance between two places
WIDEST = 2.0  # and any target at most: in a wider window it is too small to be known


@dataclass
class Course(Stateful):
    """Where a target is in images of `width` x `height`. Methods give new ones.

    `box` (4,) is where it is believed to be, `home` (4,) where it was surely seen last;
    `hunch` (4,) where something was that was hardly seen; `seen` its motion since it was last seen,
    `candidate` that of what may be it again. `rival` (2,) is where what is most like the target was
    when that was surely seen last, so far `alike`, or was seen since, maybe `mistaken` for it; it
    is `unseen` for so many seconds. The target has `met` it where the two were so near, and so
    little told apart, that either may be the other: so like the target was the liker of them. What
    is followed has `jumped` where it did so since the target was surely seen.
    """

    kept: ClassVar[tuple[str, ...]] = (
        'width',
        'height',
        'box',
        'hunch',
        'home',
        'seen',
        'candidate',
        'rival',
        'alike',
        'mistaken',
        'met',
        'unseen',
        'jumped',
    )

    width: int
    height: int
    box: Floats
    hunch: Floats
    home: Floats
    seen: Motion
    candidate: Motion
    rival: Floats
    alike: float = UNLIKE
    mistaken: bool = False
    met: float = UNLIKE
    unseen: float = 0.0
    jumped: bool = False

    def faults(self, given: Given) -> Iterator[str]:
        """Its boxes have an area and lie in its image, or not far beside."""
        for side in ('width', 'height'):
            yield from outside(given, side, 1, LARGEST_FRAME)
        frame = np.array([given['width'], given['height']])
        for name in ('box', 'hunch', 'home'):
            box = given[name]
            beside = np.abs(boxes.centre(box) - frame / 2) > 1.5 * frame
            if (beside | (box[2:] < SMALLEST_BOX) | (box[2:] > 4 * frame)).any():
                yield f'{name} is {box.tolist()}, which is none in {frame[0]} x {frame[1]} pixels'
        yield from outside(given, 'rival', -2 * LARGEST_FRAME, 2 * LARGEST_FRAME)
        for likeness in ('alike', 'met'):
            yield from outside(given, likeness, UNLIKE, -UNLIKE)
        yield from outside(given, 'unseen', 0, COUNTED)

    @classmethod
    def of(cls, box: Floats, frame: Pixels) -> Course:
        """Of a target just pointed at."""
        height, width = frame.shape[:2]
        centre = boxes.centre(box)
        return cls(width, height, box, box, box, Motion.of(box), Motion.of(box), centre)

    def fitted(self, frame: Pixels) -> Course:
        """In the size of `frame`, should the resolution have changed.

        ImageError where it is not the same camera's, or too small to hold the target.
        """
        height, width = frame.shape[:2]
        if (width, height) == (self.width, self.height):
            return self
        scale = np.array([width / self.width, height / self.height])
        if max(*scale, *(1 / scale)) > RESIZED or (self.box[2:] * scale).min() < SMALLEST:
            raise ImageError(
                f'the image is {width}x{height}, those before were {self.width}x{self.height}: '
                f'with a side more than {RESIZED:g} times another, or less than {SMALLEST} pixels '
                'of the target, it is skipped; prompt again if the camera has changed'
            )
        box, hunch, home = (
            boxes.from_centre((boxes.centre(old) + 0.5) * scale - 0.5, old[2:] * scale)
            for old in (self.box, self.hunch, self.home)
        )
        seen, candidate = self.seen.scaled(scale), self.candidate.scaled(scale)
        rival = (self.rival + 0.5) * scale - 0.5
        return replace(
            self,
            width=width,
            height=height,
            box=box,
            hunch=hunch,
            home=home,
            seen=seen,
            candidate=candidate,
            rival=rival,
        )

    def after(self, seconds: float, *, seen: bool = True) -> Course:
        """Predicted; a target that is not `seen` slows down. The centre stays in the image.

        While it is, it is believed to be where it was last: a moment later it hardly is elsewhere.
        """
        motion = self.seen.after(seconds, seen=seen).within(self.width, self.height)
        candidate = self.candidate.after(seconds).within(self.width, self.height)
        unseen = min(self.unseen + seconds, COUNTED)
        course = replace(self, seen=motion, candidate=candidate, unseen=unseen)
        return course if seen else replace(course, box=course.expected)

    @property
    def expected(self) -> Floats:
        """The box (4,) where it is predicted, of the size that was seen last."""
        return boxes.from_centre(self.seen.place[0], self.box[2:])

    def tracked(self, box: Floats) -> Course:
        """The target is seen in `box` (4,), as it was before."""
        return replace(self, box=box, seen=self.seen.corrected(box))

    def missed(self, hunch: Floats) -> Course:
        """The target is not seen: it is where it is predicted, if not where the `hunch` (4,) is."""
        return replace(self, box=self.expected, hunch=hunch)

    def considered(self, box: Floats, *, again: bool) -> Course:
        """What may be the target is in `box` (4,), maybe `again`; of the target nothing changes."""
        candidate = self.candidate.corrected(box) if again else Motion.of(box)
        return replace(self, candidate=candidate)

    def found(self, box: Floats) -> Course:
        """The candidate is the target, and in `box` (4,): its course begins with the candidate."""
        return replace(self, box=box, seen=self.candidate)

    def surely(self) -> Course:
        """The target is surely where it is tracked."""
        return replace(self, home=self.box, mistaken=False, met=UNLIKE, jumped=False)

    def beside(self, rival: Rival, window: Window) -> Course:
        """What else is most like the target in a `window` is this.

        What is more like it and was left behind, out of view, stays where it was. What is where the
        rival was is that, however little of it is seen now. What touches the target is a part of it
        if it did not come there.
        """
        stays = self._stood(rival.place)
        left = rival.likeness < self.alike and not window.shows(self.rival)
        if left or (rival.touches(self.box) and not stays):
            return self
        alike = max(rival.likeness, self.alike) if stays else rival.likeness
        # Of the little that is seen of it now the middle is elsewhere.
        place = self.rival if rival.likeness < HARDLY * alike else rival.place
        return replace(self, rival=place, alike=alike, unseen=0.0)

    def followed(
        self, box: Floats, rival: Rival | None, *, mistaken: bool, meets: float, jumps: bool
    ) -> Course:
        """What is followed without being surely the target is in `box` (4,): the rival, if so.

        If not, that goes where the `rival` is that is seen now, if it is still that.
        """
        met, jumped = max(self.met, meets), self.jumped or jumps
        course = replace(self, mistaken=mistaken, met=met, jumped=jumped)
        if mistaken:
            return replace(course, rival=boxes.centre(box), unseen=0.0)
        if rival and self.knows(rival.place):
            return replace(course, rival=rival.place, unseen=0.0)
        return course

    def knows(self, place: Floats) -> bool:
        """Whether what is at `place` (2,) is the rival, which was seen there a moment ago."""
        return self.unseen < KNOWN and self._stood(place)

    def merges(self, box: Floats, rival: Rival, window: Window) -> bool:
        """Whether the twin that was close to `box` (4,), in the window, is not seen there any more.

        One of the two may hide the other, then: nobody knows which of them is in the box.
        """
        if self.alike < TWIN or self.unseen > KNOWN:
            return False
        half = box[2:] / 2
        first, last = self.rival - half, self.rival + half
        whole = bool((first >= 0).all() and (last <= [self.width, self.height]).all())
        whole = whole and window.shows(first) and window.shows(last)
        close = bool((np.abs(self.rival - boxes.centre(box)) < CLOSE * box[2:]).all())
        seen = rival.likeness >= LOOK_ALIKE and self._stood(rival.place)
        return whole and close and not seen

    def returns(self, box: Floats, unseen: float) -> bool:
        """Whether what is in `box` (4,) is where the target is expected, not seen for a moment.

        With a twin beside it when it was surely seen last it may be that.
        """
        off = np.linalg.norm(boxes.centre(self.expected) - boxes.centre(box))
        there = bool(off < AGAIN * boxes.scale(self.box)) and unseen < KNOWN
        return there and (self.alike < TWIN or self._rival_apart)

    def _stood(self, place: Floats) -> bool:
        """Whether what is at `place` (2,) stands where the rival stood, however long ago."""
        return bool(np.linalg.norm(self.rival - place) < BESIDE * boxes.scale(self.box))

    def mistakes(self, box: Floats) -> bool:
        """Whether what is in `box` (4,) is rather the rival.

        It is there, and nearer to that than to where the target may be; or it was so before.
        """
        centre = boxes.centre(box)
        off = np.linalg.norm(self.rival - centre)
        own = min(np.linalg.norm(boxes.centre(at) - centre) for at in (self.box, self.expected))
        return self.knows(centre) and bool(self.mistaken or off < own)

    @property
    def has_met(self) -> bool:
        """Whether the target may be either of two that met."""
        return self.met > UNLIKE

    @property
    def left_apart(self) -> bool:
        """Whether the rival, never met, is far from where the target was surely seen last."""
        return self._rival_apart and not self.has_met

    @property
    def _rival_apart(self) -> bool:
        off = np.linalg.norm(self.rival - boxes.centre(self.home))
        return bool(off > LEFT_APART * boxes.scale(self.home))

    def stopped(self) -> Course:
        """Of the target's motion nothing is known any more."""
        return replace(self, seen=Motion.of(self.box))

    def strangeness(self, box: Floats, *, again: bool) -> Floats:
        """How far place and size of `box` (4,) are off what motion says: (2,), standard deviations.

        Off the candidate's motion if that may be the target `again`.
        """
        motion = self.candidate if again else self.seen
        return np.minimum(motion.distance(box), STRANGEST)

    def search(self, motion: Motion) -> float:
        """How much wider than usual to look for a target that moves so."""
        reach = motion.growth**LIKELY + 2 * LIKELY * motion.spread / boxes.scale(motion.box)
        return float(np.clip(reach / SEARCH, 1.0, WIDEST))

    @property
    def spacing(self) -> float:
        """Of the grid on which a lost target is looked for, in pixels.

        Two target sizes, or as much as it takes to have been everywhere within a second.
        """
        every = np.sqrt(self.width * self.height / PLACES)
        return float(max(2 * boxes.scale(self.box), every))

    def place(self, turn: int) -> Floats:
        """Where to look for a lost target this `turn`.

        Every other time where it was last, else at the next place of a grid, the nearest to that
        first.
        """
        if turn % 2:
            return self.box
        columns, rows = (
            max(1, round(extent / self.spacing)) for extent in (self.width, self.height)
        )
        cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
        centres = (cells + 0.5) / [columns, rows] * [self.width, self.height]
        distances = np.linalg.norm(centres - boxes.centre(self.box), axis=1)
        order = np.argsort(distances, kind='stable')
        return boxes.from_centre(centres[order[(turn // 2 - 1) % len(order)]], self.box[2:])

    def survey(self, turn: int, side: int) -> Window:
        """The window of `side` crop pixels around that place, which overlaps with the next."""
        extent = max(SURVEYED * boxes.scale(self.box), OVERLAP * self.spacing)
        return Window.around(boxes.centre(self.place(turn)), extent / side, side)
