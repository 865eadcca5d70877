"""When a frame was taken, and how long after the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, isnan, nan
from typing import ClassVar

from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import Given, outside

RATE = 30.0  # frames a second, where no times are given
JITTER = 0.1  # seconds by which frames may come in a wrong order
COUNTED = 3600.0  # seconds: a longer while is like this
GAP = 3.0  # times the interval before: a longer one is no matter of a slow camera
LONGEST = 2.0**32  # seconds: from the first stamp that a message has room for to the last


@dataclass
class Clock(Stateful):
    """The time of a frame in seconds, nan while unknown, and the `seconds` since the one before.

    A target that is restored was last seen at an unknown time: as if no time had passed since.
    `jumped` where time went back, or so far forth that what was known of before is too old.
    """

    kept: ClassVar[tuple[str, ...]] = ('seconds',)

    time: float = nan
    seconds: float = 1 / RATE
    jumped: bool = False

    def faults(self, given: Given) -> Iterator[str]:
        """Time passed, and no more than stamps can say."""
        yield from outside(given, 'seconds', 0, LONGEST)

    def at(self, time: float | None, limit: float) -> Clock:
        """That of the next frame, taken at `time`; what is older than `limit` seconds is too old.

        Without a time, and where time stands still, the frames come at RATE.
        """
        if time is None or not isfinite(time):
            return Clock(self.time + 1 / RATE)
        if isnan(self.time):
            return Clock(time, self.seconds)
        passed = time - self.time
        jumped = not -JITTER <= passed <= max(limit, GAP * self.seconds)
        return Clock(time, min(passed, COUNTED) if passed > 0 else 1 / RATE, jumped)
