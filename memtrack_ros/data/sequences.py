"""Sequences of the layout SET/NAME: frames, ground truth and, for some, masks.

SET/NAME/img/000001.jpg ...     one image a frame, numbered without a gap
SET/NAME/groundtruth.txt        a line a frame: x,y,w,h or x1,y1,...,x4,y4; nan where absent
SET/NAME/mask/000001.png ...    optional, 0/255
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import SequenceError
from memtrack_ros.geometry import boxes


@dataclass(frozen=True)
class Sequence:
    """One video with the box of its target in every frame.

    name is 'SET/NAME'. truth is float64 (frames, 4): x, y, w, h in pixels, the axis-aligned bounds
    where the truth is rotated, nan where the target is absent. masks has one file a frame.
    """

    name: str
    frames: tuple[Path, ...]
    truth: NDArray[np.float64]
    masks: tuple[Path, ...] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """A frame as uint8 (height, width, 3) BGR. SequenceError when it cannot be read."""
        return self._image(self.frames[index], cv2.IMREAD_COLOR)

    def mask(self, index: int) -> NDArray[np.uint8]:
        """The true mask of a frame as uint8 (height, width) 0/255.

        SequenceError when there is none or it cannot be read.
        """
        if self.masks is None:
            raise SequenceError(f'{self.name}: it has no masks')
        return self._image(self.masks[index], cv2.IMREAD_GRAYSCALE)

    def _image(self, path: Path, flags: int) -> NDArray[np.uint8]:
        image = cv2.imread(str(path), flags)
        if image is None:
            raise SequenceError(f'{self.name}: {path.name} cannot be read as an image')
        return np.asarray(image, np.uint8)


def read_sequence(folder: Path) -> Sequence:
    """The sequence in a folder SET/NAME.

    SequenceError names it and what is wrong: no frames or a gap in their numbers, no truth or one
    that is unreadable or empty, frames, truth and masks that differ in number.
    """
    folder = folder.resolve()
    name = f'{folder.parent.name}/{folder.name}'
    try:
        frames = _numbered(folder / 'img')
        truth = _truth(folder / 'groundtruth.txt')
        masks = _numbered(folder / 'mask') if (folder / 'mask').is_dir() else None
        for what, count in (('truth lines', len(truth)), ('masks', len(masks or frames))):
            if count != len(frames):
                raise SequenceError(f'{len(frames)} frames, but {count} {what}')
    except SequenceError as error:
        raise SequenceError(f'{name}: {error}') from None
    return Sequence(name, frames, truth, masks)


def read_sequences(folder: Path, faults: list[SequenceError] | None = None) -> list[Sequence]:
    """All sequences in a folder of SETs (or in one SET, or the one it is), sorted by name.

    A malformed one is skipped and its error added to faults; without that list it is raised.
    SequenceError when there is no sequence at all, malformed or not.
    """
    candidates = [
        path
        for pattern in ('img', '*/img', '*/*/img')
        for path in (p.parent for p in folder.glob(pattern) if p.is_dir())
    ]
    candidates += [
        path.parent
        for pattern in ('', '*/', '*/*/')
        for path in folder.glob(f'{pattern}groundtruth.txt')
    ]
    if not candidates:
        raise SequenceError(f'{folder}: no SET/NAME/img and no SET/NAME/groundtruth.txt in it')
    sequences = []
    for candidate in sorted(set(candidates)):
        try:
            sequences.append(read_sequence(candidate))
        except SequenceError as error:
            if faults is None:
                raise
            faults.append(error)
    return sequences


def _numbered(folder: Path) -> tuple[Path, ...]:
    """The images of a folder in the order of their numbers, which must have no gap."""
    suffixes = ('.jpg', '.jpeg', '.png')
    images = [path for path in folder.glob('*') if path.suffix.lower() in suffixes]
    if not images:
        raise SequenceError(f'no images in {folder.name}/')
    strange = [path.name for path in images if not path.stem.isdecimal()]
    if strange:
        raise SequenceError(f'{folder.name}/{min(strange)} is not named by its number')
    by_number = {int(path.stem): path for path in images}
    if len(by_number) < len(images):
        raise SequenceError(f'{len(images)} images in {folder.name}/, but some share a number')
    missing = [n for n in range(min(by_number), max(by_number)) if n not in by_number]
    if missing:
        raise SequenceError(f'{len(missing)} missing in {folder.name}/, the first is {missing[0]}')
    return tuple(by_number[number] for number in sorted(by_number))


def _truth(path: Path) -> NDArray[np.float64]:
    """The boxes (frames, 4) of a truth file."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SequenceError(f'{path.name} cannot be read ({type(error).__name__})') from None
    truth = np.empty((len(lines), 4))
    for number, line in enumerate(lines, 1):
        try:
            values = np.array([float(value) for value in line.split(',')])
        except ValueError:
            raise SequenceError(f'{path.name}:{number}: "{line}" is not numbers') from None
        if len(values) not in (4, 8):
            raise SequenceError(f'{path.name}:{number}: {len(values)} numbers, not 4 or 8')
        if np.isnan(values).any():
            truth[number - 1] = np.nan
            continue
        box = values if len(values) == 4 else boxes.bounds(values)
        if not np.isfinite(box).all() or (box[2:] <= 0).any():
            raise SequenceError(f'{path.name}:{number}: "{line}" is no box')
        truth[number - 1] = box
    if np.isnan(truth).all():
        raise SequenceError(f'{path.name} has no box')
    return truth
