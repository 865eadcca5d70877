"""True masks, read one at a time: from images, labelled images, run lengths, polygons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from memtrack_ros.data.files import Pixels, decoded, read_bytes, read_image
from memtrack_ros.errors import SequenceError


class Masks(Protocol):
    """The masks of a sequence, one a frame: uint8 (height, width), 0 or 255.

    SequenceError when one cannot be read.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pixels: ...


@dataclass(frozen=True)
class MaskFiles:
    """Masks that lie as images 0/255."""

    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Pixels:
        return read_image(self.files[index], cv2.IMREAD_GRAYSCALE)


@dataclass(frozen=True)
class LabelFiles:
    """The masks of the object of one label in images of labels; see `read_labels`."""

    files: tuple[Path, ...]
    label: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Pixels:
        return np.asarray((read_labels(self.files[index]) == self.label) * np.uint8(255))


def read_labels(path: Path) -> Pixels:
    """The labels uint8 (height, width) of an image: its grey values or indices of its palette.

    A colour image without a palette is taken to have that of Pascal VOC and DAVIS: the bits 0, 3, 6
    of an index are the upper bits of red, 1, 4, 7 those of green, 2, 5 those of blue; (128, 0, 0)
    is 1, (0, 128, 0) is 2.
    """
    data = read_bytes(path)
    if (indices := _indices(path, data)) is not None:
        return indices
    image = decoded(path, data, cv2.IMREAD_UNCHANGED)
    if image.ndim == 2:
        return image
    labels = np.zeros(image.shape[:2], np.uint8)
    for channel, table in enumerate(_INDEX_BITS):
        labels |= table[image[..., channel]]
    return labels


def _indices(path: Path, data: bytes) -> Pixels | None:
    """The indices of a PNG file with a palette, which OpenCV replaces by colours; None of others.

    SequenceError when they cannot be read, or not whole.
    """
    if not data.startswith(_PNG) or data[_COLOUR_TYPE : _COLOUR_TYPE + 1] != _INDEXED:
        return None
    try:
        with Image.open(BytesIO(data), formats=('PNG',)) as image:
            return np.array(image, np.uint8)
    except Exception:  # Pillow has a dozen for what is damaged, SyntaxError among them
        raise SequenceError(f'{path.name} cannot be read as an image') from None


# A PNG file begins with these bytes, and says further on what its pixels are.
_PNG = b'\x89PNG\r\n\x1a\n'
_COLOUR_TYPE, _INDEXED = 25, b'\x03'


def _index_bits() -> tuple[Pixels, ...]:
    """For blue, green and red (256,): the bits of the index that a value of the channel holds."""
    value = np.arange(256)
    tables = []
    for lowest in (2, 1, 0):
        bits = [(value >> 7 - i & 1) << 3 * i + lowest for i in range(3)]
        tables.append((np.bitwise_or.reduce(bits) & 255).astype(np.uint8))
    return tuple(tables)


_INDEX_BITS = _index_bits()


@dataclass(frozen=True)
class RunLengths:
    """Masks as VOT writes them since 2020, a line each.

    m then x, y, w, h of a part of the image and, row by row through it, the lengths of runs
    outside and inside the target in turn. The masks are as large as the frame.
    """

    lines: tuple[str, ...]
    frame: Path

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> Pixels:
        x, y, part = self.part(index)
        mask = np.zeros(self._size, np.uint8)
        # What is outside of the image is cut off.
        part = part[max(-y, 0) :, max(-x, 0) :]
        window = mask[max(y, 0) :, max(x, 0) :][: part.shape[0], : part.shape[1]]
        window[:] = 255 * part[: window.shape[0], : window.shape[1]]
        return mask

    def part(self, index: int) -> tuple[int, int, Pixels]:
        """Where the part of a line begins, x, y in pixels, and its mask (h, w) of 0 and 1."""
        line = self.lines[index]
        try:
            x, y, w, h, *runs = (int(value) for value in line.removeprefix('m').split(','))
            if w < 0 or h < 0:
                raise ValueError
            lengths: NDArray[np.intp] = np.array(runs, np.intp)
            inside = np.arange(len(lengths), dtype=np.uint8) % 2
            return x, y, np.repeat(inside, lengths).reshape(h, w)
        except ValueError:
            short = line if len(line) <= 40 else f'{line[:40]}...'
            raise SequenceError(f'mask {index + 1}: "{short}" is no mask') from None

    @cached_property
    def _size(self) -> tuple[int, int]:
        height, width = read_image(self.frame, cv2.IMREAD_GRAYSCALE).shape
        return height, width


@dataclass(frozen=True)
class ColumnRuns:
    """One mask as COCO writes that of a crowd.

    Column by column through an image of `size` height, width, the lengths of runs outside and
    inside the target in turn.
    """

    lengths: NDArray[np.int32]
    size: tuple[int, int]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Pixels:
        height, width = self.size
        if (self.lengths < 0).any() or self.lengths.sum() != height * width:
            raise SequenceError(f'the runs of its mask do not fill {width} x {height} pixels')
        inside = (np.arange(len(self.lengths)) % 2 * 255).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(inside, self.lengths).reshape(width, height).T)


# Polygons are drawn on a grid this much finer, as OpenCV draws their edges, too, half a pixel of it
# wide. It is odd, so that each pixel's centre is that of one of the grid's.
_FINER = 5


@dataclass(frozen=True)
class Polygons:
    """One mask that polygons (corners, 2: x, y from the image's edge) fill together.

    In an image of `size` height, width.
    """

    polygons: tuple[NDArray[np.float32], ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Pixels:
        fine = np.zeros((self.size[0] * _FINER, self.size[1] * _FINER), np.uint8)
        for corners in self.polygons:
            points = np.round((corners * _FINER - 0.5) * 16).astype(np.int32)
            cv2.fillPoly(fine, [points], 255, shift=4)
        return np.ascontiguousarray(fine[_FINER // 2 :: _FINER, _FINER // 2 :: _FINER])
