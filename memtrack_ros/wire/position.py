"""Where the target is in space: on the ray through its centre, by depth or by its known width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, pi, sqrt, tan

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.wire.depth import Depth, Region

Point = tuple[float, float]
Bearing = Callable[[Point], 'Point | None']
"""Of a pixel x, y: radians right of the optical axis and below; None where there is none."""

LEAST = 12
"""Pixels whose depth is known, below which nothing is."""
QUANTUM = 0.001 / sqrt(12)
"""Standard deviation, in metres, of what is counted in millimetres."""
CENTRE = 0.06
"""Standard deviation of the target's centre along an axis, as a share of its extent there."""
WIDTH = 0.12
"""Standard deviation of its apparent width, as a share of it."""
_PARTS = 2  # along a side, and along a side of each
_ALIKE = 1.15  # the least q, see _variance: of what all pixels share nothing is seen
_COARSEST = 0.5  # of the distance: what is further off is another thing's depth, no next step
_FAR = 3.0  # robust standard deviations from the median: another surface
_NORMAL = 1.4826  # standard deviations in a median absolute deviation
_MOST = 20_000  # pixels that are looked at


@dataclass(frozen=True)
class Position:
    """A place (3,) in metres in the camera's optical frame, x right, y down, z forward.

    `covariance` (3, 3) is in square metres.
    """

    point: Floats
    covariance: Floats


@dataclass(frozen=True)
class Ray:
    """The way to a target: x, y of (x, y, 1), and what a pixel right and below adds to these.

    `extent` (w, h) is that of the target in pixels.
    """

    direction: Point
    pitch: Point
    extent: Point

    @classmethod
    def to(cls, centre: Point, extent: Point, bearing: Bearing) -> Ray | None:
        """The ray through a pixel; None where the lens has no answer."""
        x, y = centre
        around = [(x, y), (x - 0.5, y), (x + 0.5, y), (x, y - 0.5), (x, y + 0.5)]
        found = [bearing(point) for point in around]
        angles = [angle for angle in found if angle is not None]
        if len(angles) < len(around):
            return None
        here, left, right, above, below = ((tan(right), tan(down)) for right, down in angles)
        return cls(here, (right[0] - left[0], below[1] - above[1]), extent)

    def at(self, distance: float, deviation: float) -> Position:
        """The place at a distance along the optical axis, which has a standard deviation.

        Across the ray it is as uncertain as the centre of what is so large.
        """
        direction = np.array([*self.direction, 1.0])
        across = [
            (CENTRE * extent * pitch * distance) ** 2
            for extent, pitch in zip(self.extent, self.pitch, strict=True)
        ]
        along = deviation**2 * np.outer(direction, direction)
        return Position(distance * direction, along + np.diag([*across, 0.0]))


def by_depth(
    ray: Ray, mask: Pixels, read: Callable[[Region], Depth], size: tuple[int, int], share: float
) -> Position | None:
    """The place of what a mask, uint8 (H, W), shows, by a depth image of size (width, height).

    The depth image, which `read` gives in metres region by region, shows what the mask's image
    does, in any number of pixels. What counts is the inner half of the mask, as edges show what
    lies behind. None where less than a `share` of it has a known depth.

    The distance is the median, without what is far off from it. Its standard deviation follows from
    how much the medians of parts differ: noise of single pixels averages out, what is the same in a
    whole neighbourhood does not, and a slant cannot be told from that. Depths in steps, as of whole
    disparities, are uncertain by these. An error of the depth camera as a whole cannot be seen.
    """
    inner, region = _inner_half(mask, size)
    if not inner.any():
        return None
    rows, columns = np.nonzero(inner)
    pace = 1 + len(rows) // _MOST
    rows, columns = rows[::pace], columns[::pace]
    around = read(region)
    depths = around[rows, columns].astype(float)
    known = np.isfinite(depths)
    if known.sum() < max(LEAST, share * len(depths)):
        return None
    columns, depths = columns[known], depths[known]
    median = float(np.median(depths))
    off = np.abs(depths - median)
    near = off <= _FAR * max(_NORMAL * float(np.median(off)), QUANTUM)
    columns, depths = columns[near], depths[near]
    median = float(np.median(depths))
    rounding = max(QUANTUM, _step(around, median) / sqrt(12))
    return ray.at(median, sqrt(_variance(depths, columns) + rounding**2))


def by_width(ray: Ray, roi: Floats, size: tuple[int, int], width: float) -> Position | None:
    """The place of a target of a known `width` in metres that seems as wide as its roi (4,).

    None where the roi reaches a border of the image of size (width, height): it may be wider.
    """
    x, y, w, h = map(float, roi)
    if min(x, y, size[0] - x - w, size[1] - y - h) <= 0:
        return None
    apparent = w * ray.pitch[0]
    distance = width / apparent if apparent > 0 else 0.0
    if not isfinite(distance) or distance <= 0:
        return None
    return ray.at(distance, WIDTH * distance)


def _inner_half(mask: Pixels, size: tuple[int, int]) -> tuple[NDArray[np.bool_], Region]:
    """The pixels furthest from the edge of the mask, in a region of an image of another size."""
    height, width = mask.shape
    x, y, w, h = cv2.boundingRect(mask)
    across, down = size[0] / width, size[1] / height
    left, top = int(x * across), int(y * down)
    right = min(int(np.ceil((x + w) * across)), size[0])
    bottom = min(int(np.ceil((y + h) * down)), size[1])
    region = slice(top, bottom), slice(left, right)
    # The pixel of the mask in which the centre of each pixel of the other image lies.
    rows = ((np.arange(top, bottom) + 0.5) / down).astype(int).clip(0, height - 1)
    columns = ((np.arange(left, right) + 0.5) / across).astype(int).clip(0, width - 1)
    part = np.pad((mask[np.ix_(rows, columns)] > 0).astype(np.uint8), 1)
    inward: NDArray[np.float32] = np.asarray(
        cv2.distanceTransform(part, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32
    )
    inside = inward[inward > 0]
    if not inside.size:
        return np.zeros((0, 0), bool), region
    return np.asarray(inward >= np.median(inside)), region


def _step(around: Depth, distance: float) -> float:
    """From a distance to the nearest other depth: next to nothing, unless depths are in steps.

    0 where nothing else is as far, as on a wall that a simulator has face the camera.
    """
    off = np.abs(around - distance)
    others = off[(off > 0) & (off < _COARSEST * distance)]
    return float(others.min()) if others.size else 0.0


def _variance(depths: Floats, columns: NDArray[np.intp]) -> float:
    """Of the median of depths, which are in the order of their rows.

    It is extrapolated from parts. A median of a quarter has, say, q times the variance v of that of
    all, and one of a sixteenth q times that: q is 4 if pixels are independent, 1 if all have the
    same error. Around their mean quarters vary by (q - 1) v, sixteenths by (q^2 - 1) v: q + 1 times
    as much.
    """
    if len(depths) < _PARTS**4:
        # Too few to tell more of them than that they are independent.
        spread = _NORMAL * float(np.median(np.abs(depths - np.median(depths))))
        return pi / 2 * spread**2 / len(depths)
    quarters = float(np.var(_medians(depths, columns, _PARTS)))
    sixteenths = float(np.var(_medians(depths, columns, _PARTS**2)))
    if quarters == 0:
        return 0.0
    q = min(max(sixteenths / quarters - 1, _ALIKE), _PARTS**2)
    return quarters / (q - 1)


def _medians(depths: Floats, columns: NDArray[np.intp], side: int) -> Floats:
    """Of side x side parts of equally many depths: strips of rows, cut into ranges of columns."""
    whole = len(depths) // side**2 * side**2
    order = np.argsort(columns[:whole].reshape(side, -1), axis=1, kind='stable')
    strips = np.take_along_axis(depths[:whole].reshape(side, -1), order, axis=1)
    return np.asarray(np.median(strips.reshape(side**2, -1), axis=1))
