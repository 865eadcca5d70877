"""COCO: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; instances.

annotations/instances_SPLIT.json
SPLIT/000000000009.jpg ...      or images/SPLIT/000000000009.jpg ...

Still pictures: a sequence of one frame for each object, SPLIT/000000000009.ID, ID its annotation's.
Coordinates count from the image's edge. Crowds, and what is not a pixel wide or high, are left out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.data.layouts.video import Video
from memtrack_ros.data.masks import ColumnRuns, Masks, Polygons
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError


class _Picture(NamedTuple):
    number: int
    file: str
    size: tuple[int, int]  # height, width


class _Thing(NamedTuple):
    """An annotated object: its outline is polygons, lengths of runs, or not known."""

    number: int
    picture: int
    box: tuple[float, ...]
    outline: tuple[NDArray[np.float32], ...] | NDArray[np.int32] | None

    def masks(self, size: tuple[int, int]) -> Masks | None:
        """Its mask in a picture of this height and width."""
        if isinstance(self.outline, tuple):
            return Polygons(self.outline, size)
        return None if self.outline is None else ColumnRuns(self.outline, size)


def find_coco(folder: Path) -> list[Video]:
    """The pictures with objects of the folder, which has annotations/instances_SPLIT.json."""
    return [
        found
        for path in sorted(folder.glob('annotations/instances_*.json'))
        for found in _pictures(folder, path)
    ]


def _pictures(folder: Path, path: Path) -> list[Video]:
    split = path.stem.removeprefix('instances_')
    try:
        # The numbers of an object are packed as soon as they are read: as Python's, they would take
        # ten times as much memory.
        content = json.loads(path.read_bytes(), object_hook=_packed)
        things = defaultdict(list)
        for thing in filter(None, content['annotations']):
            things[thing.picture].append(thing)
        pictures = [picture for picture in content['images'] if picture.number in things]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [Video(f'annotations/{path.name}', partial(_refuse, error))]
    images = folder / split if (folder / split).is_dir() else folder / 'images' / split
    return [
        Video(
            f'{split}/{Path(picture.file).stem}',
            partial(_read, split, images, picture, things[picture.number]),
        )
        for picture in pictures
    ]


def _packed(entry: dict[str, Any]) -> Any:
    """What an object of the file is kept as: None where it is an annotation of no use."""
    if 'file_name' in entry:
        return _Picture(entry['id'], entry['file_name'], (entry['height'], entry['width']))
    if 'bbox' not in entry:
        return entry
    box = tuple(map(float, entry['bbox']))
    if entry.get('iscrowd') or min(box[2:]) < 1:
        return None
    outline = entry.get('segmentation') or None
    if isinstance(outline, dict):
        outline = np.array(outline['counts'], np.int32)
    elif outline is not None:
        outline = tuple(np.array(corners, np.float32).reshape(-1, 2) for corners in outline)
    return _Thing(entry['id'], entry['image_id'], box, outline)


def _refuse(error: Exception) -> list[Sequence]:
    raise SequenceError(f'it holds no instances of COCO ({type(error).__name__}: {error})')


def _read(split: str, images: Path, picture: _Picture, things: list[_Thing]) -> list[Sequence]:
    path = images / picture.file
    return [
        Sequence(
            f'{split}/{path.stem}.{thing.number}',
            (path,),
            np.array([thing.box]),
            thing.masks(picture.size),
        )
        for thing in things
    ]
