"""Trackers that see a crop before they ask their memories: those of one network see all at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from memtrack_ros.geometry.windows import Pixels, Window
from memtrack_ros.nets.trees import mapped
from memtrack_ros.trackers.observation import Prior, Sight
from memtrack_ros.trackers.search import to_device
from memtrack_ros.trackers.tracker import Found, Tracker, View


@dataclass(frozen=True)
class Look:
    """A window of a frame, the crop uint8 (S, S, 3) BGR that it shows, and what is seen in it.

    `query` is as the network has it: tensors (1, ...), in tuples.
    """

    window: Window
    crop: Pixels
    query: Any


class LookingTracker(Tracker[Found, View]):
    """A tracker of which locating is looking and, by what its memory holds, answering."""

    @abstractmethod
    def show(self, frame: Pixels, prior: Prior) -> tuple[Window, Pixels]:
        """The search window, and what it shows of the frame."""

    @abstractmethod
    def see(self, crops: Tensor) -> Any:
        """What the network sees in crops (N, 3, S, S), RGB 0..255; no memory has a part in it."""

    @abstractmethod
    def answer(self, frame: Pixels, prior: Prior, look: Look) -> Found:
        """Where the target is, by a look where the prior says; changes nothing."""

    def sight(self, look: Look) -> Sight | None:
        """What a judge sees of a look; of a paper variant's it sees nothing."""
        return None

    def locate(self, frame: Pixels, prior: Prior) -> Found:
        """Look, and answer."""
        return self.answer(frame, prior, *look_together(frame, [(self, prior)]))

    def find(self, frame: Pixels, prior: Prior, look: Look | None = None) -> Found:
        """The same, with a box as large as the prompt would have it, by a `look` had already."""
        if look is None:
            return super().find(frame, prior)
        return self.sized(self.answer(frame, prior, look))


@torch.inference_mode()
def look_together(
    frame: Pixels, seeing: Sequence[tuple[LookingTracker[Any, Any], Prior]]
) -> list[Look]:
    """What trackers of one network see of `frame`, each where its prior says, in one pass of it."""
    shown = [tracker.show(frame, prior) for tracker, prior in seeing]
    one = seeing[0][0]
    query = one.see(torch.cat([to_device(crop, one.device) for _, crop in shown]))
    return [
        Look(window, crop, mapped(itemgetter(slice(number, number + 1)), query))
        for number, (window, crop) in enumerate(shown)
    ]
