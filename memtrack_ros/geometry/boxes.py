"""Axis-aligned boxes as float64 arrays (..., 4): x, y, w, h in pixels.

A box covers the pixels x .. x + w - 1, so its extent is [x, x + w) and its centre x + (w - 1) / 2.
A box of nan is an absent one: what is computed from it is nan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of boxes (..., 4), broadcast.

    0 where both are empty, nan where one is absent.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    size_a, size_b = np.maximum(a[..., 2:], 0), np.maximum(b[..., 2:], 0)
    first = np.maximum(a[..., :2], b[..., :2])
    last = np.minimum(a[..., :2] + size_a, b[..., :2] + size_b)
    common = np.maximum(last - first, 0).prod(-1)
    union = size_a.prod(-1) + size_b.prod(-1) - common
    return np.asarray(common / np.where(union == 0, 1, union))


def centre(box: ArrayLike) -> Floats:
    """Centres (..., 2) of boxes (..., 4)."""
    box = np.asarray(box, float)
    return box[..., :2] + (box[..., 2:] - 1) / 2


def scale(box: ArrayLike) -> float:
    """sqrt(w h) of a box (4,): its size as one number, in pixels."""
    return float(np.sqrt(np.asarray(box, float)[2:].prod()))


def from_centre(centre: ArrayLike, size: ArrayLike) -> Floats:
    """Boxes (..., 4) from centres (..., 2) and sizes w, h (..., 2), broadcast."""
    centre, size = np.broadcast_arrays(np.asarray(centre, float), np.asarray(size, float))
    return np.concatenate([centre - (size - 1) / 2, size], -1)


def bounds(polygon: ArrayLike) -> Floats:
    """The boxes (..., 4) around polygons (..., 2 * corners): x1, y1, x2, y2, ...

    Corners are edges of the extent, as annotations have them: (x, y) and (x + w, y + h) are
    opposite corners of a box.
    """
    points = np.asarray(polygon, float)
    points = points.reshape(*points.shape[:-1], -1, 2)
    first = points.min(-2)
    return np.concatenate([first, points.max(-2) - first], -1)


def intersect(box: ArrayLike, width: int, height: int) -> Floats:
    """The parts of boxes (..., 4) inside an image of width x height.

    Where nothing is inside, w or h is 0.
    """
    box = np.asarray(box, float)
    limit = np.array([width, height], float)
    first = np.clip(box[..., :2], 0, limit)
    last = np.clip(box[..., :2] + box[..., 2:], 0, limit)
    return np.concatenate([first, np.maximum(last - first, 0)], -1)


def part(box: ArrayLike, share: ArrayLike) -> Floats:
    """What of boxes (..., 4) lies between shares (..., 4: left, top, right, bottom) of them."""
    box, share = np.asarray(box, float), np.asarray(share, float)
    first = box[..., :2] + share[..., :2] * box[..., 2:]
    return np.concatenate([first, (share[..., 2:] - share[..., :2]) * box[..., 2:]], -1)


def box_mask(box: ArrayLike, height: int, width: int) -> NDArray[np.uint8]:
    """The box (4,) filled: uint8 (height, width), 255 on the pixels whose centre it covers.

    The others are 0. An absent box fills nothing.
    """
    box = np.asarray(box, float)
    mask = np.zeros((height, width), np.uint8)
    if np.isfinite(box).all():
        first = np.ceil(box[:2] - 0.5)
        last = np.ceil(box[:2] + box[2:] - 0.5)
        left, top = np.clip(first, 0, [width, height]).astype(int)
        right, bottom = np.clip(last, 0, [width, height]).astype(int)
        mask[top:bottom, left:right] = 255
    return mask


def first_present(boxes: Floats) -> int:
    """The number of the first of boxes (n, 4) that is not nan; at least one must not be."""
    return int(np.argmin(np.isnan(boxes).any(1)))
