"""DAVIS: Perazzi et al., CVPR 2016 (one object a video); Pont-Tuset et al., 2017 (several).

JPEGImages/480p/NAME/00000.jpg ...
Annotations/480p/NAME/00000.png ...     0/255, or the objects' labels

The sequences are ROOT/NAME, or where a video has several objects ROOT/NAME.1, ROOT/NAME.2 ...: see
`labelled_sequences`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from memtrack_ros.data.files import numbered_images
from memtrack_ros.data.layouts.labelled import labelled_sequences
from memtrack_ros.data.layouts.video import Video
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.errors import SequenceError


def find_davis(folder: Path) -> list[Video]:
    """The videos of the benchmark's folder, which has JPEGImages/480p and Annotations/480p."""
    if not (folder / 'Annotations' / '480p').is_dir():
        return []
    roots = [folder / kind / '480p' for kind in ('Annotations', 'JPEGImages')]
    names = {path.name for root in roots for path in root.glob('*') if path.is_dir()}
    return [Video(f'{folder.name}/{name}', partial(_read, folder, name)) for name in sorted(names)]


def _read(folder: Path, name: str) -> list[Sequence]:
    frames = numbered_images(folder / 'JPEGImages' / '480p' / name)
    files = numbered_images(folder / 'Annotations' / '480p' / name)
    if len(files) != len(frames):
        raise SequenceError(f'{len(frames)} frames, but {len(files)} masks')
    return labelled_sequences(f'{folder.name}/{name}', frames, files)
