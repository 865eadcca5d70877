"""Videos whose objects are labelled in some of their frames: DAVIS, YouTube-VOS.

All objects of a video together, as `layouts` has them one by one. Of test splits only those frames
are labelled in which an object appears.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from memtrack_ros.data.files import Pixels, images_by_number, naming, read_bytes, read_image
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

    @cached_property
    def digest(self) -> str:
        """Of the frames' names and of all labels. SequenceError when these cannot be read."""
        content = hashlib.sha256()
        with naming(self.name):
            for index, frame in enumerate(self.frames):
                content.update(frame.name.encode())
                if index in self.labels:
                    content.update(read_bytes(self.labels[index]))
        return content.hexdigest()[:12]

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


def labelled_videos(
    folder: Path, faults: list[SequenceError], split: str | None = None
) -> list[LabelledVideo]:
    """Those of a benchmark's folder, sorted by name; of a `split`, if there is one.

    A malformed one, and some of the split that are not there, are added to faults. SequenceError
    when the folder has no videos in either layout.
    """
    folder = folder.resolve()
    davis = (folder / _LABELS / _SIZE).is_dir()
    images, labels = (folder / part / (_SIZE if davis else '') for part in (_IMAGES, _LABELS))
    names = [path.name for path in images.glob('*') if path.is_dir()] if labels.is_dir() else []
    if not names:
        raise SequenceError(
            f'{folder}: no labelled videos in it; known are DAVIS ({_IMAGES}/{_SIZE}/NAME and '
            f'{_LABELS}/{_SIZE}/NAME) and YouTube-VOS ({_IMAGES}/NAME and {_LABELS}/NAME)'
        )
    if split is not None:
        wanted = read_split(folder, split)
        if lost := missing(wanted, names):
            faults.append(
                SequenceError(
                    f'{folder}: {len(lost)} of the {len(wanted)} videos of {split} are not in it, '
                    f'the first is {lost[0]}'
                )
            )
        names = [name for name in names if listed(name, wanted)]
    videos = []
    for name in sorted(names):
        try:
            with naming(name):
                videos.append(_video(name, images / name, labels / name, '' if davis else _LABELS))
        except SequenceError as error:
            faults.append(error)
    return videos


def _video(name: str, images: Path, labels: Path, answers: str) -> LabelledVideo:
    frames, files = images_by_number(images), images_by_number(labels)
    if lost := files.keys() - frames.keys():
        raise SequenceError(f'frame {min(lost)} is labelled, but not there')
    places = {number: index for index, number in enumerate(frames)}
    labelled = {places[number]: file for number, file in files.items()}
    return LabelledVideo(name, tuple(frames.values()), labelled, answers)
