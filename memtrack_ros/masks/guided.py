"""Coarse maps of a window laid in the frame by its colours, and along the edges of its picture.

First the map is brought into agreement with the colours (`masks.colour`), then follows a guided
filter (He, Sun & Tang, ECCV 2010) with the colours for a guide: within a neighbourhood the
map is the linear function of the colours that fits it best. As in the fast one (He & Sun 2015,
arXiv:1505.00996) the functions are fitted at the map's resolution, and applied at the frame's.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry.windows import Pixels, Window, cut, paste
from memtrack_ros.masks.colour import Singles, agreed_with_colours

REACH = 3  # cells of the map to either side of the middle of a neighbourhood
# The guided filter's epsilon, a variance taken for noise; colours are counted in their standard
# deviation over the window, so that edges in the dark are edges, too, and in no less than FAINTEST.
SMOOTHNESS = 0.003
BESIDE = 8  # cells: how far from what is marked colours are those of the background
FAINTEST = 4.0  # of 0..255


def laid_along_edges(
    coarse: Singles, window: Window, frame: Pixels, crop: Pixels | None = None
) -> Pixels:
    """Where a map (h, h) of the window, in 0..1, is above one half in `frame`: a mask 0/255."""
    return above_half(shares_along_edges(coarse, window, frame, crop))


def above_half(shares: Pixels) -> Pixels:
    """Of shares * 255 those above one half, as a mask 0/255."""
    return np.asarray(cv2.threshold(shares, 127, 255, cv2.THRESH_BINARY)[1], np.uint8)


def shares_along_edges(
    coarse: Singles, window: Window, frame: Pixels, crop: Pixels | None = None
) -> Pixels:
    """A map (h, h) of the window, in 0..1, as shares * 255 in `frame` (H, W, 3), uint8 (H, W).

    What lies further than a neighbourhood from all that is not 0 stays 0. `crop` is what the window
    shows, where that was cut already.
    """
    height, width = frame.shape[:2]
    laid = np.zeros((height, width), np.uint8)
    rows, columns = (_span(coarse, axis) for axis in (1, 0))
    if rows is None or columns is None:
        return laid
    cells = window.in_cells(len(coarse))
    first, last = (cells.to_frame([columns[end], rows[end]]) for end in (0, 1))
    left, top = np.clip(np.floor(first), 0, [width, height]).astype(int)
    right, bottom = np.clip(np.ceil(last) + 1, 0, [width, height]).astype(int)
    part = frame[top:bottom, left:right]
    if not part.size:
        return laid
    there = Window.around(
        [window.center_x - left, window.center_y - top], window.pitch, window.side
    )
    # Means of means of what is marked: nothing beyond tells.
    near = tuple(
        slice(max(0, low - 2 * REACH), high + 2 * REACH + 1) for low, high in (rows, columns)
    )
    crop = cut(frame, window, 0) if crop is None else crop
    picture = np.asarray(cv2.resize(crop, coarse.shape, interpolation=cv2.INTER_AREA), np.uint8)
    contrast = max(float(picture.std()), FAINTEST)
    beside = cv2.dilate((coarse > 0).astype(np.uint8), np.ones((2 * BESIDE + 1,) * 2, np.uint8)) > 0
    known = beside & _within(cells, width, height)
    shares = agreed_with_colours(coarse[near], picture[near], known[near])
    fitted = _fitted(shares, np.asarray(picture[near] * np.float32(1 / contrast)))
    slope, offset = np.zeros((*coarse.shape, 3), np.float32), np.zeros(coarse.shape, np.float32)
    slope[near], offset[near] = fitted[0] / np.float32(contrast), fitted[1]
    size = part.shape[:2]
    # In one array from step to step: what is above one half stays so.
    rise = paste(slope, there, *size)
    cv2.multiply(rise, part, rise, dtype=cv2.CV_32F)
    shares_there: Singles = np.asarray(cv2.transform(rise, np.ones((1, 3))), np.float32)
    shares_there += paste(offset, there, *size)
    shares_there *= 255
    shares_there -= 0.5
    np.clip(shares_there, 0, 255, out=shares_there)
    laid[top:bottom, left:right] = np.ceil(shares_there, out=shares_there)
    return laid


def _span(coarse: Singles, axis: int) -> tuple[int, int] | None:
    """First and last row (`axis` 1) or column (0) within REACH of what is not 0, if anything is."""
    marked = np.flatnonzero(coarse.any(axis))
    return (int(marked[0]) - REACH, int(marked[-1]) + REACH) if len(marked) else None


def _within(cells: Window, width: int, height: int) -> NDArray[np.bool_]:
    """Which cells show nothing beyond the frame, (side, side)."""
    edges = np.arange(cells.side + 1) - 0.5
    x, y = cells.to_frame(np.stack([edges, edges], 1)).T
    columns, rows = ((at[:-1] > -1) & (at[1:] < size) for at, size in ((x, width), (y, height)))
    return np.asarray(rows[:, None] & columns)


def _fitted(p: Singles, guide: Singles) -> tuple[Singles, Singles]:
    """Slope a (h, h, 3) and offset b (h, h) of the functions of the guide (h, h, 3): eq. 14 to 16.

    Means over all the neighbourhoods that a cell is in.
    """

    def means(*maps: NDArray[Any]) -> list[Singles]:
        size = (2 * REACH + 1, 2 * REACH + 1)
        return [np.asarray(cv2.boxFilter(x, -1, size), np.float32) for x in maps]

    b, g, r = (np.asarray(channel, np.float32) for channel in cv2.split(guide))
    mu, p_mean = means(b, g, r), means(p)[0]
    common = [each - m * p_mean for each, m in zip(means(b * p, g * p, r * p), mu, strict=True)]
    # Sigma + epsilon U, which is symmetric, and its adjugate, which is its inverse times det.
    bb, gg, rr = (
        each - m * m + SMOOTHNESS for each, m in zip(means(b * b, g * g, r * r), mu, strict=True)
    )
    bg, br, gr = (
        each - one * other
        for each, (one, other) in zip(
            means(b * g, b * r, g * r), itertools.combinations(mu, 2), strict=True
        )
    )
    first = gg * rr - gr * gr, br * gr - bg * rr, bg * gr - br * gg
    second = first[1], bb * rr - br * br, bg * br - bb * gr
    third = first[2], second[2], bb * gg - bg * bg
    det = bb * first[0] + bg * first[1] + br * first[2]
    slope = [
        (row[0] * common[0] + row[1] * common[1] + row[2] * common[2]) / det
        for row in (first, second, third)
    ]
    offset = p_mean - slope[0] * mu[0] - slope[1] * mu[1] - slope[2] * mu[2]
    *slope, offset = means(*slope, offset)
    return np.asarray(cv2.merge(slope), np.float32), offset
