"""Memory banks: what the trackers remember of a target."""

from memtrack_ros.memory.bank import Bank, BankStatus
from memtrack_ros.memory.sampled_frames import SampledFrames

__all__ = ['Bank', 'BankStatus', 'SampledFrames']
