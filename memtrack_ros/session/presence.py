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

BELIEVED = State.TRACKING, State.UNSURE, State.OCCLUDED, State.LOST
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
        if self.unseen and self.verdict in (State.TRACKING, State.UNSURE):
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
        if self.verdict in (State.TRACKING, State.UNSURE) and confidence < presence.unseen:
            return self._unseen(seconds, presence)
        if self.verdict is State.TRACKING:
            if confidence >= presence.sure and not contested:
                return Belief()
            doubted = self.doubted + seconds
            unsure = doubted > presence.unseen_seconds - TICK
            return Belief(State.UNSURE) if unsure else Belief(State.TRACKING, 0.0, doubted)
        if confidence < presence.seen:
            return Belief(State.UNSURE) if self._unsure else self._unseen(seconds, presence)
        if self._unsure and contested:
            return Belief(State.UNSURE)
        seen = self.seen + 1
        if seen >= presence.seen_frames:
            return Belief(State.UNSURE if contested else State.TRACKING)
        return Belief(self.verdict, self.unseen, 0.0, seen)

    @property
    def _unsure(self) -> bool:
        return self.verdict is State.UNSURE

    def _unseen(self, seconds: float, presence: Presence) -> Belief:
        """It is not seen for another so many seconds."""
        unseen = self.unseen + seconds
        if self.verdict in (State.TRACKING, State.UNSURE):
            gone = unseen > presence.unseen_seconds - TICK
            return Belief(State.OCCLUDED if gone else self.verdict, unseen)
        lost = self.verdict is State.LOST or unseen > presence.lost_seconds - TICK
        return Belief(State.LOST if lost else State.OCCLUDED, unseen)
