"""Videos whose objects are labelled in some of their frames: DAVIS, YouTube-VOS.

All objects of a video together, as `layouts` has them one by one. Of test splits only those frames
are labelled in which an object appears.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from memtrack_ros.data.files import Pixels, images_by_number, naming, read_image
from memtrack_ros.data.masks import read_labels
from memtrack_ros.data.splits import listed, missing, read_split
from memtrack_ros.errors import SequenceError

VOID = 255
_IMAGES, _LABELS, _SIZE = 'JPEGImages', 'Annotations', '480p'


@dataclass(frozen=True)
class LabelledVideo:
    """A video NAME; `labels` are files of them, by the frame's index.

    `folder` is where its benchmark wants answers to lie, besides NAME: 'Annotations' for
    YouTube-VOS, nowhere for DAVIS.
    """

    name: str
    frames: tuple[Path, ...]
    labels: dict[int, Path]
    folder: str

    def frame(self, index: int) -> Pixels:
        """A frame as uint8 (height, width, 3) BGR. SequenceError when it cannot be read."""
        with naming(self.name):
            return read_image(self.frames[index], cv2.IMREAD_COLOR)

    def truth(self, index: int) -> Pixels | None:
        """The labels uint8 (height, width) of a frame, 0 where there is nothing or it is void.

        None where a frame is not labelled. SequenceError when they cannot be read.
        """
        if index not in self.labels:
            return None
        with naming(self.name):
            labels = read_labels(self.labels[index])
        return np.where(labels == VOID, np.uint8(0), labels)

    def beginnings(self) -> dict[int, int]:
        """In which frame each object is labelled first, by label; at least one is."""
        first: dict[int, int] = {}
        for index in self.labels:
            truth = self.truth(index)
            assert truth is not None
            for label in np.unique(truth[truth > 0]).tolist():
                first.setdefault(label, index)
        if not first:
            raise SequenceError(f'{self.name}: no object is labelled in it')
        return first


def labelled_videos(folder: Path, split: str | None = None) -> list[LabelledVideo]:
    """Those of a benchmark's folder, sorted by name; of a `split`, if there is one.

    SequenceError when there are none, one is malformed, or some of the split are not there.
    """
    videos = list(_videos(folder.resolve()))
    if not videos:
        raise SequenceError(
            f'{folder}: no labelled videos in it; known are DAVIS ({_IMAGES}/{_SIZE}/NAME and '
            f'{_LABELS}/{_SIZE}/NAME) and YouTube-VOS ({_IMAGES}/NAME and {_LABELS}/NAME)'
        )
    if split is None:
        return videos
    names = read_split(folder, split)
    if lost := missing(names, [video.name for video in videos]):
        raise SequenceError(
            f'{folder}: {len(lost)} of the {len(names)} videos of {split} are not in it, the first '
            f'is {lost[0]}'
        )
    return [video for video in videos if listed(video.name, names)]


def _videos(folder: Path) -> Iterator[LabelledVideo]:
    davis = (folder / _LABELS / _SIZE).is_dir()
    images, labels = (folder / part / (_SIZE if davis else '') for part in (_IMAGES, _LABELS))
    if not (images.is_dir() and labels.is_dir()):
        return
    for path in sorted(path for path in images.iterdir() if path.is_dir()):
        with naming(path.name):
            frames = images_by_number(path)
            files = images_by_number(labels / path.name)
            if lost := files.keys() - frames.keys():
                raise SequenceError(f'frame {min(lost)} is labelled, but not there')
        places = {number: index for index, number in enumerate(frames)}
        yield LabelledVideo(
            path.name,
            tuple(frames.values()),
            {places[number]: file for number, file in files.items()},
            '' if davis else _LABELS,
        )
