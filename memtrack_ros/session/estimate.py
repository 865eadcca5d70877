"""What a session says of its target in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import nan

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels


class State(IntEnum):
    """State of a target; the numbers are those of TrackedTarget.msg."""

    IDLE = 0
    TRACKING = 1
    OCCLUDED = 2
    LOST = 3
    ERROR = 4
    UNSURE = 5


@dataclass(frozen=True)
class Estimate:
    """What is believed of the target in one frame; without a target nan and None.

    It is TRACKING only where the target is seen in this very frame. `spread` is the standard
    deviation of its centre along an axis, in pixels.
    """

    state: State
    confidence: float = nan
    score: float = nan
    box: OrientedBox | None = None
    roi: Floats | None = None
    mask: Pixels | None = None
    mask_is_box: bool = False
    frames_tracked: int = 0
    spread: float = nan


NOTHING = Estimate(State.IDLE)
"""Where there is no target."""
UNPROCESSED = Estimate(State.ERROR)
"""Of a frame that could not be processed."""
