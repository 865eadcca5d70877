"""One target over time."""

from memtrack_ros.session.presence import Presence
from memtrack_ros.session.session import Session

__all__ = ['Presence', 'Session']
