"""Answers in the files that benchmarks take: a function each, of one sequence's answers.

Coordinates are converted when they are written, as `layouts` does when it reads.
"""

from memtrack_ros.data.results.answers import SequenceAnswers
from memtrack_ros.data.results.got10k import got10k_files
from memtrack_ros.data.results.lasot import lasot_files
from memtrack_ros.data.results.otb import otb_files
from memtrack_ros.data.results.trackingnet import trackingnet_files
from memtrack_ros.data.results.write import write_folder, write_zip

__all__ = ['FORMATS', 'SequenceAnswers']

# What makes the files of a sequence, and how they lie together.
FORMATS = {
    'got10k': (got10k_files, write_zip),
    'trackingnet': (trackingnet_files, write_zip),
    'lasot': (lasot_files, write_folder),
    'otb': (otb_files, write_folder),
}
