"""OTB: Wu, Lim, Yang, Object Tracking Benchmark, PAMI 2015.

NAME/img/0001.jpg ...
NAME/groundtruth_rect.txt       a line a frame: x,y,w,h, apart by commas, tabs or spaces
NAME/groundtruth_rect.1.txt, groundtruth_rect.2.txt in its place: two targets, NAME.1 and NAME.2
NAME/attrs.txt                  its attributes: IV, OCC, ...; optional
attr_list.txt                   a line a video: NAME, tab, attributes; for those without attrs.txt

Pixels are numbered from 1: the benchmark is in MATLAB, and its toolkit takes 1 off x and y where
it hands a box to a tracker that is not (tracker_benchmark, run_Struck.m: "matlab to c").
The ranges are those of the benchmark's list of sequences. Attributes lie as in its Python toolkit,
which also gives two targets of a video a folder each, NAME-1 and NAME-2: these are NAME.1 and .2.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from memtrack_ros.data.files import (
    from_one,
    images_of_range,
    numbered_images,
    read_boxes,
    read_lines,
)
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError

ATTRIBUTES = 'IV', 'SV', 'OCC', 'DEF', 'MB', 'FM', 'IPR', 'OPR', 'OV', 'BC', 'LR'
OF_TWO_TARGETS = 'Jogging', 'Skating2', 'Human4'
# The frames that truth was drawn for, where the video has more.
RANGES = {
    'David': (300, 770),
    'Diving': (1, 215),
    'Football1': (1, 74),
    'Freeman3': (1, 460),
    'Freeman4': (1, 283),
}
# Frames at the start that have a truth, but are left out.
OMITTED = {'Tiger1': 5}


def find_otb(folder: Path) -> list[Video]:
    """The sequences of a folder NAME, one for each file of truth."""
    if (folder / 'groundtruth_rect.txt').is_file():
        video, _, target = folder.name.rpartition('-')
        of_two = video in OF_TWO_TARGETS
        name = f'{folder.parent.name}/{video}.{target}' if of_two else named(folder)
        return [_video(folder, 'groundtruth_rect.txt', name)]
    # Truth of several targets: groundtruth_rect.1.txt is NAME.1.
    files = sorted(folder.glob('groundtruth_rect.*.txt'))
    return [_video(folder, path.name, named(folder) + Path(path.stem).suffix) for path in files]


def _video(folder: Path, file: str, name: str) -> Video:
    return Video(name, partial(_read, folder, file, name))


def _read(folder: Path, file: str, name: str) -> list[Sequence]:
    frames = numbered_images(folder / 'img')
    truth = from_one(read_boxes(folder / file))
    if folder.name in RANGES and len(frames) != len(truth):
        frames = images_of_range(folder / 'img', *RANGES[folder.name])
    if folder.name in OMITTED and len(frames) == len(truth):
        omitted = OMITTED[folder.name]
        frames, truth = frames[omitted:], truth[omitted:]
    return [Sequence(name, frames, truth, attributes=_attributes(folder))]


def _attributes(folder: Path) -> frozenset[str]:
    """What is difficult in a video; nothing where neither file says so."""
    own, list_of_all = folder / 'attrs.txt', folder.parent / 'attr_list.txt'
    path, said = own, ''
    if own.is_file():
        said = ' '.join(read_lines(own))
    elif list_of_all.is_file():
        # The toolkit's list writes BasketBall where the folder is Basketball.
        names = {folder.name.lower(), folder.name.rpartition('-')[0].lower()}
        lines = [line.partition('\t') for line in read_lines(list_of_all)]
        path = list_of_all
        said = ' '.join(given for name, _, given in lines if name.lower() in names)
    attributes = frozenset(said.replace(',', ' ').split())
    if unknown := attributes - set(ATTRIBUTES):
        raise SequenceError(
            f'{path.name}: "{min(unknown)}" is no attribute; these are {", ".join(ATTRIBUTES)}'
        )
    return attributes
