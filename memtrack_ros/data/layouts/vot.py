"""VOT: the challenges' data sets, https://votchallenge.net.

NAME/color/00000001.jpg ...     or NAME/00000001.jpg ...
NAME/groundtruth.txt            a line a frame: x,y,w,h, x1,y1,...,x4,y4 or a mask; nan where absent
NAME/*.tag, NAME/*.label        0 or 1 a frame, named for what is difficult in it

Pixels are numbered from 0 (vot-toolkit, region/raster.py, draws coordinates as array indices).
Rotated truth gives its bounds from corner to corner, as the toolkit converts a polygon to a
rectangle. An empty mask is an absent target. list.txt is not needed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from memtrack_ros.data.files import Floats, has_images, numbered_images, read_lines
from memtrack_ros.data.layouts.rotated import read_rotated
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.masks import RunLengths
from memtrack_ros.data.sequence import Sequence


def find_vot(folder: Path) -> list[Video]:
    """The sequence of a folder NAME."""
    if not (folder / 'groundtruth.txt').is_file():
        return []
    return [Video(named(folder), partial(_read, folder))]


def _read(folder: Path) -> list[Sequence]:
    frames = numbered_images(folder if has_images(folder) else folder / 'color')
    path = folder / 'groundtruth.txt'
    lines = read_lines(path)
    attributes = _attributes(folder)
    if any(line.startswith('m') for line in lines):
        masks = RunLengths(tuple(lines), frames[0])
        return [Sequence(named(folder), frames, _bounds(masks), masks, None, attributes)]
    truth, corners = read_rotated(path)
    return [Sequence(named(folder), frames, truth, None, corners, attributes)]


def _bounds(masks: RunLengths) -> Floats:
    """The boxes (frames, 4) around masks, nan where empty."""
    truth = np.full((len(masks), 4), np.nan)
    for index in range(len(masks)):
        left, top, part = masks.part(index)
        if part.any():
            x, y, w, h = cv2.boundingRect(part)
            truth[index] = left + x, top + y, w, h
    return truth


def _attributes(folder: Path) -> frozenset[str]:
    """What is marked in any frame."""
    files = [*folder.glob('*.tag'), *folder.glob('*.label')]
    return frozenset(path.stem for path in files if '1' in map(str.strip, read_lines(path)))
