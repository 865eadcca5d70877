"""What a tracker is told of a target, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels, Window


@dataclass(frozen=True)
class Target:
    """A prompt made definite: its box (4,) inside the frame and its mask uint8 (H, W) 0/255.

    The mask is `exact`, or a rough outline of the target, such as its box filled. What it was
    pointed at with may reach beyond the frame: a box (4,), or four corners (8,) x1, y1, ... x4, y4,
    edges of the extent; None for a mask.
    """

    box: Floats
    mask: Pixels
    exact: bool = True
    pointed: Floats | None = None

    def __post_init__(self) -> None:
        if self.pointed is None and not self.exact:
            object.__setattr__(self, 'pointed', self.box)

    @property
    def whole(self) -> Floats:
        """The box (4,) that was pointed with, beyond the frame, too."""
        if self.pointed is None:
            return self.box
        return self.pointed if len(self.pointed) == 4 else boxes.bounds(self.pointed)


@dataclass(frozen=True)
class Prior:
    """Where to look: the box (4,) expected, and how much wider than usual to search around it."""

    box: Floats
    search: float = 1.0

    @property
    def usual(self) -> bool:
        """Whether the target is expected there: then what lies central is preferred."""
        return self.search == 1.0


@dataclass(frozen=True, eq=False)
class Sight:
    """What a compact tracker saw: the trunk's features (C, h, w) of a window.

    It is that one, whatever another shows.
    """

    window: Window
    features: Tensor


@dataclass(frozen=True)
class Observation:
    """What a tracker found in one frame: its score, box (4,) and mask uint8 (H, W) 0/255.

    And the oriented box, where the tracker has a way of its own to fit it; the shares uint8 (H, W)
    of the target in the pixels, P * 255, of which the mask are those above one half, where the
    tracker segments; and the sight by which the answer can be judged, if any.
    """

    score: float
    box: Floats
    mask: Pixels
    oriented: OrientedBox | None = field(default=None, kw_only=True)
    shares: Pixels | None = field(default=None, kw_only=True)
    sight: Sight | None = field(default=None, kw_only=True)
