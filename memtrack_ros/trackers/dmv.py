"""DMV (Nam, Oh, Lee, Kim, ECCV 2020): the parts of remembered frames vote on every part seen."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.memory import PartRing
from memtrack_ros.memory.part_ring import INTERVAL
from memtrack_ros.nets.compact import CROP
from memtrack_ros.nets.dmv import CompactDMV, DMVAnswer, DMVNet, DMVQuery, PaperDMV, depth_of
from memtrack_ros.nets.inference import ready
from memtrack_ros.nets.transfer import carried, fetched
from memtrack_ros.nets.voting import CANDIDATES, most_similar
from memtrack_ros.trackers.looking import Look, LookingTracker
from memtrack_ros.trackers.observation import Observation, Prior, Sight, Target
from memtrack_ros.trackers.parts import Parts
from memtrack_ros.trackers.search import (
    Chooser,
    Outline,
    asking,
    by_number,
    filled,
    label_map,
    search_window,
    segmented,
    to_device,
)
from memtrack_ros.trackers.tracker import Tracker
from memtrack_ros.weights.files import Calibration, load_into

SURE = 0.7  # confidence from which a frame is stored: the paper's centre score (section 3.5)


class DMVSettings(NamedTuple):
    """Inference of one variant."""

    side: int  # of the crop, pixels
    chooser: Chooser
    capacity: int  # frames in the bank; one is the first alone
    interval: int = INTERVAL  # frames from one stored to the next, at least
    candidates: int = CANDIDATES  # K, memory cells that vote for each of the query


COMPACT = DMVSettings(
    side=CROP,
    chooser=Chooser(penalty_k=0.15, window_influence=0.21, test_lr=0.5, smallest=3.0),
    capacity=8,
)
# The paper says nothing of how one box is chosen of those predicted 'similar to' SiamRPN: as there.
PAPER = DMVSettings(
    side=256,
    chooser=Chooser(penalty_k=0.055, window_influence=0.42, test_lr=0.295, smallest=10.0),
    capacity=32,
)


FREE = {'candidates': 1, 'capacity': 1, 'interval': 1}


@dataclass(frozen=True)
class DMVObservation(Observation):
    """An observation with what the memory would store of it: the search crop's key and answer."""

    key: Tensor
    answer: DMVAnswer
    usual: bool  # searched in a window of the usual size


class FirstWindow(NamedTuple):
    """The window of a target's first frame, and the key of what it shows."""

    window: Window
    key: Tensor


class DMVTracker(LookingTracker[DMVObservation, FirstWindow]):
    """What both variants share.

    The whole search crop is what is remembered of a frame, background included: its query is the
    key, so that a write needs no second pass of the backbone. A frame searched in a wider window is
    not: its parts are smaller than those they will be compared with.
    """

    name = 'dmv'
    bank: PartRing

    def __init__(
        self,
        net: DMVNet,
        settings: DMVSettings,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Allocate the bank; ConfigurationError when it is over `max_bytes`.

        Convolutions and the search for like parts compute in `precision`.
        """
        super().__init__(calibration, device)
        self.settings = settings
        self.bank = PartRing(
            settings.capacity,
            net.channels,
            net.cells,
            max_bytes=max_bytes,
            device=device,
            interval=settings.interval,
        )
        self.net = ready(net, device, precision)
        self.net.reader.candidates = settings.candidates
        self.trunk = net.trunk if isinstance(net, CompactDMV) else None

    def view(self, frame: Pixels, box: Floats) -> FirstWindow:
        """The search window around the box and its key."""
        window = self.window(frame, box, 1.0)
        crop = to_device(cut(frame, window, self.border), self.device)
        return FirstWindow(window, self.net.query(crop).key)

    @torch.inference_mode()
    def begin(self, view: FirstWindow, target: Target) -> None:
        """Forget what was; store the frame's key with the target's box and, if known, its mask."""
        self.bank.clear()
        window, key = view
        middle = window.to_crop(boxes.centre(target.box))
        half = target.box[2:] / window.pitch / 2
        corners = torch.tensor([*(middle - half), *(middle + half)], dtype=torch.float32)
        told = torch.zeros(1, 1, window.side // 2, window.side // 2)
        if target.exact:
            label = torch.from_numpy(label_map(target.mask, window))[None, None]
            told = 2 * F.avg_pool2d(label, 2) - 1
        value = self.net.first_value(
            key, carried(corners[None], self.device), carried(told, self.device)
        )
        self.bank.write(key[0], value[0])

    def show(self, frame: Pixels, prior: Prior) -> tuple[Window, Pixels]:
        """The search window where the prior says, and its crop."""
        window = self.window(frame, prior.box, prior.search)
        return window, cut(frame, window, self.border)

    def see(self, crops: Tensor) -> DMVQuery:
        """The query's key, and what the mask decoder needs."""
        return self.net.query(crops)

    @torch.inference_mode()
    def answer(self, frame: Pixels, prior: Prior, look: Look) -> DMVObservation:
        """One query (section 3.1): read, score all anchors, answer with the preferred one."""
        answer = self.net.answer(*self.bank.read(), look.query)
        maps, logits = fetched(answer)
        score = maps.score[0].permute(1, 2, 0).double().numpy()
        corners = maps.boxes[0].permute(2, 3, 0, 1).double().numpy()
        choice = self.settings.chooser.choose(score, corners, prior, look.window, frame)
        box, mask, shares = self.outline(frame, look, choice.box, logits)
        key, sight = look.query.key, self.sight(look)
        return DMVObservation(
            choice.score, box, mask, key, answer, prior.usual, shares=shares, sight=sight
        )

    @torch.inference_mode()
    def remember(self, frame: Pixels, found: DMVObservation) -> None:
        """Store what `locate` saw and answered, if the bank is due for it."""
        if found.usual and self.bank.due:
            self.bank.write(found.key[0], self.net.found_value(found.key, found.answer)[0])
        else:
            self.bank.refuse()

    @abstractmethod
    def outline(self, frame: Pixels, look: Look, box: Floats, logits: Tensor | None) -> Outline:
        """The target where a look gave these mask logits, and the anchor with this box (4,)."""

    @abstractmethod
    def window(self, frame: Pixels, box: Floats, search: float) -> Window:
        """The search window around `box`, `search` times as wide as usual."""


class CompactDMVTracker(DMVTracker):
    """The compact variant: it segments."""

    variant = 'compact'
    segments = gated = True
    remembered = SURE
    kept = (*Tracker.kept, 'identity')

    @torch.inference_mode()
    def reads(self, found: DMVObservation) -> dict[int, float]:
        """How many of the candidates that vote, of eq. 1, are of each frame."""
        assert found.sight is not None
        keys, _, valid = self.bank.read()
        asked = asking(found.key, found.sight.window, found.mask)
        chosen = most_similar(keys, asked, valid, self.settings.candidates).flatten()
        frames = (chosen[chosen > 0] - 1) // keys[0, 0, 0].numel()
        share = torch.full(frames.shape, 1 / len(chosen))
        return by_number(self.bank.held()[frames.cpu().numpy()], share)

    def outline(self, frame: Pixels, look: Look, box: Floats, logits: Tensor | None) -> Outline:
        """As the network segments it."""
        assert logits is not None
        return segmented(logits[0, 0], look.window, box, frame, look.crop)

    def sight(self, look: Look) -> Sight:
        """The trunk's cells."""
        return Sight(look.window, look.query.levels.eighth[0])

    def window(self, frame: Pixels, box: Floats, search: float) -> Window:
        """As all compact trackers search."""
        return search_window(frame, box, search, self.settings.side)


class PaperDMVTracker(DMVTracker):
    """The paper variant: SiamFC's context in the crop, the box for a mask."""

    variant = 'paper'
    segments = gated = False

    def outline(self, frame: Pixels, look: Look, box: Floats, logits: Tensor | None) -> Outline:
        """The box."""
        return filled(box, frame)

    def window(self, frame: Pixels, box: Floats, search: float) -> Window:
        """Twice as wide as SiamFC's exemplar: sqrt((w + p) (h + p)) with p = (w + h) / 2."""
        exemplar = boxes.scale([0, 0, *(box[2:] + box[2:].sum() / 2)])
        side = self.settings.side
        return Window.around(boxes.centre(box), 2 * search * exemplar / side, side)

    def remember(self, frame: Pixels, found: DMVObservation) -> None:
        """Only what it is sure of, as the paper has it."""
        if self.calibration.confidence(found.score) >= SURE:
            super().remember(frame, found)
        else:
            self.bank.refuse()


def create(variant: str, parts: Parts) -> DMVTracker:
    """DMV of these parts; ConfigurationError when they do not fit."""
    if variant == 'compact':
        net: DMVNet = CompactDMV()
        settings = parts.chosen.of('dmv (compact)', {'': COMPACT}, FREE)
        kind: type[DMVTracker] = CompactDMVTracker
    else:
        # The depth is that of the weights, and one that is chosen has to be it.
        depth = depth_of(parts.weights.tensors)
        settings = parts.chosen.of(f'dmv (paper) in {parts.path}', {f'dmv{depth}': PAPER}, FREE)
        net, kind = PaperDMV(depth), PaperDMVTracker
    load_into(net, parts.weights, parts.path)
    return kind(
        net, settings, parts.weights.calibration, parts.device, parts.max_bytes, parts.precision
    )
