"""What can go wrong for a user.

Each message is one sentence with the value, the limit and the remedy.
"""


class MemtrackError(ValueError):
    """Base of every error a user can mend."""


class ConfigurationError(MemtrackError):
    """A tracker, its weights, its device or its memory cannot be had as configured."""


class PromptError(MemtrackError):
    """A prompt that does not point at a target in its image."""


class ImageError(MemtrackError):
    """An image that cannot be processed."""


class TrackingError(MemtrackError):
    """A tracker that answers nonsense."""


class CalibrationError(MemtrackError):
    """A camera's calibration by which pixels have no bearing."""


class SnapshotError(MemtrackError):
    """A snapshot of a target that cannot be taken, saved or loaded."""


class SequenceError(MemtrackError):
    """A sequence on disk that is malformed."""


class BagError(MemtrackError):
    """A ROS bag that cannot be read, or has not the images asked for."""
