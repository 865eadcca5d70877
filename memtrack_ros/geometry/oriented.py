"""Oriented boxes: rotated rectangles in an image."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, hypot, pi, sin

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats

_PIXEL = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


@dataclass(frozen=True)
class OrientedBox:
    """A rotated rectangle, in pixels; the fields are those of OrientedBox.msg.

    theta is the angle from +x (right) towards +y (down), in radians in (-pi/2, pi/2]: clockwise as
    seen. size_x is the length of the side along theta, size_y that of the other side.
    Turning by 180 degrees changes nothing, so any theta may be given; it is brought into the range.
    """

    center_x: float
    center_y: float
    size_x: float
    size_y: float
    theta: float = 0.0

    def __post_init__(self) -> None:
        # pi/2 - (pi/2 - theta) mod pi would round small angles: only what is outside is changed
        if not -pi / 2 < self.theta <= pi / 2:
            theta = pi / 2 - (pi / 2 - self.theta) % pi
            object.__setattr__(self, 'theta', theta if theta > -pi / 2 else pi / 2)

    @classmethod
    def from_box(cls, box: ArrayLike) -> OrientedBox:
        """The box (4,) x, y, w, h, upright: theta 0, sizes w and h."""
        x, y, w, h = (float(v) for v in np.asarray(box, float))
        return cls(x + (w - 1) / 2, y + (h - 1) / 2, w, h, 0.0)

    @classmethod
    def from_corners(cls, corners: ArrayLike) -> OrientedBox:
        """The rectangle of four corners (4, 2), given in order around it.

        size_x is the side from the first to the second. Corners that form no exact rectangle
        give the one with their mean centre and mean sides.
        """
        c = np.asarray(corners, float)
        x, y = c.mean(0)
        along = (c[1] - c[0] + c[2] - c[3]) / 2
        across = (c[3] - c[0] + c[2] - c[1]) / 2
        size_x, size_y = hypot(*along), hypot(*across)
        # A rectangle without width still has the direction of its other side.
        theta = atan2(along[1], along[0]) if size_x else atan2(across[1], across[0]) - pi / 2
        return cls(float(x), float(y), size_x, size_y, theta)

    @classmethod
    def from_mask(cls, mask: NDArray[np.uint8]) -> OrientedBox | None:
        """The minimum-area rectangle around the largest connected component.

        The mask is (height, width), any value but 0 belongs to it. Pixels count as unit
        squares: a filled box of w x h gives sizes w and h. Of the two sides size_x is the one
        nearer to horizontal, so theta is within -pi/4 .. pi/4.
        None where the mask is empty.
        """
        x, y, w, h = cv2.boundingRect(mask)
        if w == 0:
            return None
        part = mask[y : y + h, x : x + w]
        count, labels, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
        if count > 2:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            part = (labels == largest).astype(np.uint8)
        outline, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        hull = cv2.convexHull(outline[0])[:, 0]
        squares = (hull[:, None] + _PIXEL).reshape(-1, 2)
        centre, (size_x, size_y), degrees = cv2.minAreaRect(squares.astype(np.float32))
        # OpenCV's angle has had several ranges over its versions; quarter turns swap the sides.
        turns = round(degrees / 90)
        if turns % 2:
            size_x, size_y = size_y, size_x
        theta = (degrees - 90 * turns) * pi / 180
        return cls(centre[0] + x, centre[1] + y, size_x, size_y, theta)

    def corners(self) -> Floats:
        """The corners (4, 2) x, y: at theta 0 top left, top right, bottom right, bottom left.

        These are points of the image, so the top left corner of the first pixel is (-0.5, -0.5).
        """
        c, s = cos(self.theta), sin(self.theta)
        along = np.array([c, s]) * self.size_x
        across = np.array([-s, c]) * self.size_y
        return (
            np.array([self.center_x, self.center_y])
            + np.array([-along - across, along - across, along + across, across - along]) / 2
        )

    def polygon(self) -> Floats:
        """The corners (8,) x1, y1, ... as annotations have them: edges of the extent.

        At theta 0 these are x, y, x + w, y, x + w, y + h, x, y + h; `boxes.bounds` is made for it.
        """
        return (self.corners() + 0.5).reshape(8)

    def mask(self, height: int, width: int) -> NDArray[np.uint8]:
        """It filled: uint8 (height, width), 255 on the pixels whose centre it covers, else 0."""
        if self.theta == 0:
            return boxes.box_mask(self.bounds(), height, width)
        x = np.arange(width) - self.center_x
        y = np.arange(height)[:, None] - self.center_y
        along = x * cos(self.theta) + y * sin(self.theta)
        across = y * cos(self.theta) - x * sin(self.theta)
        inside = (abs(along) <= self.size_x / 2) & (abs(across) <= self.size_y / 2)
        return np.asarray(np.where(inside, 255, 0), np.uint8)

    def bounds(self) -> Floats:
        """The axis-aligned box (4,) x, y, w, h around it; the box itself at theta 0."""
        if self.theta == 0:
            return boxes.from_centre([self.center_x, self.center_y], [self.size_x, self.size_y])
        return boxes.bounds(self.polygon())
