"""One target over time."""

from memtrack_ros.session.presence import Presence
from memtrack_ros.session.session import Session
from memtrack_ros.session.snapshot import Snapshot, snapshot_file

__all__ = ['Presence', 'Session', 'Snapshot', 'snapshot_file']
