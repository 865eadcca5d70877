"""Truth of images of labels: an object a label, its box the bounds of its mask."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from memtrack_ros.data.files import Floats
from memtrack_ros.data.masks import LabelFiles, read_labels
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError

_VOID = 255


def labelled_sequences(
    name: str, frames: tuple[Path, ...], files: tuple[Path, ...]
) -> list[Sequence]:
    """The sequences of a video whose `frames` have these files of labels, one a frame.

    They are NAME, or where it has several objects NAME.1, NAME.2 ... for the labels 1, 2 ... Boxes
    are nan where a mask is empty; for these the files are read at once. 255 among other labels is
    void, and no object. SequenceError when there is no object.
    """
    with ThreadPoolExecutor() as pool:
        boxes = list(pool.map(_boxes, files))
    labels = set().union(*boxes)
    if len(labels) > 1:
        labels.discard(_VOID)
    sequences = []
    for label in sorted(labels):
        title = name + (f'.{label}' if len(labels) > 1 else '')
        truth = np.array([box.get(label, np.full(4, np.nan)) for box in boxes])
        sequences.append(Sequence(title, frames, truth, LabelFiles(files, label)))
    if not sequences:
        raise SequenceError('its masks are empty')
    return sequences


def _boxes(path: Path) -> dict[int, Floats]:
    """The bounds (4,) of each label in an image of labels."""
    image = read_labels(path)
    present = np.flatnonzero(np.bincount(image.ravel()))
    return {
        int(label): np.array(cv2.boundingRect((image == label).astype(np.uint8)), float)
        for label in present[present != 0]
    }
