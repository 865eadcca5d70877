"""NFS: Kiani Galoogahi et al., Need for Speed, ICCV 2017.

NAME/30/NAME/00001.jpg ...      at 30 frames a second, and under 240 at 240
NAME/30/NAME.txt                a line a frame: track x1 y1 x2 y2 frame, then flags and a "label"

The lines may be those of 240 frames a second at either rate: of eight the first is then taken, as
the got10k toolkit does, which also lets frames and lines differ by one at the end. Pixels are
numbered from 0, by the annotation tool (VATIC). The sequences are SET/NAME.30 and SET/NAME.240.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from memtrack_ros.data.files import Floats, checked, numbered_images, read_lines
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError

RATES = ('30', '240')
_STEP = 8  # lines from one frame to the next, where they are those of the higher rate


def find_nfs(folder: Path) -> list[Video]:
    """The sequences of a folder NAME, one a rate."""
    return [
        Video(f'{named(folder)}.{rate}', partial(_read, folder, rate))
        for rate in RATES
        if (folder / rate / f'{folder.name}.txt').is_file()
        and (folder / rate / folder.name).is_dir()
    ]


def _read(folder: Path, rate: str) -> list[Sequence]:
    frames = numbered_images(folder / rate / folder.name)
    truth = _boxes(folder / rate / f'{folder.name}.txt')
    if abs(len(truth) / len(frames) - _STEP) < 1:
        truth = truth[::_STEP]
    if abs(len(truth) - len(frames)) == 1:
        count = min(len(truth), len(frames))
        truth, frames = truth[:count], frames[:count]
    return [Sequence(f'{named(folder)}.{rate}', frames, truth)]


def _boxes(path: Path) -> Floats:
    """The boxes (lines, 4) x, y, w, h; nan where one has no area."""
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            left, top, right, bottom = map(float, line.split()[1:5])
        except ValueError:
            raise SequenceError(f'{path.name}:{number}: "{line}" is no box') from None
        rows.append((left, top, right - left, bottom - top))
    boxes = np.array(rows).reshape(-1, 4)
    boxes[(boxes[:, 2:] <= 0).any(1)] = np.nan
    return checked(path, boxes)
