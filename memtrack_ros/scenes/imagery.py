"""A folder of photographs, cut-outs, swatches and videos as raw material for drawn scenes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.errors import ConfigurationError

PHOTO_SIDE = 256
OBJECT_SIDE = 128
SWATCHES_PER_SHEET = 8
REELS_PER_VIDEO = 4
REEL = 16  # frames of a reel
VIEWS = 24  # of an object that turns
DRAWINGS = 'emoji_'  # how the names of objects begin that nobody photographed
DRAWN = 0.2  # share that these have of the objects drawn with, however many they are
NONE_TURN = torch.empty(0, VIEWS, 4, OBJECT_SIDE, OBJECT_SIDE, dtype=torch.uint8)


@dataclass(frozen=True)
class Imagery:
    """Raw material, uint8 RGB.

    Photos (N, 3, PHOTO_SIDE, PHOTO_SIDE); objects (N, 4, OBJECT_SIDE, OBJECT_SIDE) with alpha,
    premultiplied; reels of real video (N, REEL, 3, PHOTO_SIDE, PHOTO_SIDE); objects that turn, each
    from several sides in order (N, VIEWS, 4, OBJECT_SIDE, OBJECT_SIDE). The first `drawings` of the
    objects are drawings.
    """

    photos: Tensor
    objects: Tensor
    reels: Tensor
    turning: Tensor = NONE_TURN
    drawings: int = 0


def read_imagery(folder: Path, device: torch.device) -> Imagery:
    """Read what there is in `folder` to draw with.

    `photos/`, `textures/` (which become photos); cut-outs with alpha in `objects/`, `cutouts/` and
    `masked/`, of which VIEWS or more that are named `masked/NAME_NUMBER` are one object that turns;
    videos in `clips/`.

    Raises ConfigurationError when the folder holds no photograph or no object.
    """
    photos = [
        cv2.resize(picture, (PHOTO_SIDE, PHOTO_SIDE), interpolation=cv2.INTER_AREA)
        for picture in _pictures(folder / 'photos', cv2.IMREAD_COLOR).values()
    ]
    for sheet in _pictures(folder / 'textures', cv2.IMREAD_COLOR).values():
        height, width = sheet.shape[:2]
        for row in np.linspace(0, max(height - PHOTO_SIDE, 0), SWATCHES_PER_SHEET, dtype=int):
            column = (row * 7) % max(width - PHOTO_SIDE, 1)
            swatch = sheet[row : row + PHOTO_SIDE, column : column + PHOTO_SIDE]
            photos.append(cv2.resize(swatch, (PHOTO_SIDE, PHOTO_SIDE)))
    objects = _cut_outs(folder / 'objects')
    drawings = {name for name in objects if name.startswith(DRAWINGS)}
    masked = _cut_outs(folder / 'masked')
    turning = _turning(masked)
    seen = {name for views in turning for name in views}
    stills = [
        *(objects[name] for name in sorted(drawings)),
        *(objects[name] for name in objects if name not in drawings),
        *_cut_outs(folder / 'cutouts').values(),
        *(masked[name] for name in masked if name not in seen),
    ]
    if not photos or not stills:
        raise ConfigurationError(
            f'{folder} holds {len(photos)} photographs and {len(stills)} objects with alpha, '
            'at least one of each '
            'is needed; leave the folder out to draw without imagery.'
        )
    reels = [reel for video in sorted((folder / 'clips').glob('*.*')) for reel in _reels(video)]
    frames = (
        _stack([frame for reel in reels for frame in reel], device)
        if reels
        else torch.empty(0, 3, PHOTO_SIDE, PHOTO_SIDE, dtype=torch.uint8, device=device)
    )
    evenly = [
        masked[views[number]]
        for views in turning
        for number in np.linspace(0, len(views) - 1, VIEWS).round().astype(int)
    ]
    sides = _stack(evenly, device) if evenly else NONE_TURN.to(device).flatten(0, 1)
    return Imagery(
        _stack(photos, device),
        _stack(stills, device),
        frames.unflatten(0, (len(frames) // REEL, REEL)),
        sides.unflatten(0, (len(turning), VIEWS)),
        len(drawings),
    )


def _pictures(folder: Path, mode: int) -> dict[str, NDArray[Any]]:
    """The pictures of a folder, by their names without ending, in their order."""
    decoded = ((path.stem, cv2.imread(str(path), mode)) for path in sorted(folder.glob('*.*')))
    return {name: picture for name, picture in decoded if picture is not None}


def _cut_outs(folder: Path) -> dict[str, NDArray[Any]]:
    """The pictures with alpha of a folder, made ready to be drawn."""
    pictures = _pictures(folder, cv2.IMREAD_UNCHANGED)
    return {
        name: _centred(picture)
        for name, picture in pictures.items()
        if picture.ndim == 3 and picture.shape[-1] == 4
    }


def _turning(names: Iterable[str]) -> list[list[str]]:
    """The names of the views of each object that turns: VIEWS or more.

    Views of one object differ in the number after the last underscore.
    """
    views: dict[str, list[str]] = defaultdict(list)
    for name in names:
        thing, _, number = name.rpartition('_')
        if number.isdecimal():
            views[thing].append(name)
    return [among for among in views.values() if len(among) >= VIEWS]


def _reels(video: Path) -> list[list[NDArray[Any]]]:
    """Stretches of REEL consecutive frames, evenly over a video; only what is kept is held."""
    capture = cv2.VideoCapture(str(video))
    try:
        frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        starts = np.unique(np.linspace(0, max(frames - REEL, 0), REELS_PER_VIDEO, dtype=int))
        reels: list[list[NDArray[Any]]] = [[] for _ in starts]
        for number in range(frames):
            wanted = (starts <= number) & (number < starts + REEL)
            if not capture.grab():
                break
            if wanted.any():
                frame = _square(capture.retrieve()[1])
                for reel in np.flatnonzero(wanted):
                    reels[reel].append(frame)
        return [reel for reel in reels if len(reel) == REEL]
    finally:
        capture.release()


def _square(frame: NDArray[Any]) -> NDArray[Any]:
    """The middle square of a frame, PHOTO_SIDE a side."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = frame[top : top + side, left : left + side]
    return cv2.resize(middle, (PHOTO_SIDE, PHOTO_SIDE), interpolation=cv2.INTER_AREA)


def _centred(cutout: NDArray[Any]) -> NDArray[Any]:
    """The cut-out in the middle of a transparent square, with a margin of 4 pixels, premultiplied.

    What is premultiplied before it is scaled does not bring its ground's colour to its edge.
    """
    height, width = cutout.shape[:2]
    scale = (OBJECT_SIDE - 8) / max(height, width)
    alpha = cutout[..., 3:].astype(np.float32) / 255
    premultiplied = np.dstack([cutout[..., :3] * alpha, cutout[..., 3:]])
    small = cv2.resize(
        premultiplied.astype(np.float32),
        (max(1, round(width * scale)), max(1, round(height * scale))),
        interpolation=cv2.INTER_AREA,
    )
    square = np.zeros((OBJECT_SIDE, OBJECT_SIDE, 4), np.uint8)
    top, left = (OBJECT_SIDE - small.shape[0]) // 2, (OBJECT_SIDE - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return square


def _stack(pictures: list[NDArray[Any]], device: torch.device) -> Tensor:
    """BGR(A) pictures of one size as one RGB(A) tensor (N, C, H, W)."""
    stack = np.stack(pictures)
    order = [2, 1, 0, 3][: stack.shape[-1]]
    return torch.from_numpy(np.ascontiguousarray(stack[..., order].transpose(0, 3, 1, 2))).to(
        device
    )
