"""The published trackers behind one switch."""

from memtrack_ros.trackers.observation import Observation, Prior, Target
from memtrack_ros.trackers.registry import (
    DEFAULT,
    NAMES,
    PRECISIONS,
    VARIANTS,
    create,
    find_device,
)
from memtrack_ros.trackers.settings import Chosen
from memtrack_ros.trackers.tracker import AnyTracker, Tracker

__all__ = [
    'DEFAULT',
    'NAMES',
    'PRECISIONS',
    'VARIANTS',
    'AnyTracker',
    'Chosen',
    'Observation',
    'Prior',
    'Target',
    'Tracker',
    'create',
    'find_device',
]
