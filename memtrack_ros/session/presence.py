"""Is the target there? Two thresholds and times: one odd frame changes no belief."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.session.clock import LONGEST
from memtrack_ros.session.estimate import State

TICK = 1e-3  # seconds: times that differ by less are the same


@dataclass(frozen=True)
class Presence:
    """Settings; the names are those of the parameters presence.*."""

    # Confidence from which what is seen is written into the memory; below 0: the tracker's own.
    remembered: float = -1.0
    seen: float = 0.5  # confidence from which a target is seen again
    unseen: float = 0.15  # confidence below which it is not seen
    unseen_seconds: float = 0.1  # not seen before TRACKING is not believed any more
    lost_seconds: float = 1.5  # not seen before OCCLUDED becomes LOST
    seen_frames: int = 2  # frames in a row seen before OCCLUDED or LOST becomes TRACKING


EVERYTHING = Presence(
    remembered=0.0, seen=0.0, unseen=0.0, unseen_seconds=inf, lost_seconds=inf, seen_frames=1
)
"""Every frame with anything in it shows the target and is remembered."""


@dataclass
class Belief(Stateful):
    """What is believed of one target: the `verdict` TRACKING, OCCLUDED or LOST."""

    kept: ClassVar[tuple[str, ...]] = ('verdict', 'unseen', 'seen')

    verdict: State = State.TRACKING
    unseen: float = 0.0
    """Seconds for which it was not seen."""
    seen: int = 0
    """Frames in a row in which it was seen again."""

    def faults(self, given: Given) -> Iterator[str]:
        """Of a target something is believed; while that is TRACKING, nothing else may be it."""
        if (verdict := given['verdict']) not in (State.TRACKING, State.OCCLUDED, State.LOST):
            yield f'verdict is {verdict.name}, which nobody has of a target'
        yield from outside(given, 'unseen', 0, LONGEST)
        yield from outside(given, 'seen', 0, MOST)
        if verdict is State.TRACKING and (seen := given['seen']):
            yield f'seen is {seen}, but a target that is TRACKING is not looked for elsewhere'

    @property
    def now(self) -> State:
        """The state in the last frame: TRACKING only if it is seen there."""
        doubted = self.verdict is State.TRACKING and self.unseen
        return State.OCCLUDED if doubted else self.verdict

    @property
    def candidate(self) -> bool:
        """Whether the last frame, though not yet TRACKING, showed what may be the target again."""
        return self.seen > 0

    def after(self, confidence: float, seconds: float, presence: Presence) -> Belief:
        """What is believed after another frame, `seconds` later, with this confidence."""
        if confidence >= (presence.unseen if self.verdict is State.TRACKING else presence.seen):
            seen = self.seen + 1
            if self.verdict is State.TRACKING or seen >= presence.seen_frames:
                return Belief()
            return Belief(self.verdict, self.unseen, seen)
        unseen = self.unseen + seconds
        if self.verdict is State.TRACKING and unseen < presence.unseen_seconds - TICK:
            return Belief(State.TRACKING, unseen)
        lost = self.verdict is not State.TRACKING and unseen > presence.lost_seconds - TICK
        return Belief(State.LOST if lost or self.verdict is State.LOST else State.OCCLUDED, unseen)
