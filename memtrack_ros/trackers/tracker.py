"""What every tracker is, and what goes in and out of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from math import nan
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import Bank, Stateful
from memtrack_ros.memory.snapshot import Given, outside
from memtrack_ros.weights.files import Calibration


class State(IntEnum):
    """State of a target; the numbers are those of TrackedTarget.msg."""

    IDLE = 0
    TRACKING = 1
    OCCLUDED = 2
    LOST = 3
    ERROR = 4


@dataclass(frozen=True)
class Prompt:
    """What a user points with, in pixels.

    A box (4,) x, y, w, h; a mask (H, W), non-zero = target; or a point (2,) x, y.
    """

    kind: Literal['box', 'mask', 'point']
    value: NDArray[np.generic]


@dataclass(frozen=True)
class Target:
    """A prompt made definite: its box (4,) inside the frame, its mask uint8 (H, W) 0/255 if any."""

    box: Floats
    mask: Pixels | None


@dataclass(frozen=True)
class Prior:
    """Where to look: the box (4,) expected, and how much wider than usual to search around it."""

    box: Floats
    search: float = 1.0


@dataclass(frozen=True)
class Observation:
    """What a tracker found in one frame: its score, box (4,) and mask uint8 (H, W) 0/255.

    And the oriented box, where the tracker has a way of its own to fit it.
    """

    score: float
    box: Floats
    mask: Pixels
    oriented: OrientedBox | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Estimate:
    """What is believed of the target in one frame; without a target nan and None."""

    state: State
    confidence: float
    score: float
    box: OrientedBox | None
    roi: Floats | None
    mask: Pixels | None
    mask_is_box: bool
    frames_tracked: int


UNPROCESSED = Estimate(State.ERROR, nan, nan, None, None, None, False, 0)
"""Of a frame that could not be processed."""


class Tracker(Stateful, ABC):
    """One published tracker.

    Frames are uint8 (H, W, 3) BGR; any number of instances live side by side.
    """

    kept: ClassVar[tuple[str, ...]] = ('bank',)

    name: str
    variant: str
    segments: bool  # False: its mask is the box filled
    device: torch.device
    bank: Bank
    calibration: Calibration
    weights: str = ''  # digest of what it was made with; the registry notes it
    sure: float = 0.0  # confidence from which it remembers, where presence.remembered asks for less

    def faults(self, given: Given) -> Iterator[str]:
        """The border's colour, where there is one, is one of an image."""
        if '_border' in given:
            yield from outside(given, '_border', 0, 255)

    @abstractmethod
    def initialise(self, frame: Pixels, target: Target) -> Observation:
        """Forget what was, remember the target, and say how it is seen in its own frame."""

    @abstractmethod
    def locate(self, frame: Pixels, prior: Prior) -> Observation:
        """Find the target; changes nothing, so that a second call gives the same answer."""

    @abstractmethod
    def remember(self, frame: Pixels, observation: Observation) -> None:
        """Write what was seen of the target in `frame` into the memory."""
