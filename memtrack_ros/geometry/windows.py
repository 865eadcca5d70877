"""Square search windows: frame -> crop -> frame."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from memtrack_ros.geometry.boxes import Floats

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Window:
    """A square of `side` x `side` crop pixels, each `pitch` frame pixels wide.

    The middle of the crop, (side - 1) / 2, lies at (`center_x`, `center_y`) of the frame.
    """

    center_x: float
    center_y: float
    pitch: float
    side: int

    @classmethod
    def around(cls, centre: ArrayLike, pitch: float, side: int) -> Window:
        """The window around `centre` (2,) of the frame."""
        x, y = (float(v) for v in np.asarray(centre, float))
        return cls(x, y, pitch, side)

    @property
    def origin(self) -> Floats:
        """Frame coordinates (2,) of the centre of crop pixel (0, 0)."""
        return np.array([self.center_x, self.center_y]) - (self.side - 1) / 2 * self.pitch

    def to_frame(self, points: ArrayLike) -> Floats:
        """Points (..., 2) of the crop in frame coordinates."""
        return self.origin + np.asarray(points, float) * self.pitch

    def to_crop(self, points: ArrayLike) -> Floats:
        """Points (..., 2) of the frame in crop coordinates."""
        return (np.asarray(points, float) - self.origin) / self.pitch

    def shows(self, point: ArrayLike) -> bool:
        """Whether a point (x, y) of the frame is in the crop."""
        return bool((np.abs(self.to_crop(point) - (self.side - 1) / 2) <= self.side / 2).all())

    def in_cells(self, count: int) -> Window:
        """The same square as `count` x `count` crop pixels: those of a map of it."""
        return Window(self.center_x, self.center_y, self.pitch * self.side / count, count)


def cut(image: Pixels, window: Window, border: ArrayLike) -> Pixels:
    """The crop (side, side[, C]) of `image` (H, W[, C]), `border` beyond the image.

    Where a crop pixel is wider than two of the image's, the image is averaged first.
    """
    reduction = max(1, int(window.pitch))
    left, top = window.origin.tolist()
    if reduction > 1:
        # Whole blocks of reduction x reduction pixels are averaged: only those the window touches.
        across, down = (
            _touched(start, window.pitch * window.side, reduction, length)
            for start, length in ((left, image.shape[1]), (top, image.shape[0]))
        )
        part = image[down, across]
        height, width = part.shape[0] // reduction, part.shape[1] // reduction
        if height and width:
            image = np.asarray(
                cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8
            )
            left, top = (
                ((start - span.start) - (reduction - 1) / 2) / reduction
                for start, span in ((left, across), (top, down))
            )
        else:
            reduction = 1
    pitch = window.pitch / reduction
    matrix = np.array([[pitch, 0, left], [0, pitch, top]])
    values = np.atleast_1d(np.asarray(border, float)).tolist()
    return np.asarray(
        cv2.warpAffine(
            image,
            matrix,
            (window.side, window.side),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=values,
        ),
        np.uint8,
    )


def _touched(start: float, extent: float, block: int, length: int) -> slice:
    """Of `length` pixels in whole blocks those that an extent from `start` on touches."""
    first = max(floor(start / block) * block, 0)
    last = min(max(ceil(start + extent) + block, 0), length)
    return slice(first, first + max(last - first, 0) // block * block)


def paste(
    crop: NDArray[np.float32], window: Window, height: int, width: int
) -> NDArray[np.float32]:
    """A map of the window, square of any resolution, in a frame (height, width), 0 elsewhere."""
    cells = window.in_cells(len(crop))
    scale = 1 / cells.pitch
    left, top = cells.to_crop([0, 0])
    matrix = np.array([[scale, 0, left], [0, scale, top]])
    laid = cv2.warpAffine(
        crop, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(laid, np.float32)
