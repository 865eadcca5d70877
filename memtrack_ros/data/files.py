"""What the layouts of sequences have in common: numbered images, lines of numbers, flags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import SequenceError

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Puts the name of a sequence before the message of a SequenceError raised within."""
    try:
        yield
    except SequenceError as error:
        raise SequenceError(f'{name}: {error}') from None


def read_image(path: Path, flags: int) -> Pixels:
    """An image as OpenCV reads it with these flags. SequenceError when it cannot, or not whole."""
    return decoded(path, read_bytes(path), flags)


def read_bytes(path: Path) -> bytes:
    """What is in a file. SequenceError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SequenceError(f'{path.name} cannot be read ({type(error).__name__})') from None


def decoded(path: Path, data: bytes, flags: int) -> Pixels:
    """The image in the data of a file. SequenceError as for `read_image`."""
    # OpenCV fills up what a cut JPEG lacks with grey and only warns.
    whole = not data.startswith(b'\xff\xd8') or b'\xff\xd9' in data[-1024:]
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data and whole else None
    if image is None:
        raise SequenceError(f'{path.name} cannot be read as an image')
    return np.asarray(image, np.uint8)


def has_images(folder: Path) -> bool:
    """Whether the folder exists and an image lies directly in it."""
    return folder.is_dir() and any(map(_is_image, folder.iterdir()))


def images_by_number(folder: Path) -> dict[int, Path]:
    """The images of a folder, which are named by their numbers, in the order of these."""
    images = list(filter(_is_image, folder.iterdir())) if folder.is_dir() else []
    if not images:
        raise SequenceError(f'no images in {folder.name}/')
    strange = [path.name for path in images if not path.stem.isdecimal()]
    if strange:
        raise SequenceError(f'{folder.name}/{min(strange)} is not named by its number')
    by_number = {int(path.stem): path for path in images}
    if len(by_number) < len(images):
        raise SequenceError(f'{len(images)} images in {folder.name}/, but some share a number')
    return dict(sorted(by_number.items()))


def numbered_images(folder: Path) -> tuple[Path, ...]:
    """The images of a folder in the order of their numbers, which must have no gap."""
    by_number = images_by_number(folder)
    missing = [n for n in range(min(by_number), max(by_number)) if n not in by_number]
    if missing:
        raise SequenceError(f'{len(missing)} missing in {folder.name}/, the first is {missing[0]}')
    return tuple(by_number.values())


def images_of_range(folder: Path, first: int, last: int) -> tuple[Path, ...]:
    """The images of a folder numbered first to last. SequenceError when some are missing."""
    images = tuple(p for p in numbered_images(folder) if first <= int(p.stem) <= last)
    if len(images) != last - first + 1:
        raise SequenceError(
            f'{len(images)} of the {last - first + 1} frames {first} to {last} in {folder.name}/'
        )
    return images


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without empty ones at its end."""
    try:
        return path.read_text().rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SequenceError(f'{path.name} cannot be read ({type(error).__name__})') from None


def read_numbers(path: Path, *widths: int) -> list[list[float]]:
    """The numbers of each line of a file, apart by commas, tabs or spaces.

    SequenceError at a line that has others, or not as many as one of the widths.
    """
    rows = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            values = [float(value) for value in line.replace(',', ' ').split()]
        except ValueError:
            raise SequenceError(f'{path.name}:{number}: "{line}" is not numbers') from None
        if len(values) not in widths:
            expected = ' or '.join(map(str, widths))
            raise SequenceError(f'{path.name}:{number}: {len(values)} numbers, not {expected}')
        rows.append(values)
    return rows


def read_boxes(path: Path) -> Floats:
    """The boxes (lines, 4) x, y, w, h of a file as they stand there, nan where any number is.

    SequenceError at a line that is no box.
    """
    return checked(path, _absent_whole(np.array(read_numbers(path, 4)).reshape(-1, 4)))


def read_boxes_with_blanks(path: Path) -> Floats:
    """As read_boxes, but a line without area says that the target is absent.

    GOT-10k and LaSOT write 0 or -1 for absent targets, and not all of them are flagged.
    """
    rows = _absent_whole(np.array(read_numbers(path, 4)).reshape(-1, 4))
    rows[(rows[:, 2:] <= 0).any(1)] = np.nan
    return checked(path, rows)


def checked(path: Path, boxes: Floats) -> Floats:
    """The boxes (lines, 4) of a file, if those not nan are finite and have an area."""
    present = ~np.isnan(boxes).any(1)
    wrong = present & (~np.isfinite(boxes).all(1) | (boxes[:, 2:] <= 0).any(1))
    if wrong.any():
        number = int(wrong.argmax())
        raise SequenceError(f'{path.name}:{number + 1}: "{read_lines(path)[number]}" is no box')
    return boxes


def from_one(boxes: Floats) -> Floats:
    """Boxes (..., 4) of an annotation that numbers pixels from 1, in this package's from 0."""
    return boxes - [1, 1, 0, 0]


def to_one(boxes: Floats) -> Floats:
    """The inverse of `from_one`."""
    return boxes - [-1, -1, 0, 0]


def read_flags(path: Path, count: int) -> Floats:
    """The numbers (count,) of a file, one a frame, in one line or one a line."""
    words = ' '.join(read_lines(path)).replace(',', ' ').split()
    try:
        flags = np.array([float(word) for word in words])
    except ValueError:
        raise SequenceError(f'{path.name} is not numbers') from None
    if len(flags) != count:
        raise SequenceError(f'{count} truth lines, but {len(flags)} flags in {path.name}')
    return flags


def read_attributes(path: Path, names: tuple[str, ...]) -> frozenset[str]:
    """The names whose number in the file's one line is 1; none when there is no such file."""
    if not path.is_file():
        return frozenset()
    values = read_numbers(path, len(names))
    if len(values) != 1:
        raise SequenceError(f'{path.name}: {len(values)} lines of attributes, not 1')
    return frozenset(name for name, value in zip(names, values[0], strict=True) if value)


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(('.jpg', '.jpeg', '.png'))


def _absent_whole(rows: Floats) -> Floats:
    rows[np.isnan(rows).any(1)] = np.nan
    return rows
