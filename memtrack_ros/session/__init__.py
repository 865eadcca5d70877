"""One target over time."""

from memtrack_ros.session.estimate import NOTHING, UNPROCESSED, Estimate, State
from memtrack_ros.session.group import Group
from memtrack_ros.session.presence import Presence
from memtrack_ros.session.prompts import Points, Prompt
from memtrack_ros.session.session import Session
from memtrack_ros.session.snapshot import Snapshot, snapshot_file, snapshot_names

__all__ = [
    'NOTHING',
    'UNPROCESSED',
    'Estimate',
    'Group',
    'Points',
    'Presence',
    'Prompt',
    'Session',
    'Snapshot',
    'State',
    'snapshot_file',
    'snapshot_names',
]
