"""LaSOT: Fan et al., LaSOT: A High-quality Benchmark for Large-scale Single Object Tracking.

CLASS/NAME/img/00000001.jpg ...
CLASS/NAME/groundtruth.txt      a line a frame: x,y,w,h
CLASS/NAME/full_occlusion.txt, out_of_view.txt      one line, 0 or 1 a frame: absent where either is
att/NAME.txt                    fourteen numbers 0 or 1, optional: the toolkit's folder annos/att

Pixels are numbered from 1 (its author in LaSOT_Evaluation_Toolkit, issue 14). A box without area
is an absent target, too: tiger-6 has one of negative height that is not flagged.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from memtrack_ros.data.files import (
    from_one,
    numbered_images,
    read_attributes,
    read_boxes_with_blanks,
    read_flags,
)
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.sequence import Sequence

ATTRIBUTES = (
    'IV', 'POC', 'DEF', 'MB', 'CM', 'ROT', 'BC', 'VC', 'SV', 'FOC', 'FM', 'OV', 'LR', 'ARC',
)  # fmt: skip
_FLAGS = ('full_occlusion.txt', 'out_of_view.txt')


def find_lasot(folder: Path) -> list[Video]:
    """The sequence of a folder CLASS/NAME."""
    if not any((folder / file).is_file() for file in _FLAGS):
        return []
    return [Video(named(folder), partial(_read, folder))]


def _read(folder: Path) -> list[Sequence]:
    frames = numbered_images(folder / 'img')
    truth = from_one(read_boxes_with_blanks(folder / 'groundtruth.txt'))
    for file in _FLAGS:
        truth[read_flags(folder / file, len(truth)) != 0] = np.nan
    attributes = read_attributes(folder.parents[1] / 'att' / f'{folder.name}.txt', ATTRIBUTES)
    return [Sequence(named(folder), frames, truth, attributes=attributes)]
