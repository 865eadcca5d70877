"""OTB: Wu, Lim, Yang, Object Tracking Benchmark, PAMI 2015.

NAME/img/0001.jpg ...
NAME/groundtruth_rect.txt       a line a frame: x,y,w,h, apart by commas, tabs or spaces
NAME/groundtruth_rect.1.txt, groundtruth_rect.2.txt in its place: two targets, NAME.1 and NAME.2

Pixels are numbered from 1: the benchmark is in MATLAB, and its toolkit takes 1 off x and y where
it hands a box to a tracker that is not (tracker_benchmark, run_Struck.m: "matlab to c").
The ranges are those of the benchmark's list of sequences.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from memtrack_ros.data.files import from_one, images_of_range, numbered_images, read_boxes
from memtrack_ros.data.layouts.video import Video, named
from memtrack_ros.data.sequence import Sequence

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
        return [_video(folder, 'groundtruth_rect.txt', named(folder))]
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
    return [Sequence(name, frames, truth)]
