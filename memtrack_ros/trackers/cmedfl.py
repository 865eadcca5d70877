"""CMEDFL (Zhu et al. 2021): a compact memory of cells segments what the filter found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window
from memtrack_ros.memory import Cells
from memtrack_ros.memory.snapshot import LARGEST, Given, outside
from memtrack_ros.nets.cells import CHANNELS, at_cells, distances, moved
from memtrack_ros.nets.cmedfl import (
    BEST,
    CellMemory,
    CMEDFLQuery,
    CompactCMEDFL,
    FirstFrame,
    PaperCMEDFL,
)
from memtrack_ros.nets.graphs import captured, graphs_on
from memtrack_ros.nets.inference import ready
from memtrack_ros.nets.readers import TINY, best_products
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


class CMEDFLSettings(NamedTuple):
    """What the variants differ in."""

    side: int  # of the crop that is segmented, pixels
    middle: float  # of the crop, pixels: where a target stands on which the filter sits
    capacity: int  # cells in the bank
    merges: bool = True  # cells that are much alike become one; else they are appended
    filters: bool = True  # the filter says where to look; else it is where the target was


COMPACT = CMEDFLSettings(COMPACT_FILTER.side, (COMPACT_FILTER.side - 1) / 2, 2304)
# The authors count the pixels of the distance from 1 and the middle from 0.
PAPER = CMEDFLSettings(D3S_CROP, D3S_CROP / 2 - 1, 16384)


FREE = {'merges': 0, 'filters': 0, 'capacity': 1152}
HABITS = Habits(soft_start=False, trims_found=False, corners_always=True)


class CompactMemory(Appearance[CMEDFLQuery]):
    """The compact memory embedding (section III-B), and the first frame (III-C).

    The mask of the first frame, which weighs the deformable feature, is laid around the filter's
    peak; in the paper variant that is always the middle of the crop.
    """

    kept = ('_cells', '_mask')

    def __init__(
        self,
        net: CompactCMEDFL | PaperCMEDFL,
        settings: CMEDFLSettings,
        device: torch.device,
        max_bytes: int,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Allocate the bank; ConfigurationError when it is over `max_bytes`.

        Convolutions and reads compute in `precision`.
        """
        self.bank: Cells = Cells(
            settings.capacity,
            CHANNELS,
            max_bytes=max_bytes,
            device=device,
            merges=settings.merges,
        )
        self.net, self.inputs = ready(net, device, precision), net.filtered
        self.device, self.graphs = device, graphs_on(device)
        self.trunk = net.trunk if isinstance(net, CompactCMEDFL) else None
        self.settings = settings
        side = settings.side // net.stride
        self._cells = torch.zeros(1, CHANNELS, side, side, device=device)
        self._mask = torch.zeros(1, 1, settings.side, settings.side, device=device)

    def faults(self, given: Given) -> Iterator[str]:
        """The mask is one of shares."""
        yield from outside(given, '_cells', -LARGEST, LARGEST)
        yield from outside(given, '_mask', 0, 1)

    def see(self, crops: Tensor) -> CMEDFLQuery:
        """The network's cells and features of crops."""
        return self.net.query(crops)

    def deep(self, seen: CMEDFLQuery) -> Tensor:
        """The backbone's last features."""
        return seen.deep

    def begin(self, seen: CMEDFLQuery, label: Tensor) -> None:
        """Store all cells of the first frame."""
        self.bank.clear()
        self._cells, self._mask = seen.cells.float(), label
        self.write(seen, label)

    def segment(self, seen: CMEDFLQuery, offset: Floats) -> Tensor:
        """The network's answer from the memory, the first frame and the peak of the filter."""
        shift = carried(torch.from_numpy(offset).float()[None], self.device)
        first = FirstFrame(self._cells.to(seen.cells.dtype), self._laid(self._mask, shift))
        return self.net.answer(CellMemory(*self.bank.read()), first, seen, self.distance(offset))

    @captured
    def _laid(self, mask: Tensor, shift: Tensor) -> Tensor:
        """A mask (1, 1, S, S) on the cells, moved by `shift` (1, 2) pixels."""
        return at_cells(moved(mask, shift), self._cells.shape[-1])

    def distance(self, offset: Floats) -> Tensor:
        """Of every cell (1, 1, h, w) from where the filter found the target, in crop pixels."""
        place = torch.from_numpy(offset).float()[None] + self.settings.middle
        return carried(distances(place, self._cells.shape[-1], self.net.stride), self.device)

    def write(self, seen: CMEDFLQuery, probability: Tensor) -> None:
        """Merge, append or discard the cells."""
        foreground = at_cells(probability, seen.cells.shape[-1])
        self.bank.write(seen.cells[0].flatten(1).float(), foreground.flatten())

    def reads(self, seen: CMEDFLQuery, window: Window, mask: Pixels) -> dict[int, float]:
        """Of eq. 4, how much of the likeness to the target is that of cells of each frame."""
        keys, values, used = self.bank.read()
        asked = asking(seen.cells, window, mask)
        likeness, cells = best_products(keys, values[:, 0], asked, used, BEST)
        likeness = likeness.clamp_min(0)
        share = likeness / likeness.sum().clamp_min(TINY)
        return by_number(self.bank.numbers[cells.flatten()].cpu().numpy(), share.flatten())


class CompactCMEDFLTracker(CompactFilterTracker[CMEDFLQuery]):
    """The compact variant."""

    appearance: CompactMemory


def create(variant: str, parts: Parts) -> CompactCMEDFLTracker | PaperFilterTracker[CMEDFLQuery]:
    """CMEDFL of these parts; ConfigurationError when they do not fit."""
    net = CompactCMEDFL() if variant == 'compact' else PaperCMEDFL()
    load_into(net, parts.weights, parts.path)
    calibration = parts.weights.calibration
    if variant == 'compact':
        settings = parts.chosen.of('cmedfl (compact)', {'': COMPACT}, FREE)
        filtered = COMPACT_FILTER._replace(on=settings.filters)
        own = CompactMemory(net, settings, parts.device, parts.max_bytes, parts.precision)
        return CompactCMEDFLTracker(
            'cmedfl', own, filtered, calibration, parts.device, parts.max_bytes
        )
    settings = parts.chosen.of('cmedfl (paper)', {'': PAPER}, FREE)
    filtered = PAPER_FILTER._replace(on=settings.filters)
    cells = CompactMemory(net, settings, parts.device, parts.max_bytes)
    return PaperFilterTracker(
        'cmedfl', cells, filtered, HABITS, calibration, parts.device, parts.max_bytes
    )
