"""GOT-10k: Huang, Zhao, Huang, GOT-10k: A Large High-Diversity Benchmark, PAMI 2021.

NAME/00000001.jpg ...
NAME/groundtruth.txt            a line a frame: x,y,w,h
NAME/absence.label              a line a frame: 1 where the target is absent
NAME/cover.label                a line a frame: 0 (nothing) to 8 (all) of the target is visible

Pixels are numbered from 1 (its author in got-10k/toolkit, issue 6). The toolkit scores the frames
whose cover is not 0: the others are absent here. A box without area is an absent target, too: that
is how absent ones are written. The test split has but the first line of truth, and cannot be scored
here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from memtrack_ros.data.files import (
    from_one,
    numbered_images,
    read_boxes_with_blanks,
    read_flags,
)
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.sequence import Sequence

_TEST = 'GOT-10k_Test_'  # of that split no marks are published
_MARKS = ('absence.label', 'cover.label', 'meta_info.ini')


def find_got10k(folder: Path) -> list[Video]:
    """The sequence of a folder NAME."""
    of_test = folder.name.startswith(_TEST) and (folder / 'groundtruth.txt').is_file()
    if not of_test and not any((folder / file).is_file() for file in _MARKS):
        return []
    return [Video(named(folder), partial(_read, folder))]


def _read(folder: Path) -> list[Sequence]:
    frames = numbered_images(folder)
    truth = from_one(read_boxes_with_blanks(folder / 'groundtruth.txt'))
    if (folder / 'absence.label').is_file():
        truth[read_flags(folder / 'absence.label', len(truth)) != 0] = np.nan
    if (folder / 'cover.label').is_file():
        truth[read_flags(folder / 'cover.label', len(truth)) == 0] = np.nan
    return [Sequence(named(folder), frames, truth)]
