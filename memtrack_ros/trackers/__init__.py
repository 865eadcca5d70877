"""The published trackers behind one switch."""

from memtrack_ros.trackers.registry import NAMES, VARIANTS, create, find_device
from memtrack_ros.trackers.tracker import (
    UNPROCESSED,
    Estimate,
    Observation,
    Prior,
    Prompt,
    State,
    Target,
    Tracker,
)

__all__ = [
    'NAMES',
    'UNPROCESSED',
    'VARIANTS',
    'Estimate',
    'Observation',
    'Prior',
    'Prompt',
    'State',
    'Target',
    'Tracker',
    'create',
    'find_device',
]
