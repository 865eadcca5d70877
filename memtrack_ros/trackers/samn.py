"""SAMN (Xie, Yang, Zhang, Liu, Xue, Zuo 2020): a spatial and an appearance memory in one tracker.

The spatial memory is the correlation filter: its peak is where the target is segmented, and how
certain it is decides which frames are remembered. The appearance memory is read by every cell of
the query and decoded into the mask.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window
from memtrack_ros.memory import AppearanceMemory
from memtrack_ros.memory.appearance import EVERY
from memtrack_ros.nets.cells import distances
from memtrack_ros.nets.compact import BOX_LABEL
from memtrack_ros.nets.inference import ready
from memtrack_ros.nets.readers import soft_weights
from memtrack_ros.nets.samn import CompactSAMN, PaperSAMN, SAMNQuery
from memtrack_ros.nets.transfer import carried
from memtrack_ros.trackers.d3s import D3S_CROP
from memtrack_ros.trackers.filter_tracker import (
    Appearance,
    CompactFilterTracker,
)
from memtrack_ros.trackers.paper_filter_tracker import Habits, PaperFilterTracker
from memtrack_ros.trackers.parts import Parts
from memtrack_ros.trackers.search import asking, by_number
from memtrack_ros.trackers.target_filter import COMPACT_FILTER, PAPER_FILTER
from memtrack_ros.weights.files import load_into


class SAMNSettings(NamedTuple):
    """One variant's."""

    side: int  # of the crop that is segmented, pixels
    middle: float  # its middle, from which the network is told the distance
    capacity: int  # frames in the appearance memory
    keeps_first: bool  # the first frame stays in it
    every: int = EVERY  # so many frames one stays in it
    last: bool = True  # the last frame is read, too


COMPACT = SAMNSettings(COMPACT_FILTER.side, (COMPACT_FILTER.side - 1) / 2, 8, True)
# The authors count the distance's pixels from 1 and the middle from 0. Their paper implies that the
# first frame stays.
PAPER = SAMNSettings(D3S_CROP, D3S_CROP / 2 - 1, 32, False)


FREE = {'every': 1, 'last': 0, 'capacity': 2}
HABITS = Habits(soft_start=True, trims_found=True, corners_always=False)


class AppearanceNetwork(Appearance[SAMNQuery]):
    """Segments what the appearance memory holds."""

    bank: AppearanceMemory
    rough_label = BOX_LABEL

    def __init__(
        self,
        net: CompactSAMN | PaperSAMN,
        settings: SAMNSettings,
        device: torch.device,
        max_bytes: int,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Allocate the bank; ConfigurationError when it is over `max_bytes`.

        Convolutions and reads compute in `precision`.
        """
        self.settings, self.device = settings, device
        self.inputs, self.cells = net.filtered, settings.side // net.stride
        self.bank = AppearanceMemory(
            settings.capacity,
            net.keys,
            net.values,
            net.remembered(settings.side) ** 2,
            max_bytes=max_bytes,
            device=device,
            keeps_first=settings.keeps_first,
            every=settings.every,
            last=settings.last,
        )
        self.net = ready(net, device, precision)
        self.trunk = net.trunk if isinstance(net, CompactSAMN) else None

    def see(self, crops: Tensor) -> SAMNQuery:
        """What the query encoder makes of crops."""
        return self.net.query(crops)

    def deep(self, seen: SAMNQuery) -> Tensor:
        """Its last features."""
        return seen.deep

    def begin(self, seen: SAMNQuery, label: Tensor) -> None:
        """Forget all, memorise a crop with its mask (1, 1, S, S)."""
        self.bank.clear()
        self._memorise(seen, label)

    def segment(self, seen: SAMNQuery, offset: Floats) -> Tensor:
        """Mask logits of a crop in which the filter found the target `offset` from the middle."""
        keys, values, valid = self.bank.read()
        return self.net.answer(keys, values, valid, seen, self.distance(offset))

    def distance(self, offset: Floats) -> Tensor:
        """Of every cell (1, 1, h, w) from where the filter found the target, in crop pixels."""
        place = torch.from_numpy((self.settings.middle + offset)[None]).float()
        return carried(distances(place, self.cells, self.net.stride), self.device)

    def write(self, seen: SAMNQuery, probability: Tensor) -> None:
        """Memorise a crop with the soft mask found in it, as every frame is until the next."""
        self._memorise(
            seen,
            F.interpolate(
                probability, size=seen.crops.shape[-2:], mode='bilinear', align_corners=False
            ),
        )

    def reads(self, seen: SAMNQuery, window: Window, mask: Pixels) -> dict[int, float]:
        """The weights of the appearance memory's read, by frame."""
        keys, _, used = self.bank.read()
        asked = asking(self.net.cells_q(seen.deep).key, window, mask)
        weights = soft_weights(keys, asked, used).mean((0, 2, 3))
        numbers = self.bank.held()
        frames = weights.unflatten(0, (self.bank.capacity, -1)).sum(1)
        return by_number(numbers, frames[: len(numbers)])

    def _memorise(self, seen: SAMNQuery, mask: Tensor) -> None:
        cells = self.net.memorise_seen(seen, mask)
        self.bank.write(cells.key[0], cells.value[0])


class CompactSAMNTracker(CompactFilterTracker[SAMNQuery]):
    """The compact variant."""

    appearance: AppearanceNetwork


def create(variant: str, parts: Parts) -> CompactSAMNTracker | PaperFilterTracker[SAMNQuery]:
    """SAMN of these parts; ConfigurationError when they do not fit."""
    net = CompactSAMN() if variant == 'compact' else PaperSAMN()
    load_into(net, parts.weights, parts.path)
    calibration = parts.weights.calibration
    if variant == 'compact':
        settings = parts.chosen.of('samn (compact)', {'': COMPACT}, FREE)
        compact = AppearanceNetwork(net, settings, parts.device, parts.max_bytes, parts.precision)
        return CompactSAMNTracker(
            'samn', compact, COMPACT_FILTER, calibration, parts.device, parts.max_bytes
        )
    settings = parts.chosen.of('samn (paper)', {'': PAPER}, FREE)
    paper = AppearanceNetwork(net, settings, parts.device, parts.max_bytes)
    return PaperFilterTracker(
        'samn', paper, PAPER_FILTER, HABITS, calibration, parts.device, parts.max_bytes
    )
