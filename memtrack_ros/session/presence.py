"""Is the target there, and is it that? Thresholds and times: one odd frame changes no belief."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.session.clock import LONGEST
from memtrack_ros.session.estimate import State

PRESENT = State.TRACKING, State.UNSURE
BELIEVED = *PRESENT, State.OCCLUDED, State.LOST
TICK = 1e-3  # seconds: times that differ by less are the same


@dataclass(frozen=True)
class Presence:
    """Settings; the names are those of the parameters presence.*."""

    # Confidence from which what is seen is written into the memory; below 0: the tracker's own.
    remembered: float = -1.0
    seen: float = 0.5  # confidence from which a target is seen again
    unseen: float = 0.15  # confidence below which it is not seen
    unseen_seconds: float = 0.1  # not seen, or doubted, before TRACKING is not believed any more
    lost_seconds: float = 1.5  # not seen before OCCLUDED becomes LOST
    seen_frames: int = 2  # frames in a row seen before what is not TRACKING becomes so

    @property
    def sure(self) -> float:
        """Confidence below which what is tracked may be something else: half-way."""
        return (self.unseen + self.seen) / 2


EVERYTHING = Presence(
    remembered=0.0,
    seen=0.0,
    unseen=0.0,
    unseen_seconds=inf,
    lost_seconds=inf,
    seen_frames=1,
)
"""Every frame with anything in it shows the target and is remembered."""


@dataclass
class Belief(Stateful):
    """What is believed of one target: the `verdict` TRACKING, UNSURE, OCCLUDED or LOST."""

    kept: ClassVar[tuple[str, ...]] = ('verdict', 'unseen', 'doubted', 'seen')

    verdict: State = State.TRACKING
    unseen: float = 0.0
    """Seconds for which it was not seen."""
    doubted: float = 0.0
    """Seconds for which it was TRACKING and may have been something else."""
    seen: int = 0
    """Frames in a row in which it was seen again."""

    def faults(self, given: Given) -> Iterator[str]:
        """Of a target something is believed; while that is TRACKING, nothing else may be it."""
        if (verdict := given['verdict']) not in BELIEVED:
            yield f'verdict is {verdict.name}, which nobody has of a target'
        yield from outside(given, 'unseen', 0, LONGEST)
        yield from outside(given, 'doubted', 0, LONGEST)
        yield from outside(given, 'seen', 0, MOST)
        if verdict is State.TRACKING and (seen := given['seen']):
            yield f'seen is {seen}, but a target that is TRACKING is not looked for elsewhere'

    @property
    def now(self) -> State:
        """The state in the last frame: TRACKING only if it is surely seen there."""
        if self.unseen and self.verdict in PRESENT:
            return State.OCCLUDED
        return State.UNSURE if self.doubted else self.verdict

    @property
    def candidate(self) -> bool:
        """Whether the last frame, though not yet TRACKING, showed what may be the target again."""
        return self.seen > 0 and self.verdict in (State.OCCLUDED, State.LOST)

    def after(
        self, confidence: float, seconds: float, presence: Presence, *, contested: bool = False
    ) -> Belief:
        """What is believed after another frame, `seconds` later, with this confidence.

        `contested` where something else may as well be the target.
        """
        present = self.verdict in PRESENT
        if confidence < (presence.unseen if present else presence.seen):
            return self._missed(seconds, presence)
        if self.verdict is State.TRACKING:
            doubtful = contested or confidence < presence.sure
            return self._doubted(seconds, presence) if doubtful else Belief()
        if self.verdict is State.UNSURE and (contested or confidence < presence.seen):
            return Belief(State.UNSURE)
        return self._seen_again(presence, contested=contested)

    def _missed(self, seconds: float, presence: Presence) -> Belief:
        """Not seen for another so many seconds: gone after a moment, LOST after long."""
        unseen, verdict = self.unseen + seconds, self.verdict
        if verdict in PRESENT and unseen > presence.unseen_seconds - TICK:
            return Belief(State.OCCLUDED, unseen)
        if verdict is State.OCCLUDED and unseen > presence.lost_seconds - TICK:
            return Belief(State.LOST, unseen)
        return Belief(verdict, unseen)

    def _doubted(self, seconds: float, presence: Presence) -> Belief:
        """What is seen may be something else for another so many seconds: UNSURE after a moment."""
        doubted = self.doubted + seconds
        if doubted > presence.unseen_seconds - TICK:
            return Belief(State.UNSURE)
        return Belief(State.TRACKING, doubted=doubted)

    def _seen_again(self, presence: Presence, *, contested: bool) -> Belief:
        """Seen in another frame: after enough of them it is it, or one that is like it."""
        seen = self.seen + 1
        if seen < presence.seen_frames:
            return Belief(self.verdict, self.unseen, seen=seen)
        return Belief(State.UNSURE if contested else State.TRACKING)
