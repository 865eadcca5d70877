"""One target over time: from a prompt to an estimate for every frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from memtrack_ros.errors import SnapshotError, TrackingError
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import BankStatus, Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.session.course import Course, search_box
from memtrack_ros.session.estimate import NOTHING, Estimate, State
from memtrack_ros.session.presence import EVERYTHING, Belief, Presence
from memtrack_ros.session.prompts import Prompt, resolve
from memtrack_ros.trackers import AnyTracker, Observation, Prior

WIDER = 1.5  # how much wider than usual an unseen target is searched for


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
        'belief',
        'course',
        'searched',
        'frames_tracked',
        'tracker',
    )

    def __init__(self, tracker: AnyTracker, course: Course) -> None:
        self.tracker = tracker
        self.course = course
        self.belief = Belief()
        self.searched = 0
        """Frames in which it was LOST and searched for."""
        self.frames_tracked = 1
        """Frames that showed it, that of the prompt among them."""

    def faults(self, given: Given) -> Iterator[str]:
        """The frame of the prompt showed it."""
        yield from outside(given, 'searched', 0, MOST)
        yield from outside(given, 'frames_tracked', 1, MOST)


class Session:
    """Follows one target with one tracker. Not thread-safe: the caller serialises.

    A published tracker that is not `gated` sees and remembers the target in every frame, whatever
    `presence` says.
    """

    def __init__(self, tracker: AnyTracker, presence: Presence | None = None) -> None:
        """Start without a target."""
        self.tracker = tracker
        self.presence = presence or Presence()
        """When the target counts as seen; may be replaced at any time."""
        self._followed: Followed | None = None
        self._last: Step | None = None
        self._paused = False

    @property
    def state(self) -> State:
        """IDLE without a target, else TRACKING, OCCLUDED or LOST."""
        followed = self._followed
        return State.IDLE if followed is None else followed.belief.verdict

    @property
    def memory(self) -> BankStatus:
        """What the memory holds."""
        return self.tracker.bank.status()

    def prompt(self, frame: Pixels, prompt: Prompt) -> Estimate:
        """Take a new target from `frame`, uint8 (H, W, 3) BGR.

        PromptError leaves an earlier one as it was. TrackingError when the tracker fails on it:
        then there is none.
        """
        target = resolve(frame, prompt)
        self.reset()
        try:
            observation = self.tracker.initialise(frame, target)
            _require_numbers(observation)
        except Exception:
            self.reset()
            raise
        course = Course(observation.box, frame.shape[1], frame.shape[0], np.zeros(2))
        self._followed = Followed(self.tracker, course)
        return self._estimate(self._followed, observation, observation.mask)

    def step(self, frame: Pixels) -> Estimate:
        """Follow the target into `frame`, uint8 (H, W, 3) BGR, of any size.

        TrackingError, with nothing changed, where the tracker's answer is no number.
        """
        followed = self._followed
        if followed is None:
            return NOTHING
        followed.course.fit(frame)
        observation = self.tracker.locate(frame, _prior(followed))
        _require_numbers(observation)
        state = followed.belief.update(self._confidence(observation), self._gate)
        if state is State.TRACKING or followed.belief.candidate:
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
        sure = self._gate.remembered
        if sure < 0:
            sure = self.tracker.remembered
        if estimate.state is State.TRACKING and estimate.confidence >= sure:
            self.tracker.remember(frame, observation)
        else:
            self.tracker.bank.refuse()

    def pause(self) -> None:
        """Keep the target, but write nothing of it, until resumed."""
        self.tracker.bank.frozen = self._paused = True

    def resume(self) -> None:
        """Write again. A target kept from before the pause is searched for widely."""
        self.tracker.bank.frozen = False
        if self._paused and self._followed is not None:
            self._followed.belief.search_for(self.presence)
        self._paused = False

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
        self._paused = False

    @property
    def _gate(self) -> Presence:
        return self.presence if self.tracker.gated else EVERYTHING

    def _confidence(self, observation: Observation) -> float:
        return self.tracker.calibration.confidence(observation.score)

    def _estimate(
        self, followed: Followed, observation: Observation, mask: Pixels | None
    ) -> Estimate:
        oriented = None if mask is None else observation.oriented or OrientedBox.from_mask(mask)
        roi = followed.course.box
        return Estimate(
            followed.belief.verdict,
            self._confidence(observation),
            observation.score,
            oriented or OrientedBox.from_box(roi),
            roi,
            mask if oriented else None,
            not self.tracker.segments,
            followed.frames_tracked,
        )


def _require_numbers(observation: Observation) -> None:
    """TrackingError where score or box is not finite."""
    if not np.isfinite([observation.score, *observation.box]).all():
        raise TrackingError(
            f'The tracker answers with the score {observation.score:g} and the box '
            f'{observation.box.tolist()}, which are no finite numbers; see whether its weights are '
            'damaged, and prompt again.'
        )


def _prior(followed: Followed) -> Prior:
    """Where to look for the target now; one that is LOST elsewhere each time."""
    belief, course = followed.belief, followed.course
    if belief.verdict is State.TRACKING or belief.candidate:
        return Prior(course.box)
    if belief.verdict is State.OCCLUDED:
        return Prior(course.box, WIDER)
    followed.searched += 1
    return Prior(search_box(course, followed.searched), WIDER)
