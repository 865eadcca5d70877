"""What SAMN's and CMEDFL's authors took over from D3S (Lukezic et al., CVPR 2020).

The crop that is segmented, and how a segmentation becomes a box and a new size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels, Window
from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import Given, outside

D3S_CROP = 384  # side of the crop that is segmented, pixels
SEARCH = 4.0  # its side over sqrt(w h) of the target, in the frame
TARGET = 0.5  # probability above which a pixel is the target's
LEAST_AREA = 50.0  # of a contour in the crop's pixels, to be believed
AREAS = 25  # accepted areas that a new one is compared with
CHANGED_AREA = 2.0  # relative difference from their mean from which a segmentation is not believed
CHANGED_SIZE = 0.75  # relative change of size from which it is not taken over
SLOWEST, FASTEST = 0.95, 1.05  # factor of the size from frame to frame
SMALLEST = 10.0  # pixels, of a side of the target
LEAST_SIDE, MOST_SIDE = 0.01, 2.0**16  # pixels, of a side of any target in any frame
ROUNDING = 1e-6  # relative, by which a target that fills its frame may be larger
SMALLEST_SCALE = 0.2 * 256 / 4.5  # pixels, of the sqrt(w h) that may be taken over
OUTSIDE = 0.25  # alpha: what a pixel of the box beyond the mask counts
COVERED = 0.9  # share of the mask that its box covers, at least
WIDE = 0.6  # of the crop: an ellipse with a longer axis is a failed fit
FITTED = (0.1, 2.5)  # area of the fitted box over that of the smallest one around the mask


class Square(NamedTuple):
    """Whole pixels of a frame: column `left`, row `top` and `extent` pixels from there on."""

    left: int
    top: int
    extent: int

    @classmethod
    def around(cls, centre: ArrayLike, size: ArrayLike) -> Square:
        """SEARCH times the target's sqrt(w h) wide, rounded as the authors do."""
        extent = int(np.ceil(np.sqrt(np.asarray(size, float).prod()) * SEARCH))
        left, top = (round(float(c) + 0.5 - extent / 2) for c in np.asarray(centre, float))
        return cls(left, top, extent)

    @property
    def window(self) -> Window:
        """It as D3S_CROP x D3S_CROP pixels."""
        middle = np.array([self.left, self.top]) + (self.extent - 1) / 2
        return Window.around(middle, self.extent / D3S_CROP, D3S_CROP)

    def in_frame(self, box: Floats) -> Floats:
        """A box (4,) of the crop in the frame."""
        window = self.window
        return boxes.from_centre(window.to_frame(boxes.centre(box)), box[2:] * window.pitch)

    def turned_in_frame(self, box: OrientedBox) -> OrientedBox:
        """An oriented box of the crop in the frame."""
        window = self.window
        x, y = window.to_frame([box.center_x, box.center_y])
        size_x, size_y = box.size_x * window.pitch, box.size_y * window.pitch
        return OrientedBox(float(x), float(y), size_x, size_y, box.theta)

    def show(self, frame: Pixels) -> Pixels:
        """The crop (S, S, 3) of `frame`, S = D3S_CROP; beyond it the frame's edge is repeated."""
        rows, columns = (np.clip(places, 0, last) for places, last in self._places(frame.shape[:2]))
        return np.asarray(cv2.resize(frame[rows][:, columns], (D3S_CROP, D3S_CROP)), np.uint8)

    def show_mask(self, mask: Pixels) -> NDArray[np.float32]:
        """The crop (S, S), 0..1, of a mask 0/255 of the frame; beyond it there is nothing."""
        part = np.zeros((self.extent, self.extent), np.float32)
        inside, places = [], []
        for along, last in self._places(mask.shape):
            inside.append((along >= 0) & (along <= last))
            places.append(along[inside[-1]])
        part[np.ix_(*inside)] = mask[np.ix_(*places)] / np.float32(255)
        return np.asarray(cv2.resize(part, (D3S_CROP, D3S_CROP)), np.float32)

    def _places(self, shape: tuple[int, ...]) -> list[tuple[NDArray[np.int64], int]]:
        """Rows and columns, each with the last one that is taken from an image of `shape`.

        Where the square reaches the image's last row or column, the authors leave that out.
        """
        steps = np.arange(self.extent)
        return [
            (first + steps, length - 1 - (first + self.extent >= length))
            for first, length in zip((self.top, self.left), shape, strict=True)
        ]


def patch(frame: Pixels, centre: ArrayLike, pitch: float, side: int) -> Pixels:
    """ATOM's sample of `side` pixels around `centre` (2,), each `pitch` frame pixels wide.

    Around a whole pixel, decimated first when it is much larger; the world beyond repeats the
    frame's edge.
    """
    step = max(int(pitch - 0.1), 1)
    extent = max(round(side * pitch / step), 2)
    column, row = np.trunc(np.asarray(centre, float) + 0.5).astype(int)
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
    return np.asarray(cv2.resize(frame[rows][:, columns], (side, side)), np.uint8)


class Outline(NamedTuple):
    """The largest thing segmented in a crop, in the crop's pixels.

    Its `mask` uint8 (S, S) 0/255, S = D3S_CROP, the `area` in its contour, the bounds (4,) of its
    mask and the smallest rectangle around the contour's points.
    """

    mask: Pixels
    area: float
    box: Floats
    smallest: OrientedBox

    @property
    def scale(self) -> float:
        """sqrt(w h) of the upright box that has the smallest one's area and its bounds' aspect."""
        width, height = np.ptp(self.smallest.corners(), axis=0)
        shrink = np.sqrt(self.smallest.size_x * self.smallest.size_y / (width * height))
        return float(np.sqrt((shrink * width + 1) * (shrink * height + 1)))


def outline(probability: NDArray[np.float32]) -> Outline | None:
    """What is segmented where the `probability` (S, S) is high; None if hardly anything."""
    marked = (probability > TARGET).astype(np.uint8)
    contours, _ = cv2.findContours(marked, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(contour) for contour in contours]
    if not areas or max(areas) <= LEAST_AREA:
        return None
    contour = contours[int(np.argmax(areas))]
    mask = np.zeros_like(marked)
    cv2.drawContours(mask, [contour], -1, 255, cv2.FILLED)
    corners = cv2.boxPoints(cv2.minAreaRect(contour))
    return Outline(
        mask,
        max(areas),
        np.array(cv2.boundingRect(contour), float),
        OrientedBox.from_corners(corners),
    )


def fitted_box(found: Outline) -> OrientedBox:
    """The box fitted to a mask as the VOT challenge draws them (Vojir and Matas 2017).

    Along the axes of the ellipse through the contour, around at least COVERED of the mask, the
    greedy best in intersection over union when what is beside the mask counts OUTSIDE. Where that
    leads astray, the smallest box around the mask.
    """
    contours, _ = cv2.findContours(found.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    centre, axes, angle = cv2.fitEllipse(contour)
    if not max(axes) <= WIDE * D3S_CROP:  # nan where there is no ellipse
        centre, _, angle = cv2.minAreaRect(contour)
    turn = cv2.getRotationMatrix2D(centre, angle, 1.0)
    left, top, right, bottom = _tightened(
        np.asarray(cv2.warpAffine(found.mask // 255, turn, (D3S_CROP, D3S_CROP)), np.uint8)
    )
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
    back = cv2.invertAffineTransform(turn)
    fitted = OrientedBox.from_corners(corners @ back[:, :2].T + back[:, 2])
    smallest = found.smallest
    ratio = fitted.size_x * fitted.size_y / (smallest.size_x * smallest.size_y)
    return fitted if FITTED[0] < ratio < FITTED[1] else smallest


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


class TargetSize(Stateful):
    """The target's size (2,) w, h in frame pixels: the first box's, scaled a little every frame."""

    kept = ('_size', '_frame', '_areas')
    longest: Mapping[str, int] = {'_areas': AREAS}

    def __init__(self) -> None:
        self._size: Floats = np.ones(2)
        self._frame: Floats = np.ones(2)  # its own size w, h
        self._areas: Floats = np.ones(1)

    def faults(self, given: Given) -> Iterator[str]:
        """It is a size of something in its frame; areas are those of contours in a crop."""
        yield from outside(given, '_frame', 1, MOST_SIDE)
        yield from outside(given, '_size', LEAST_SIDE, MOST_SIDE)
        yield from outside(given, '_areas', 0, D3S_CROP**2)
        if (given['_size'] > given['_frame'] * (1 + ROUNDING)).any():
            yield f'_size is {given["_size"].tolist()}, larger than its frame'

    def begin(self, size: ArrayLike, shape: tuple[int, ...]) -> None:
        """Start with the first box's size in a frame of `shape`."""
        self._size, self._frame = np.array(size, float), np.array(shape[1::-1], float)

    def within(self, shape: tuple[int, ...]) -> Floats:
        """The size in a frame of `shape`, the resolution of which may be new."""
        return np.maximum(self._size * (np.array(shape[1::-1]) / self._frame), LEAST_SIDE)

    def expect(self, area: float) -> None:
        """Start with the area of the first mask, in its crop's pixels."""
        self._areas = np.array([area], float)

    def believes(self, found: Outline) -> bool:
        """Whether the area is near enough to those accepted lately."""
        mean = self._areas.mean()
        return bool(abs(found.area - mean) < CHANGED_AREA * mean)

    def follow(self, found: Outline, pitch: float, shape: tuple[int, ...]) -> None:
        """Take over what was segmented in a crop whose pixels are `pitch` frame pixels wide.

        As far as it is believed, and slowly; neither below SMALLEST nor beyond the frame's `shape`.
        """
        self._size, self._frame = self.within(shape), np.array(shape[1::-1], float)
        if not self.believes(found):
            return
        self._areas = np.append(self._areas, found.area)[-AREAS:]
        scale = found.scale * pitch
        change = scale / np.sqrt(self._size.prod())
        if scale > SMALLEST_SCALE and abs(change - 1) < CHANGED_SIZE:
            change = np.clip(change, SLOWEST, FASTEST)
        else:
            change = 1.0
        limits = (SMALLEST / self._size).max(), (self._frame / self._size).min()
        self._size = self._size * np.clip(change, *limits)
