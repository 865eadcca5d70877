"""What SAMN's and CMEDFL's authors took over from D3S (Lukezic et al., CVPR 2020).

The crops that their networks see, and what is made of a segmentation. Places are the authors': a
pixel's middle is half a pixel further right and down than its number, so that a box x, y, w, h is
around x + w / 2, y + h / 2.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window

D3S_CROP = 384  # side of the crop that is segmented, pixels
SEARCH = 4.0  # its side over sqrt(w h) of the target, in the frame
LEAST_AREA = 50.0  # of a contour in the crop's pixels, to be anything
OUTSIDE = 0.25  # alpha: what a pixel of the box beyond the mask counts
COVERED = 0.9  # share of the mask that its box covers, at least
WIDE = 0.6  # of the crop: an ellipse with a longer axis is a failed fit
FITTED = (0.1, 2.5)  # area of the fitted shape over that of the smallest rectangle
RIM = 7  # pixels: side of the square by which a contour's inside is dilated

Maps = NDArray[np.float32]


class Square(NamedTuple):
    """Whole pixels of a frame: column `left`, row `top` and `extent` pixels from there on."""

    left: int
    top: int
    extent: int

    @classmethod
    def around(cls, place: ArrayLike, size: ArrayLike) -> Square:
        """SEARCH times the target's sqrt(w h) wide around a place, rounded as the authors do."""
        extent = int(np.ceil(np.sqrt(np.asarray(size, float).prod()) * SEARCH))
        left, top = (round(float(c) - extent / 2) for c in np.asarray(place, float))
        return cls(left, top, extent)

    @property
    def window(self) -> Window:
        """It as D3S_CROP x D3S_CROP pixels."""
        middle = np.array([self.left, self.top]) + (self.extent - 1) / 2
        return Window.around(middle, self.extent / D3S_CROP, D3S_CROP)

    def show(self, frame: Pixels) -> Pixels:
        """The crop (S, S, 3) of `frame`, S = D3S_CROP; beyond it the frame's edge is repeated."""
        rows, columns = (np.clip(places, 0, last) for places, last in self._places(frame.shape[:2]))
        return np.asarray(cv2.resize(frame[rows][:, columns], (D3S_CROP, D3S_CROP)), np.uint8)

    def show_mask(self, mask: Pixels) -> Maps:
        """The crop (S, S), 0..1, of a mask 0/255 of the frame; beyond it there is nothing."""
        part = np.zeros((self.extent, self.extent), np.float32)
        inside, places = [], []
        for along, last in self._places(mask.shape):
            inside.append((along >= 0) & (along <= last))
            places.append(along[inside[-1]])
        part[np.ix_(*inside)] = mask[np.ix_(*places)] / np.float32(255)
        return np.asarray(cv2.resize(part, (D3S_CROP, D3S_CROP)), np.float32)

    def lay(self, shares: Maps, frame: Pixels) -> Pixels:
        """Shares (S, S), 0..1, of the crop as shares * 255 of `frame`, uint8 (H, W)."""
        part = cv2.resize(shares, (self.extent, self.extent))
        # What is above one half stays so.
        levels = np.ceil(np.clip(255 * part - 0.5, 0, 255)).astype(np.uint8)
        laid = np.zeros(frame.shape[:2], np.uint8)
        first = max(self.top, 0), max(self.left, 0)
        inside = laid[first[0] : max(self.top + self.extent, 0), :]
        inside = inside[:, first[1] : max(self.left + self.extent, 0)]
        rows, columns = inside.shape
        top, left = first[0] - self.top, first[1] - self.left
        inside[:] = levels[top : top + rows, left : left + columns]
        return laid

    def _places(self, shape: tuple[int, ...]) -> list[tuple[NDArray[np.int64], int]]:
        """Rows and columns, each with the last one that is taken from an image of `shape`.

        Where the square reaches the image's last row or column, the authors leave that out.
        """
        steps = np.arange(self.extent)
        return [
            (first + steps, length - 1 - (first + self.extent >= length))
            for first, length in zip((self.top, self.left), shape, strict=True)
        ]


def patch(frame: Pixels, place: ArrayLike, pitch: float, side: int) -> Maps:
    """ATOM's sample of `side` pixels around a `place` (2,), each `pitch` frame pixels wide.

    Levels (side, side, 3) of 0..255, not rounded. Around a whole pixel, decimated first when it is
    much larger; the world beyond repeats the frame's edge.
    """
    step = max(int(pitch - 0.1), 1)
    extent = max(round(side * pitch / step), 2)
    column, row = np.trunc(np.asarray(place, float)).astype(int)
    rows, columns = (
        place % step
        + step
        * np.clip(
            place // step - (extent - 1) // 2 + np.arange(extent),
            0,
            (length - 1 - place % step) // step,
        )
        for place, length in ((row, frame.shape[0]), (column, frame.shape[1]))
    )
    cut = np.asarray(frame[rows][:, columns], np.float32)
    return np.asarray(cv2.resize(cut, (side, side)), np.float32)


class Contours(NamedTuple):
    """What is segmented in a crop, in the crop's pixels.

    `parts` are the contours (n, 1, 2) of all of it, `largest` the one with the largest `area`;
    `smallest` (4, 2) are the corners of the smallest rectangle around that.
    """

    parts: tuple[NDArray[np.int32], ...]
    largest: NDArray[np.int32]
    area: float
    smallest: Floats


def contours_of(probability: Maps, threshold: float) -> Contours | None:
    """What is above the threshold in a crop's `probability` (S, S); None if hardly anything."""
    above = (probability > threshold).astype(np.uint8)
    parts, _ = cv2.findContours(above, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(part) for part in parts]
    if not areas or max(areas) <= LEAST_AREA:
        return None
    largest = parts[int(np.argmax(areas))]
    smallest = np.asarray(cv2.boxPoints(cv2.minAreaRect(largest)), float)
    return Contours(
        tuple(np.asarray(part, np.int32) for part in parts),
        np.asarray(largest, np.int32),
        max(areas),
        smallest,
    )


def inside(*contours: NDArray[np.int32]) -> Pixels:
    """Contours of a crop filled: uint8 (S, S) 0/1, S = D3S_CROP."""
    mask = np.zeros((D3S_CROP, D3S_CROP), np.uint8)
    cv2.drawContours(mask, contours, -1, 1, cv2.FILLED)
    return mask


def with_rim(mask: Pixels) -> Pixels:
    """A mask (S, S) 0/1 and RIM // 2 pixels around it."""
    return np.asarray(cv2.dilate(mask, np.ones((RIM, RIM), np.uint8)), np.uint8)


def bounds(found: Contours, *, together: bool) -> Floats:
    """The corners (4, 2) of the upright bounds: the first and the last pixels of the largest part.

    The largest of all parts filled `together`, or of those found. Where they lead astray, the
    corners of the smallest rectangle.
    """
    contour = found.largest
    if together:
        parts, _ = cv2.findContours(inside(*found.parts), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        contour = np.asarray(max(parts, key=cv2.contourArea), np.int32)
    x, y, width, height = cv2.boundingRect(contour)
    corners = rectangle([x, y, width - 1, height - 1])
    return corners if fits(corners, found.smallest) else found.smallest


def fitted(found: Contours) -> Floats:
    """The corners (4, 2) of the box fitted to a mask as the VOT challenge draws them.

    Vojir and Matas 2017: along the axes of the ellipse through the contour, around at least COVERED
    of the mask, the greedy best in intersection over union when what is beside the mask counts
    OUTSIDE. Where that leads astray, those of the smallest rectangle.
    """
    mask = inside(found.largest)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    centre, axes, angle = cv2.fitEllipse(contour)
    if not max(axes) <= WIDE * D3S_CROP:  # nan where there is no ellipse
        centre, _, angle = cv2.minAreaRect(contour)
    turn = cv2.getRotationMatrix2D(centre, angle, 1.0)
    left, top, right, bottom = _tightened(
        np.asarray(cv2.warpAffine(mask, turn, (D3S_CROP, D3S_CROP)), np.uint8)
    )
    back = cv2.invertAffineTransform(turn)
    corners = rectangle([left, top, right - left, bottom - top]) @ back[:, :2].T + back[:, 2]
    return corners if fits(corners, found.smallest) else found.smallest


def fits(corners: Floats, smallest: Floats) -> bool:
    """Whether a shape (4, 2) is about as large as the smallest rectangle around the same."""
    return FITTED[0] < area(corners) / area(smallest) < FITTED[1]


def area(corners: Floats) -> float:
    """Of a rectangle (4, 2): two neighbouring sides, multiplied."""
    first, second = np.linalg.norm(np.diff(corners[:3], axis=0), axis=1)
    return float(first * second)


def upright_size(corners: Floats) -> Floats:
    """Size (2,) w, h of the upright box with the extents' aspect and the area of corners (4, 2)."""
    extents = np.ptp(corners, axis=0)
    return np.asarray(np.sqrt(area(corners) / extents.prod()) * extents + 1)


def rectangle(box: ArrayLike) -> Floats:
    """The corners (4, 2) x, y to x + w, y + h of a box (4,), from the first clockwise."""
    x, y, w, h = np.asarray(box, float)
    return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])


def _tightened(mask: Pixels) -> tuple[int, int, int, int]:
    """First column and row, last column and row of the tightened bounds of `mask` (S, S) 0/1.

    Side by side moves inwards by a pixel while that is the best yet.
    """
    x, y, width, height = cv2.boundingRect(mask)
    sides = [x, y, x + width - 1, y + height - 1]
    sums = cv2.integral(mask)
    total = sums[-1, -1]

    def goodness(left: int, top: int, right: int, bottom: int) -> float:
        inside = (
            sums[bottom + 1, right + 1]
            - sums[bottom + 1, left]
            - sums[top, right + 1]
            + sums[top, left]
        )
        if right < left or bottom < top or inside < COVERED * total:
            return -1.0
        beside = (right - left + 1) * (bottom - top + 1) - inside
        return float(inside / (OUTSIDE * beside + total))

    best, moved = -1.0, True
    while moved:
        moved = False
        for side, step in ((1, 1), (0, 1), (3, -1), (2, -1)):
            tried = sides.copy()
            tried[side] += step
            if (value := goodness(*tried)) > best:
                sides, best, moved = tried, value, True
    return sides[0], sides[1], sides[2], sides[3]
