"""ILSVRC VID: Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, IJCV 2015.

Data/VID/SPLIT/.../NAME/000000.JPEG ...
Annotations/VID/SPLIT/.../NAME/000000.xml ...     objects with trackid and bndbox, from 0 on

The sequences are ROOT/NAME, or where a video has several objects ROOT/NAME.1, ROOT/NAME.2 ... in
the order of their track ids.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from memtrack_ros.data.files import Floats, checked, has_images, images_by_number
from memtrack_ros.data.layouts.video import Video
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError


def find_ilsvrc_vid(folder: Path) -> list[Video]:
    """The videos of the benchmark's folder, which has Data/VID and Annotations/VID."""
    images, truth = folder / 'Data' / 'VID', folder / 'Annotations' / 'VID'
    if not (images.is_dir() and truth.is_dir()):
        return []
    places = sorted(path for path in images.rglob('*') if path.is_dir() and has_images(path))
    return [
        Video(
            f'{folder.name}/{path.name}',
            partial(_read, f'{folder.name}/{path.name}', path, truth / path.relative_to(images)),
        )
        for path in places
    ]


def _read(name: str, images: Path, truth: Path) -> list[Sequence]:
    frames = images_by_number(images)
    tables = [_boxes(truth / f'{path.stem}.xml') for path in frames.values()]
    tracks = sorted(set().union(*tables))
    if not tracks:
        raise SequenceError('it has no objects')
    sequences = []
    for number, track in enumerate(tracks, 1):
        title = name + (f'.{number}' if len(tracks) > 1 else '')
        boxes = np.array([table.get(track, np.full(4, np.nan)) for table in tables])
        sequences.append(Sequence(title, tuple(frames.values()), checked(truth, boxes)))
    return sequences


def _boxes(path: Path) -> dict[int, Floats]:
    """The box (4,) of every track in a frame."""
    try:
        root = ElementTree.parse(path).getroot()
        boxes = {}
        for thing in root.iter('object'):
            x0, y0, x1, y1 = (
                float(thing.findtext(f'bndbox/{side}') or 'nan')
                for side in ('xmin', 'ymin', 'xmax', 'ymax')
            )
            boxes[int(thing.findtext('trackid') or '')] = np.array([x0, y0, x1 - x0, y1 - y0])
        return boxes
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise SequenceError(f'{path.name} is no annotation of a frame ({error})') from error
