"""Memory banks: what the trackers remember of a target."""

from memtrack_ros.memory.appearance import AppearanceMemory
from memtrack_ros.memory.bank import Bank, BankStatus
from memtrack_ros.memory.cells import Cells
from memtrack_ros.memory.filter_samples import FilterSamples
from memtrack_ros.memory.joined import JoinedBanks
from memtrack_ros.memory.part_ring import PartRing
from memtrack_ros.memory.sampled_frames import SampledFrames
from memtrack_ros.memory.seen_cells import SeenCells
from memtrack_ros.memory.snapshot import Stateful
from memtrack_ros.memory.template_slots import TemplateSlots

__all__ = [
    'AppearanceMemory',
    'Bank',
    'BankStatus',
    'Cells',
    'FilterSamples',
    'JoinedBanks',
    'PartRing',
    'SampledFrames',
    'SeenCells',
    'Stateful',
    'TemplateSlots',
]
