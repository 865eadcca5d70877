"""What every tracker is, and how it starts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import torch
from torch import nn

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.memory import Bank, Stateful
from memtrack_ros.memory.snapshot import Given, outside
from memtrack_ros.nets.compact import CompactTrunk
from memtrack_ros.trackers.identity import Identity
from memtrack_ros.trackers.observation import Observation, Prior, Sight, Target
from memtrack_ros.trackers.search import (
    border_colour,
    pseudo_mask,
    to_device,
    whole_window,
)
from memtrack_ros.weights.files import Calibration

RECKONED = 1.25  # how much wider than usual to look where a survey says
MOST_EXCESS = 0.3

Found = TypeVar('Found', bound=Observation)
View = TypeVar('View')
One = TypeVar('One', bound='Tracker[Any, Any]')


class Tracker(Stateful, ABC, Generic[Found, View]):
    """One published tracker.

    Frames are uint8 (H, W, 3) BGR; any number of instances live side by side. `Found` is what it
    finds in a frame; `View` what it sees of the one in which it is given its target.
    """

    kept: ClassVar[tuple[str, ...]] = ('bank', 'border', 'excess')

    name: str
    variant: str
    segments: bool
    """False: its mask is the box filled."""
    gated: bool
    """Whether only what is surely seen is believed and remembered; else every frame is, as the
    authors do it."""
    remembered: float = 0.75
    """Confidence from which it remembers best what it sees, if it is gated."""
    lasting: float = 0.4
    """Share of the first answer's excess over the target, in logarithms of sides, that later ones
    have, too.

    The slope is .29 (CMEDFL) to .53 (MemTrack) on 24 drawn scenes, .31 to .52 on 16 real sequences.
    Where a tracker takes a shadow for a part of a car, each frame would add to the box else.
    """
    bank: Bank
    trunk: CompactTrunk | None = None
    """What a compact tracker sees with."""
    weights: str = ''
    """Digest of what it was made with; the registry notes it."""
    precision: torch.dtype = torch.float32
    """That its convolutions compute in; the registry notes it."""

    def __init__(self, calibration: Calibration, device: torch.device) -> None:
        self.calibration, self.device = calibration, device
        self.identity = Identity(device) if 'identity' in self.kept else None
        """What tells the target from all else; the paper variants have none."""
        self.border: Floats = np.zeros(3)
        """Colour (3,) that stands for the world beyond the frame: the first frame's mean."""
        self.excess: Floats = np.zeros(2)
        """Log of how many times too wide and high (2,) answers are; 0 without a gate."""

    def faults(self, given: Given) -> Iterator[str]:
        """The border's colour is one of an image, an excess is moderate."""
        yield from outside(given, 'border', 0, 255)
        yield from outside(given, 'excess', -MOST_EXCESS, MOST_EXCESS)

    def twin(self: One) -> One:
        """Another tracker of the same network, with a memory of its own, which is empty."""
        twin = deepcopy(self, {id(module): module for module in networks(self)})
        twin.bank.clear()
        return twin

    def kept_to(self, found: Found, mask: Pixels, shares: Pixels) -> Found:
        """What was found, as far as other targets leave it: its mask and shares are to be these."""
        return replace(found, mask=mask, shares=shares)

    @torch.inference_mode()
    def initialise(self, frame: Pixels, target: Target) -> Observation:
        """Forget what was, remember the target, and say how it is seen in its own frame.

        A rough outline is first segmented with the memory that it makes. What does not segment
        takes the box for a mask.
        """
        self.border = border_colour(frame)
        if not self.gated:  # its authors begin with what was pointed at, beyond the frame, too
            target = replace(target, box=target.whole)
        if not self.segments:
            target = Target(target.box, boxes.box_mask(target.box, *frame.shape[:2]))
        view = self.view(frame, target.box)
        if not target.exact:
            self.begin(view, target)
            view, target = self.refine(frame, view, target)
        self.begin(view, target)
        found = self.locate(frame, Prior(target.box))
        if self.identity is not None and found.sight is not None:
            whole = self._sight(frame, whole_window(frame, found.sight.window.side))
            self.identity.begin(found.sight, whole, target.box, target.mask)
            near = found.sight.window
            places = self.identity.look_alikes(whole, target.box)
            closer = (Window.around(place, near.pitch, near.side) for place in places)
            sights = (self._sight(frame, window) for window in closer)
            self.identity.tell_apart(sights, target.box)
        if self.gated:
            excess = self.lasting * np.log(found.box[2:] / target.box[2:])
            self.excess = np.clip(excess, -MOST_EXCESS, MOST_EXCESS)
        return Observation(found.score, target.box, target.mask, sight=found.sight)

    def refine(self, frame: Pixels, view: View, target: Target) -> tuple[View, Target]:
        """The target with a mask in place of its rough outline, with which it was begun."""
        segmented = self.locate(frame, Prior(target.box)).mask
        mask = pseudo_mask(segmented, target.box, target.mask)
        return view, replace(target, mask=mask, exact=True)

    @abstractmethod
    def view(self, frame: Pixels, box: Floats) -> View:
        """What is seen of a target's first frame around its box (4,)."""

    @abstractmethod
    def begin(self, view: View, target: Target) -> None:
        """Forget what was, and remember the target as the view of its frame shows it."""

    @abstractmethod
    def locate(self, frame: Pixels, prior: Prior) -> Found:
        """Find the target; changes nothing, so that a second call gives the same answer."""

    def find(self, frame: Pixels, prior: Prior) -> Found:
        """The same, with a box as large as the prompt would have it."""
        return self.sized(self.locate(frame, prior))

    def sized(self, found: Found) -> Found:
        """What was found, with a box as large as the prompt would have it."""
        if not self.excess.any():
            return found
        size = found.box[2:] * np.exp(-self.excess)
        return replace(found, box=boxes.from_centre(boxes.centre(found.box), size))

    @abstractmethod
    def remember(self, frame: Pixels, found: Found) -> None:
        """Write what was found of the target in `frame` into the memory."""

    def reads(self, found: Found) -> dict[int, float]:
        """How much of what `found` was read from memory came from what the bank has by a number.

        They sum up to one; to less where the target's cells found nothing that is like them. Empty
        where the tracker cannot say, as the paper variants. To be asked before the next write.
        """
        return {}

    @torch.inference_mode()
    def survey(self, frame: Pixels, window: Window, box: Floats) -> Prior:
        """Where in a wide window of the frame a lost target, last of the size of `box`, may be.

        As large as what is seen there that is like it.
        """
        assert self.identity is not None
        place, growth = self.identity.likeliest(self._sight(frame, window), box)
        return Prior(boxes.from_centre(place, growth * box[2:]), RECKONED)

    def _sight(self, frame: Pixels, window: Window) -> Sight:
        assert self.trunk is not None
        crop = to_device(cut(frame, window, self.border), self.device)
        return Sight(window, self.trunk(crop).eighth[0])

    def learn(self, found: Found) -> None:
        """Know the target by what was found."""
        if self.identity is not None and found.sight is not None:
            self.identity.learn(found.sight, found.box, found.mask)

    def forget(self) -> None:
        """Forget the target."""
        self.bank.clear()
        if self.identity is not None:
            self.identity.clear()

    def freeze(self, frozen: bool) -> None:
        """Write nothing from now on, or write again."""
        self.bank.frozen = frozen
        if self.identity is not None:
            self.identity.frozen = frozen


def networks(part: object) -> Iterator[nn.Module]:
    """All modules of `part`, a tracker or what it keeps its network in."""
    for value in vars(part).values():
        if isinstance(value, nn.Module):
            yield from value.modules()
        elif isinstance(value, Stateful):
            yield from networks(value)


AnyTracker: TypeAlias = Tracker[Any, Any]
"""A tracker, whichever."""
