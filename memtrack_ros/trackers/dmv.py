"""DMV (Nam, Oh, Lee, Kim, ECCV 2020): the parts of remembered frames vote on every part seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.memory import PartRing
from memtrack_ros.nets.dmv import CROP, Answer, CompactDMV, DMVNet, PaperDMV, Query
from memtrack_ros.nets.inference import ready
from memtrack_ros.trackers.search import (
    Chooser,
    border_colour,
    label_map,
    mask_in_frame,
    pseudo_mask,
    search_window,
    to_device,
)
from memtrack_ros.trackers.tracker import Observation, Prior, Target, Tracker
from memtrack_ros.weights.files import Calibration, Weights, load_into


class Settings(NamedTuple):
    """Inference of one variant."""

    side: int  # of the crop, pixels
    chooser: Chooser
    capacity: int  # frames in the bank


COMPACT = Settings(
    side=CROP,
    chooser=Chooser(penalty_k=0.15, window_influence=0.21, test_lr=0.5, smallest=3.0),
    capacity=16,
)
# The paper says nothing of how one box is chosen of those predicted 'similar to' SiamRPN: as there.
PAPER = Settings(
    side=256,
    chooser=Chooser(penalty_k=0.055, window_influence=0.42, test_lr=0.295, smallest=10.0),
    capacity=32,
)


@dataclass(frozen=True)
class Found(Observation):
    """An observation with what the memory would store of it: the search crop's key and answer."""

    key: Tensor
    answer: Answer
    usual: bool  # searched in a window of the usual size


class DMV(Tracker):
    """The compact variant, and what both share.

    The whole search crop is what is remembered of a frame, background included: its query is the
    key, so that a write needs no second pass of the backbone. A frame searched in a wider window is
    not: its parts are smaller than those they will be compared with.
    """

    name = 'dmv'
    variant = 'compact'
    segments = True
    sure = 0.7  # the paper's centre score (section 3.5), here calibrated
    bank: PartRing
    kept = (*Tracker.kept, '_border')

    def __init__(
        self,
        net: DMVNet,
        settings: Settings,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
    ) -> None:
        """Allocate the bank; ConfigurationError when it is over `max_bytes`."""
        self.settings, self.calibration, self.device = settings, calibration, device
        self.bank = PartRing(
            settings.capacity, net.channels, net.cells, max_bytes=max_bytes, device=device
        )
        self.net = ready(net, device)
        self._border: Floats = np.zeros(3)

    @torch.inference_mode()
    def initialise(self, frame: Pixels, target: Target) -> Observation:
        """Store the target's frame with its box and, where it segments, its mask.

        A box alone is first segmented with the memory that it makes.
        """
        self._border = border_colour(frame)
        box, mask = target.box, target.mask
        window = self.window(frame, box, 1.0)
        key = self._query(frame, window).key
        filled = boxes.box_mask(box, *frame.shape[:2])
        if not self.segments:
            mask = filled
        elif mask is None:
            self._begin(key, window, box, None)
            mask = pseudo_mask(self.locate(frame, Prior(box)).mask, box, filled)
        self._begin(key, window, box, mask)
        return Observation(self.locate(frame, Prior(box)).score, box, mask)

    def _begin(self, key: Tensor, window: Window, box: Floats, mask: Pixels | None) -> None:
        """Forget what was; store a frame's key, its target's box (4,) and mask (H, W), if known."""
        self.bank.clear()
        middle = window.to_crop(boxes.centre(box))
        half = box[2:] / window.pitch / 2
        corners = torch.tensor([*(middle - half), *(middle + half)], dtype=torch.float32)
        told = torch.zeros(1, 1, window.side // 2, window.side // 2)
        if mask is not None:
            label = torch.from_numpy(label_map(mask, window))[None, None]
            told = 2 * F.avg_pool2d(label, 2) - 1
        value = self.net.first_value(key, corners[None].to(self.device), told.to(self.device))
        self.bank.write(key[0], value[0])

    @torch.inference_mode()
    def locate(self, frame: Pixels, prior: Prior) -> Found:
        """One query (section 3.1): read, score all anchors, answer with the preferred one."""
        window = self.window(frame, prior.box, prior.search)
        query = self._query(frame, window)
        answer = self.net.answer(*self.bank.read(), query)
        maps, logits = answer
        score = maps.score[0].permute(1, 2, 0).double().cpu().numpy()
        corners = maps.boxes[0].permute(2, 3, 0, 1).double().cpu().numpy()
        choice = self.settings.chooser.choose(score, corners, prior, window, frame)
        if logits is None:
            mask = boxes.box_mask(choice.box, *frame.shape[:2])
        else:
            mask = mask_in_frame(logits[0, 0], window, choice.box, frame)
        return Found(choice.score, choice.box, mask, query.key, answer, prior.search == 1.0)

    @torch.inference_mode()
    def remember(self, frame: Pixels, observation: Observation) -> None:
        """Store what `locate` saw and answered, if the bank is due for it."""
        assert isinstance(observation, Found)
        if observation.usual and self.bank.due:
            key = observation.key
            self.bank.write(key[0], self.net.found_value(key, observation.answer)[0])
        else:
            self.bank.refuse()

    def window(self, frame: Pixels, box: Floats, search: float) -> Window:
        """The search window around `box`, `search` times as wide as usual."""
        return search_window(frame, box, search, self.settings.side)

    def _query(self, frame: Pixels, window: Window) -> Query:
        return self.net.query(to_device(cut(frame, window, self._border), self.device))


class PublishedDMV(DMV):
    """The paper variant: SiamFC's context in the crop, the box for a mask."""

    variant = 'paper'
    segments = False

    def window(self, frame: Pixels, box: Floats, search: float) -> Window:
        """Twice as wide as SiamFC's exemplar: sqrt((w + p) (h + p)) with p = (w + h) / 2."""
        exemplar = boxes.scale([0, 0, *(box[2:] + box[2:].sum() / 2)])
        side = self.settings.side
        return Window.around(boxes.centre(box), 2 * search * exemplar / side, side)


def create(variant: str, weights: Weights, path: Path, device: torch.device, max_bytes: int) -> DMV:
    """DMV with the weights read from `path`; ConfigurationError when they do not fit."""
    kind, settings = (DMV, COMPACT) if variant == 'compact' else (PublishedDMV, PAPER)
    net = CompactDMV() if variant == 'compact' else PaperDMV()
    load_into(net, weights, path)
    return kind(net, settings, weights.calibration, device, max_bytes)
