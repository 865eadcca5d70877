"""DAVIS and YouTube-VOS: NAME/00000.png ..., labels as indices of Pascal VOC's palette."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from memtrack_ros.data.files import Pixels


def palette() -> list[int]:
    """Red, green, blue of all 256 labels: bits 0, 3, 6 of one are the upper bits of its red."""
    labels = np.arange(256)
    colours = [
        sum((labels >> 3 * bit + channel & 1) << 7 - bit for bit in range(3) if bit * 3 < 8)
        for channel in range(3)
    ]
    return np.stack(colours, 1).ravel().tolist()


def write_labels(path: Path, labels: Pixels) -> None:
    """Write labels uint8 (height, width) as an indexed PNG; makes the folder. OSError if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette(palette())
    image.save(path, 'PNG')
