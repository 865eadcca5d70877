"""YouTube-VOS: Xu et al., YouTube-VOS: Sequence-to-Sequence Video Object Segmentation, ECCV 2018.

SPLIT/JPEGImages/NAME/00000.jpg ...     every fifth frame, or all of them
SPLIT/Annotations/NAME/00000.png ...    every fifth frame: the objects' labels

A sequence has the annotated frames alone. The sequences are SPLIT/NAME, or where a video has
several objects SPLIT/NAME.1, SPLIT/NAME.2 ...: see `labelled_sequences`. Of the splits that are not
for training only first frames are annotated.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from memtrack_ros.data.files import images_by_number
from memtrack_ros.data.layouts.labelled import labelled_sequences
from memtrack_ros.data.layouts.video import Video
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError

_STEP = 5  # frames from one annotated to the next


def find_youtube_vos(folder: Path) -> list[Video]:
    """The videos of a folder SPLIT."""
    videos = folder / 'JPEGImages'
    if not (videos.is_dir() and (folder / 'Annotations').is_dir()):
        return []
    names = sorted(path.name for path in videos.iterdir() if path.is_dir())
    return [Video(f'{folder.name}/{name}', partial(_read, folder, name)) for name in names]


def _read(folder: Path, name: str) -> list[Sequence]:
    frames = images_by_number(folder / 'JPEGImages' / name)
    files = images_by_number(folder / 'Annotations' / name)
    if len(frames) > _STEP * len(files):
        raise SequenceError(
            f'{len(frames)} frames, but {len(files)} annotated: '
            'a test split, which only its benchmark can score'
        )
    if lost := files.keys() - frames.keys():
        raise SequenceError(f'frame {min(lost)} is annotated, but not there')
    pictures = tuple(frames[number] for number in files)
    return labelled_sequences(f'{folder.name}/{name}', pictures, tuple(files.values()))
