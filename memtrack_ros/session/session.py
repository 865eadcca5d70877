"""One target over time: from a prompt to an estimate for every frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from memtrack_ros.errors import SnapshotError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.session.presence import Presence, PresenceFilter
from memtrack_ros.session.prompts import resolve
from memtrack_ros.trackers.tracker import Estimate, Observation, Prior, Prompt, State, Tracker

NOTHING = Estimate(State.IDLE, float('nan'), float('nan'), None, None, None, False, 0)
WIDER = 1.5  # how much wider than usual an unseen target is searched for
DRAG = 0.9  # share of its speed that an unseen target keeps from frame to frame
LARGEST_FRAME = 2**16  # pixels of a side
SMALLEST_BOX = 0.01  # pixels of a side, in a frame that became much smaller
SPEED_MEMORY = 0.7  # share of the old speed in the running mean


@dataclass
class Course(Stateful):
    """Where the target was last seen and how it moves.

    Box in pixels of a frame of `width` x `height`; speed (2,) in pixels a frame.
    """

    kept: ClassVar[tuple[str, ...]] = ('box', 'width', 'height', 'speed')

    box: Floats
    width: int
    height: int
    speed: Floats

    def faults(self, given: Given) -> Iterator[str]:
        """The box has an area and lies in its frame, or not far beside."""
        for side in ('width', 'height'):
            yield from outside(given, side, 1, LARGEST_FRAME)
        yield from outside(given, 'speed', -LARGEST_FRAME, LARGEST_FRAME)
        box, frame = given['box'], np.array([given['width'], given['height']])
        beside = np.abs(boxes.centre(box) - frame / 2) > 1.5 * frame
        if (beside | (box[2:] < SMALLEST_BOX) | (box[2:] > 4 * frame)).any():
            yield f'box is {box.tolist()}, which is none in {frame[0]} x {frame[1]} pixels'

    def seen(self, box: Floats) -> None:
        """Take in a box that shows the target."""
        moved = boxes.centre(box) - boxes.centre(self.box)
        self.speed = SPEED_MEMORY * self.speed + (1 - SPEED_MEMORY) * moved
        self.box = box

    def coast(self) -> None:
        """Predict one frame: straight on, slowing down, the centre staying inside the image."""
        self.speed = DRAG * self.speed
        centre = np.clip(boxes.centre(self.box) + self.speed, 0, [self.width - 1, self.height - 1])
        self.box = boxes.from_centre(centre, self.box[2:])

    def fit(self, frame: Pixels) -> None:
        """Bring box and speed to the size of `frame`, should the resolution have changed."""
        height, width = frame.shape[:2]
        if (width, height) != (self.width, self.height):
            scale = np.array([width / self.width, height / self.height])
            self.box = boxes.from_centre(
                (boxes.centre(self.box) + 0.5) * scale - 0.5, self.box[2:] * scale
            )
            self.speed = self.speed * scale
            self.width, self.height = width, height


@dataclass(frozen=True)
class Step:
    """The last frame with what was found and believed: what `remember` would write."""

    frame: Pixels
    estimate: Estimate
    observation: Observation


class Followed(Stateful):
    """One target: where it is, whether it is there, and what the tracker remembers of it."""

    # The tracker last: restoring what is before it changes nothing but a new target.
    kept: ClassVar[tuple[str, ...]] = (
        'presence',
        'course',
        'searched',
        'frames_tracked',
        'tracker',
    )

    def __init__(self, tracker: Tracker, course: Course) -> None:
        self.tracker = tracker
        self.course = course
        self.presence = PresenceFilter()
        self.searched = 0
        """Frames in which it was LOST and searched for."""
        self.frames_tracked = 1
        """Frames that showed it, that of the prompt among them."""

    def faults(self, given: Given) -> Iterator[str]:
        """The frame of the prompt showed it."""
        yield from outside(given, 'searched', 0, MOST)
        yield from outside(given, 'frames_tracked', 1, MOST)


class Session:
    """Follows one target with one tracker. Not thread-safe: the caller serialises."""

    def __init__(self, tracker: Tracker, presence: Presence | None = None) -> None:
        """Start without a target; `presence` may be replaced at any time."""
        self.tracker = tracker
        self.presence = presence or Presence()
        self._followed: Followed | None = None
        self._last: Step | None = None

    @property
    def state(self) -> State:
        """IDLE without a target, else TRACKING, OCCLUDED or LOST."""
        followed = self._followed
        return State.IDLE if followed is None else followed.presence.belief

    def prompt(self, frame: Pixels, prompt: Prompt) -> Estimate:
        """Take a new target from `frame`, uint8 (H, W, 3) BGR.

        PromptError leaves an earlier one as it was.
        """
        target = resolve(frame, prompt)
        self.reset()
        observation = self.tracker.initialise(frame, target)
        course = Course(observation.box, frame.shape[1], frame.shape[0], np.zeros(2))
        self._followed = Followed(self.tracker, course)
        return self._estimate(self._followed, observation, observation.mask)

    def step(self, frame: Pixels) -> Estimate:
        """Follow the target into `frame`, uint8 (H, W, 3) BGR, of any size."""
        followed = self._followed
        if followed is None:
            return NOTHING
        followed.course.fit(frame)
        observation = self.tracker.locate(frame, _prior(followed))
        state = followed.presence.update(self._confidence(observation), self.presence)
        if state is State.TRACKING or followed.presence.candidate:
            followed.course.seen(observation.box)
        elif state is State.OCCLUDED:
            followed.course.coast()
        if state is State.TRACKING:
            followed.frames_tracked += 1
        estimate = self._estimate(
            followed, observation, observation.mask if state is State.TRACKING else None
        )
        self._last = Step(frame, estimate, observation)
        return estimate

    def remember(self) -> None:
        """Write the last step into the memory, if the target was surely seen in it."""
        if self._last is None:
            return
        frame, estimate, observation = self._last.frame, self._last.estimate, self._last.observation
        self._last = None
        sure = max(self.presence.remembered, self.tracker.sure)
        if estimate.state is State.TRACKING and estimate.confidence >= sure:
            self.tracker.remember(frame, observation)
        else:
            self.tracker.bank.refuse()

    def search(self) -> None:
        """Search widely for a target kept from before, as after a pause."""
        if self._followed is not None:
            self._followed.presence.search_for(self.presence)

    def reset(self) -> None:
        """Forget the target and clear the memory."""
        self.tracker.bank.clear()
        self._followed = self._last = None

    def snapshot(self) -> dict[str, Tensor]:
        """All that is known of the target, the tracker's state included, by name, on the CPU.

        To be taken after `remember`. SnapshotError without a target.
        """
        if self._followed is None:
            raise SnapshotError('There is no target to take a snapshot of; prompt first.')
        return self._followed.state()

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Follow the target that `snapshot` is of: the next estimates are those it had next.

        Raises SnapshotError, with nothing changed, where it is not of a tracker of this kind.
        """
        followed = Followed(self.tracker, Course(np.zeros(4), 0, 0, np.zeros(2)))
        try:
            followed.restore(snapshot)
        except ValueError as error:
            raise SnapshotError(
                f'The snapshot does not fit this tracker ({error}); '
                'restore it where tracker, variant and version are those it was taken with.'
            ) from error
        self._followed, self._last = followed, None

    def _confidence(self, observation: Observation) -> float:
        return self.tracker.calibration.confidence(observation.score)

    def _estimate(
        self, followed: Followed, observation: Observation, mask: Pixels | None
    ) -> Estimate:
        oriented = None if mask is None else observation.oriented or OrientedBox.from_mask(mask)
        roi = followed.course.box
        return Estimate(
            followed.presence.belief,
            self._confidence(observation),
            observation.score,
            oriented or OrientedBox.from_box(roi),
            roi,
            mask if oriented else None,
            not self.tracker.segments,
            followed.frames_tracked,
        )


def _prior(followed: Followed) -> Prior:
    """Where to look for the target now; one that is LOST elsewhere each time."""
    presence, course = followed.presence, followed.course
    if presence.belief is State.TRACKING or presence.candidate:
        return Prior(course.box)
    if presence.belief is State.OCCLUDED:
        return Prior(course.box, WIDER)
    followed.searched += 1
    return Prior(search_box(course, followed.searched), WIDER)


def search_box(course: Course, turn: int) -> Floats:
    """Where to look for a lost target this `turn`.

    Every other time where it was last, else at the next place of a grid: places two target sizes
    apart, row by row, one a frame.
    """
    if turn % 2:
        return course.box
    spacing = 2 * boxes.scale(course.box)
    columns, rows = (max(1, round(extent / spacing)) for extent in (course.width, course.height))
    row, column = divmod(turn // 2 % (columns * rows), columns)
    centre = (np.array([column, row]) + 0.5) / [columns, rows] * [course.width, course.height]
    return boxes.from_centre(centre, course.box[2:])
