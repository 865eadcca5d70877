"""TLD: the sequences of Kalal, Mikolajczyk, Matas, Tracking-Learning-Detection, PAMI 2012.

NAME/00001.jpg ...
NAME/gt.txt                     a line a frame: x1,y1,x2,y2; NaN where absent
NAME/init.txt                   the first box, not needed

x1, y1 and x2, y2 are the first and the last pixel of the box, numbered from 1 (OpenTLD: img_patch.m
cuts out T:B, L:R; bb_width.m is x2 - x1 + 1).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from memtrack_ros.data.files import checked, numbered_images, read_numbers
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.sequence import Sequence


def find_tld(folder: Path) -> list[Video]:
    """The sequence of a folder NAME."""
    if not (folder / 'gt.txt').is_file():
        return []
    return [Video(named(folder), partial(_read, folder))]


def _read(folder: Path) -> list[Sequence]:
    frames = numbered_images(folder)
    path = folder / 'gt.txt'
    corners = np.array(read_numbers(path, 4)).reshape(-1, 4)
    first, last = corners[:, :2] - 1, corners[:, 2:] - 1
    truth = np.concatenate([first, last - first + 1], 1)
    truth[np.isnan(truth).any(1)] = np.nan
    return [Sequence(named(folder), frames, checked(path, truth))]
