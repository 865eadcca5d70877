"""The authors' checkpoints in our names."""

from memtrack_ros.weights.convert.converters import CONVERTERS, convert

__all__ = ['CONVERTERS', 'convert']
