"""DAVIS: Perazzi et al., CVPR 2016 (one object a video); Pont-Tuset et al., 2017 (several).

JPEGImages/480p/NAME/00000.jpg ...
Annotations/480p/NAME/00000.png ...     0/255, or the objects' labels

The sequences are ROOT/NAME, or where a video has several objects ROOT/NAME.1, ROOT/NAME.2 ... for
the labels 1, 2 ... Boxes are the bounds of the masks, nan where a mask is empty; for these the
masks are read at once. 255 among other labels is void, and no object.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from memtrack_ros.data.files import Floats, numbered_images
from memtrack_ros.data.layouts.found import Found
from memtrack_ros.data.masks import LabelFiles, read_labels
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError

_VOID = 255


def find_davis(folder: Path) -> list[Found]:
    """The videos of the benchmark's folder, which has JPEGImages/480p and Annotations/480p."""
    if not (folder / 'Annotations' / '480p').is_dir():
        return []
    roots = [folder / kind / '480p' for kind in ('Annotations', 'JPEGImages')]
    names = {path.name for root in roots for path in root.glob('*') if path.is_dir()}
    return [Found(f'{folder.name}/{name}', partial(_read, folder, name)) for name in sorted(names)]


def _read(folder: Path, name: str) -> list[Sequence]:
    frames = numbered_images(folder / 'JPEGImages' / '480p' / name)
    files = numbered_images(folder / 'Annotations' / '480p' / name)
    if len(files) != len(frames):
        raise SequenceError(f'{len(frames)} frames, but {len(files)} masks')
    with ThreadPoolExecutor() as pool:
        boxes = list(pool.map(_boxes, files))
    labels = set().union(*boxes)
    if len(labels) > 1:
        labels.discard(_VOID)
    sequences = []
    for label in sorted(labels):
        title = f'{folder.name}/{name}' + (f'.{label}' if len(labels) > 1 else '')
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
