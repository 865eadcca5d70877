"""The layout of this project's own sequences.

SET/NAME/img/000001.jpg ...     one image a frame, numbered without a gap
SET/NAME/groundtruth.txt        a line a frame: x,y,w,h or x1,y1,...,x4,y4; nan where absent
SET/NAME/mask/000001.png ...    optional, 0/255

Coordinates are those of `geometry.boxes`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from memtrack_ros.data.files import numbered_images
from memtrack_ros.data.layouts.rotated import read_rotated
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.masks import MaskFiles
from memtrack_ros.data.sequence import Sequence


def find_plain(folder: Path) -> list[Video]:
    """The sequence of a folder SET/NAME."""
    if not (folder / 'img').is_dir():
        return []
    return [Video(named(folder), partial(_read, folder))]


def _read(folder: Path) -> list[Sequence]:
    frames = numbered_images(folder / 'img')
    truth, corners = read_rotated(folder / 'groundtruth.txt')
    masks = MaskFiles(numbered_images(folder / 'mask')) if (folder / 'mask').is_dir() else None
    return [Sequence(named(folder), frames, truth, masks, corners)]
