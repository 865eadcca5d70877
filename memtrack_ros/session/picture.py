"""Whether a frame shows anything."""

from __future__ import annotations

import cv2
import numpy as np

from memtrack_ros.errors import ImageError
from memtrack_ros.geometry.windows import Pixels

BLOCK = 4  # pixels along a side of what is averaged, so that noise counts less than a small target
FAINTEST = 8  # of 0..255: less between the darkest and the brightest block is a covered lens


def require_picture(frame: Pixels) -> None:
    """ImageError where `frame` is not uint8 (H, W, 3)."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        raise ImageError(
            f'a frame has shape (height, width, 3) and type uint8, not {frame.shape} and '
            f'{frame.dtype}; convert it to BGR'
        )


def shows_anything(frame: Pixels) -> bool:
    """Whether there is any contrast in `frame`: nothing can be seen where there is none."""
    height, width = frame.shape[:2]
    blocks = max(1, width // BLOCK), max(1, height // BLOCK)
    small = cv2.resize(frame, blocks, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    return bool((small.max(0).astype(int) - small.min(0)).max() >= FAINTEST)
