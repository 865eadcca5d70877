"""Is the target there? Two thresholds and counts of frames: one odd frame changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.session.estimate import State


@dataclass(frozen=True)
class Presence:
    """Settings; the names are those of the parameters presence.*."""

    # Confidence from which what is seen is written into the memory; below 0: the tracker's own.
    remembered: float = -1.0
    seen: float = 0.5  # confidence from which a target is seen again
    unseen: float = 0.15  # confidence below which it is not seen
    unseen_frames: int = 3  # frames in a row not seen before TRACKING becomes OCCLUDED
    lost_frames: int = 45  # frames not seen before OCCLUDED becomes LOST
    seen_frames: int = 2  # frames in a row seen before OCCLUDED or LOST becomes TRACKING


EVERYTHING = Presence(remembered=0.0, seen=0.0, unseen=0.0)
"""Every frame shows the target and is remembered."""


class Belief(Stateful):
    """What is believed of one target over time: TRACKING, OCCLUDED or LOST."""

    kept: ClassVar[tuple[str, ...]] = ('verdict', '_unseen', '_seen')

    def __init__(self) -> None:
        self.verdict = State.TRACKING
        self._unseen = 0
        self._seen = 0

    def faults(self, given: Given) -> Iterator[str]:
        """Of a target something is believed."""
        if (verdict := given['verdict']) not in (State.TRACKING, State.OCCLUDED, State.LOST):
            yield f'verdict is {verdict.name}, which nobody has of a target'
        yield from outside(given, '_unseen', 0, MOST)
        yield from outside(given, '_seen', 0, MOST)

    def update(self, confidence: float, settings: Presence) -> State:
        """Take in one frame's confidence; returns the new verdict."""
        if self.verdict is State.TRACKING:
            self._unseen = self._unseen + 1 if confidence < settings.unseen else 0
            if self._unseen >= settings.unseen_frames:
                self.verdict, self._seen = State.OCCLUDED, 0
            return self.verdict
        if confidence >= settings.seen:
            self._seen += 1
        else:
            self._seen, self._unseen = 0, self._unseen + 1
        if self._seen >= settings.seen_frames:
            self.verdict, self._unseen = State.TRACKING, 0
        elif self._unseen >= settings.lost_frames:
            self.verdict = State.LOST
        return self.verdict

    @property
    def candidate(self) -> bool:
        """Whether the last frame, though not yet TRACKING, showed what may be the target again."""
        return self.verdict is not State.TRACKING and self._seen > 0

    def search_for(self, settings: Presence) -> None:
        """Count as LOST at once: what was known of the place is too old."""
        self.verdict, self._unseen, self._seen = State.LOST, settings.lost_frames, 0
