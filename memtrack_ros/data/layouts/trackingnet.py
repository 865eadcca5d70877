"""TrackingNet: Müller et al., TrackingNet: A Large-Scale Dataset and Benchmark, ECCV 2018.

CHUNK/frames/NAME/0.jpg ...     CHUNK is TRAIN_0 to TRAIN_11 or TEST
CHUNK/anno/NAME.txt             a line a frame: x,y,w,h

Coordinates count from the image's edge: they come from shares of its width and height, which are
what YouTube-BoundingBoxes gives. A box without area is an absent target. TEST has but the first
line of truth, and cannot be scored here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from memtrack_ros.data.files import numbered_images, read_boxes_with_blanks
from memtrack_ros.data.layouts.video import Video
from memtrack_ros.data.sequence import Sequence


def find_trackingnet(folder: Path) -> list[Video]:
    """The sequences of a folder CHUNK."""
    if not ((folder / 'frames').is_dir() and (folder / 'anno').is_dir()):
        return []
    return [
        Video(f'{folder.name}/{path.stem}', partial(_read, folder, path.stem))
        for path in sorted((folder / 'anno').glob('*.txt'))
    ]


def _read(folder: Path, name: str) -> list[Sequence]:
    frames = numbered_images(folder / 'frames' / name)
    truth = read_boxes_with_blanks(folder / 'anno' / f'{name}.txt')
    return [Sequence(f'{folder.name}/{name}', frames, truth)]
