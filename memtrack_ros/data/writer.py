"""Writes a sequence with masks in this project's own layout (`layouts.plain`)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2

from memtrack_ros.data.files import Pixels

QUALITY = 92  # of the images, JPEG


def write_sequence(folder: Path, frames: Iterable[tuple[Pixels, Pixels]]) -> None:
    """Write frames (H, W, 3) BGR with their masks (H, W) 0/255 into a new `folder`.

    The truth is the box around each mask, nan where it is empty. All at once: `folder` is not there
    before it is whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.', dir=folder.parent) as beside:
        whole = Path(beside, folder.name)
        _write(whole, frames)
        whole.replace(folder)


def _write(folder: Path, frames: Iterable[tuple[Pixels, Pixels]]) -> None:
    for name in ('img', 'mask'):
        (folder / name).mkdir(parents=True)
    with (folder / 'groundtruth.txt').open('w') as truth:
        for number, (frame, mask) in enumerate(frames, 1):
            compression = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            cv2.imwrite(str(folder / f'img/{number:06}.jpg'), frame, compression)
            cv2.imwrite(str(folder / f'mask/{number:06}.png'), mask)
            box = cv2.boundingRect(mask) if mask.any() else ('nan',) * 4
            print(*box, sep=',', file=truth)
