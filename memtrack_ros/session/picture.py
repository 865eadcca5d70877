"""Whether a frame shows anything, and anything new."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from memtrack_ros.errors import ImageError
from memtrack_ros.geometry.windows import Pixels

BANDS = 8  # of a frame, of which the one in the middle is looked at first
BLOCK = 4  # pixels along a side of what is averaged, so that noise counts less than a small target
ALIVE = 5  # pictures, each unlike the one before, after which a camera is known to be alive
FROZEN = 2  # repetitions of the last of them, bit by bit, that no living camera gives
SPARSE = 4  # pixels from one that is compared to the next
FAINTEST = 8  # of 0..255: less between the darkest and the brightest block is a covered lens
BY_CHANCE = 14.0  # deviations: more than blocks of noise differ by, 9 of white one, 12 of a JPEG's
NOISIEST = 5.0  # of 0..255, deviation of a block, 20 of a pixel: more is no noise but a texture


def require_picture(frame: Pixels) -> None:
    """ImageError where `frame` is not uint8 (H, W, 3): of a file that was not read it is None."""
    if not isinstance(frame, np.ndarray):
        raise ImageError(
            f'a frame is an array, not {type(frame).__name__}; see whether its file was read'
        )
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ImageError(
            f'a frame has shape (height, width, 3) and type uint8, not {frame.shape} and '
            f'{frame.dtype}; convert it to BGR'
        )


def shows_anything(frame: Pixels) -> bool:
    """Whether there is any contrast in `frame`: nothing can be seen where there is none."""
    band = len(frame) // (2 * BANDS * BLOCK) * BLOCK
    middle = len(frame) // (2 * BLOCK) * BLOCK
    # Nearly always there is some in the middle of it.
    return _has_contrast(frame[middle - band : middle + band]) or _has_contrast(frame)


def _has_contrast(part: Pixels) -> bool:
    """Whether blocks of `part` differ in a colour, and by more than noise has them differ."""
    height, width = part.shape[:2]
    blocks = max(1, width // BLOCK), max(1, height // BLOCK)
    if not part.size:
        return False
    small = cv2.resize(part, blocks, interpolation=cv2.INTER_AREA)
    return any(_differ(np.asarray(channel, np.uint8)) for channel in cv2.split(small))


def _differ(blocks: Pixels) -> bool:
    """Whether there is anything else in `blocks` (h, w) than one grey with noise.

    By how far each is off the mean of its neighbours the noise is told; a picture is even there.
    """
    darkest, brightest = cv2.minMaxLoc(blocks)[:2]
    if brightest - darkest < FAINTEST:
        return False
    bend = np.abs(np.diff(blocks.ravel().astype(np.int16), n=2)).sum() / blocks.size
    deviation = min(bend / np.sqrt(12 / np.pi), NOISIEST)  # if all are normal and independent
    return bool(brightest - darkest >= BY_CHANCE * deviation)


@dataclass(frozen=True)
class Stillness:
    """Whether the same picture comes again and again from a camera whose pictures differed.

    A still picture from the start may be a simulated camera's, or a slide.
    """

    picture: Pixels | None = None
    different: int = 0
    """Pictures in a row that were unlike the one before."""
    repeated: int = 0
    """How often the last one of them came again."""

    def after(self, frame: Pixels) -> Stillness:
        """After another frame."""
        height, width = frame.shape[:2]
        size = -(-width // SPARSE), -(-height // SPARSE)
        sparse = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        if self.picture is None or not np.array_equal(sparse, self.picture):
            return Stillness(sparse, 1 if self.repeated else self.different + 1)
        return Stillness(sparse, self.different, self.repeated + 1)

    @property
    def frozen(self) -> bool:
        """Whether nothing new is seen."""
        return self.different >= ALIVE and self.repeated >= FROZEN
