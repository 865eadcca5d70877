"""Masks of several targets made disjoint: every pixel is one target's, or the background's.

Soft aggregation of Oh et al. (ICCV 2019, STM, section 3.5), whose network SAMN's authors took over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels

SUREST = 1 - 1e-7  # of a probability: odds stay finite
NUDGE = 1e-4  # less than a step between two shares: it decides between equal ones alone


class Disjoint(NamedTuple):
    """What soft aggregation makes of the shares of N targets.

    labels uint8 (H, W): 0 for the background, k for the k-th target. shares uint8 (N, H, W), the
    probabilities * 255 that are left to each.
    """

    labels: Pixels
    shares: NDArray[np.uint8]


def disjoint(shares: NDArray[np.uint8], rois: Floats) -> Disjoint:
    """Share out pixels among targets with `shares` (N, H, W), P(target) * 255, and `rois` (N, 4).

    The odds of each target, p / (1 - p), and those of the background, for which p is the product of
    all 1 - p, compete; the largest has the pixel. Of targets with equal odds it is the one whose
    box's middle is nearer, in its own sizes: their order tells nothing. Where no more than one
    target has a share, that stays as it is.
    """
    claims = np.count_nonzero(shares, axis=0)
    labels = np.zeros(claims.shape, np.uint8)
    for number, share in enumerate(shares, 1):
        labels[share > 127] = number
    rows, columns = np.nonzero(claims > 1)
    if not len(rows):
        return Disjoint(labels, shares)
    p = shares[:, rows, columns] / 255
    for share, middle, sides in zip(p, boxes.centre(rois), rois[:, 2:], strict=True):
        size = np.maximum(sides, 1)
        away = np.hypot((columns - middle[0]) / size[0], (rows - middle[1]) / size[1])
        share -= NUDGE * away / (1 + away)
    p = np.clip(p, 1 - SUREST, SUREST)
    p = np.concatenate([(1 - p).prod(0, keepdims=True).clip(1 - SUREST, SUREST), p])
    odds = p / (1 - p)
    labels[rows, columns] = odds.argmax(0)
    left = shares.copy()
    left[:, rows, columns] = np.rint(255 * odds[1:] / odds.sum(0))
    return Disjoint(labels, left)
