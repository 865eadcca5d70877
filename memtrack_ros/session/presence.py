"""Is the target there? Two thresholds and counts of frames: one odd frame changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.trackers.tracker import State


@dataclass(frozen=True)
class Presence:
    """Settings; the names are those of the parameters presence.*."""

    remembered: float = 0.6  # confidence from which what is seen is written into the memory
    seen: float = 0.5  # confidence from which a target is seen again
    unseen: float = 0.15  # confidence below which it is not seen
    unseen_frames: int = 3  # frames in a row not seen before TRACKING becomes OCCLUDED
    lost_frames: int = 45  # frames not seen before OCCLUDED becomes LOST
    seen_frames: int = 2  # frames in a row seen before OCCLUDED or LOST becomes TRACKING


class PresenceFilter(Stateful):
    """What is believed of one target over time: TRACKING, OCCLUDED or LOST."""

    kept: ClassVar[tuple[str, ...]] = ('belief', '_unseen', '_seen')

    def __init__(self) -> None:
        self.belief = State.TRACKING
        self._unseen = 0
        self._seen = 0

    def faults(self, given: Given) -> Iterator[str]:
        """Of a target something is believed."""
        if (belief := given['belief']) not in (State.TRACKING, State.OCCLUDED, State.LOST):
            yield f'belief is {belief.name}, which nobody has of a target'
        yield from outside(given, '_unseen', 0, MOST)
        yield from outside(given, '_seen', 0, MOST)

    def update(self, confidence: float, settings: Presence) -> State:
        """Take in one frame's confidence; returns the new belief."""
        if self.belief is State.TRACKING:
            self._unseen = self._unseen + 1 if confidence < settings.unseen else 0
            if self._unseen >= settings.unseen_frames:
                self.belief, self._seen = State.OCCLUDED, 0
            return self.belief
        if confidence >= settings.seen:
            self._seen += 1
        else:
            self._seen, self._unseen = 0, self._unseen + 1
        if self._seen >= settings.seen_frames:
            self.belief, self._unseen = State.TRACKING, 0
        elif self._unseen >= settings.lost_frames:
            self.belief = State.LOST
        return self.belief

    @property
    def candidate(self) -> bool:
        """Whether the last frame, though not yet TRACKING, showed what may be the target again."""
        return self.belief is not State.TRACKING and self._seen > 0

    def search_for(self, settings: Presence) -> None:
        """Count as LOST at once: what was known of the place is too old."""
        self.belief, self._unseen, self._seen = State.LOST, settings.lost_frames, 0
