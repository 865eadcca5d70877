"""One target over time: from a prompt to an estimate for every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.session.presence import Presence, PresenceFilter
from memtrack_ros.session.prompts import resolve
from memtrack_ros.trackers.tracker import Estimate, Observation, Prior, Prompt, State, Tracker

NOTHING = Estimate(State.IDLE, float('nan'), float('nan'), None, None, None, False, 0)
WIDER = 1.5  # how much wider than usual an unseen target is searched for
DRAG = 0.9  # share of its speed that an unseen target keeps from frame to frame
SPEED_MEMORY = 0.7  # share of the old speed in the running mean


@dataclass
class Course:
    """Where the target was last seen and how it moves.

    Box in pixels of a frame of `width` x `height`; speed (2,) in pixels a frame.
    """

    box: Floats
    width: int
    height: int
    speed: Floats

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


class Session:
    """Follows one target with one tracker. Not thread-safe: the caller serialises."""

    def __init__(self, tracker: Tracker, presence: Presence | None = None) -> None:
        """Start without a target; `presence` may be replaced at any time."""
        self.tracker = tracker
        self.presence = presence or Presence()
        self._filter: PresenceFilter | None = None
        self._course: Course | None = None
        self._last: Step | None = None
        self._searched = 0
        self._frames_tracked = 0

    @property
    def state(self) -> State:
        """IDLE without a target, else TRACKING, OCCLUDED or LOST."""
        return State.IDLE if self._filter is None else self._filter.state

    def prompt(self, frame: Pixels, prompt: Prompt) -> Estimate:
        """Take a new target from `frame`, uint8 (H, W, 3) BGR.

        PromptError leaves an earlier one as it was.
        """
        target = resolve(frame, prompt)
        self.reset()
        observation = self.tracker.initialise(frame, target)
        self._filter = PresenceFilter()
        self._course = Course(observation.box, frame.shape[1], frame.shape[0], np.zeros(2))
        self._frames_tracked = 1
        return self._estimate(observation, observation.mask)

    def step(self, frame: Pixels) -> Estimate:
        """Follow the target into `frame`, uint8 (H, W, 3) BGR, of any size."""
        if self._filter is None or self._course is None:
            return NOTHING
        self._course.fit(frame)
        prior = self._prior()
        observation = self.tracker.locate(frame, prior)
        state = self._filter.update(self._confidence(observation), self.presence)
        if state is State.TRACKING or self._filter.candidate:
            self._course.seen(observation.box)
        elif state is State.OCCLUDED:
            self._course.coast()
        if state is State.TRACKING:
            self._frames_tracked += 1
        estimate = self._estimate(
            observation, observation.mask if state is State.TRACKING else None
        )
        self._last = Step(frame, estimate, observation)
        return estimate

    def remember(self) -> None:
        """Write the last step into the memory, if the target was surely seen in it."""
        if self._last is None:
            return
        frame, estimate, observation = self._last.frame, self._last.estimate, self._last.observation
        self._last = None
        if estimate.state is State.TRACKING and estimate.confidence >= self.presence.seen:
            self.tracker.remember(frame, estimate, observation)
        else:
            self.tracker.bank.refuse()

    def search(self) -> None:
        """Search widely for a target kept from before, as after a pause."""
        if self._filter is not None:
            self._filter.search_for(self.presence)

    def reset(self) -> None:
        """Forget the target and clear the memory."""
        self.tracker.bank.clear()
        self._filter = self._course = self._last = None
        self._searched = self._frames_tracked = 0

    def _prior(self) -> Prior:
        assert self._course is not None and self._filter is not None
        if self._filter.state is State.TRACKING or self._filter.candidate:
            return Prior(self._course.box)
        if self._filter.state is State.OCCLUDED:
            return Prior(self._course.box, WIDER)
        self._searched += 1
        return Prior(search_box(self._course, self._searched), WIDER)

    def _confidence(self, observation: Observation) -> float:
        return self.tracker.calibration.confidence(observation.score)

    def _estimate(self, observation: Observation, mask: Pixels | None) -> Estimate:
        assert self._course is not None
        oriented = OrientedBox.from_mask(mask) if mask is not None else None
        roi = self._course.box
        return Estimate(
            self.state,
            self._confidence(observation),
            observation.score,
            oriented or OrientedBox.from_box(roi),
            roi,
            mask if oriented else None,
            not self.tracker.segments,
            self._frames_tracked,
        )


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
