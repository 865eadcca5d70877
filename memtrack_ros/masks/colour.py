"""Maps of a window brought into agreement with the colours of its picture.

What a coarse map calls target has other colours than what it calls background, mostly. So colours
tell where it is wrong: Bayes' rule with a histogram of either, as trackers have long done
(Possegger et al., CVPR 2015; Bertinetto et al., CVPR 2016), here of this one picture, by its own
map.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry.windows import Pixels

Singles = NDArray[np.float32]

LEVELS = 32  # of each colour channel
# How much colours count: 1 where they told as much at every cell anew.
WEIGHT = 1.5
RARE = 0.0005  # share of the cells below which a colour hardly tells anything
SUREST = 2.0  # log odds of the map: colours may overrule it
SPREAD = np.array([0.25, 0.5, 0.25])  # of a colour over its neighbours
FEWEST = 4.0  # cells of target, and of background, that make a histogram


def agreed_with_colours(shares: Singles, picture: Pixels, known: NDArray[np.bool_]) -> Singles:
    """P(target | place, colour) of cells whose P(target | place) are `shares` (h, w).

    The picture (h, w, 3) shows them. Log odds are those of the shares + WEIGHT times log
    P(colour | target) / P(colour | background). Cells `known` (h, w) tell what colours target and
    background have, and others are not changed; 0 stays 0.
    """
    levels = (picture[known] // (256 // LEVELS)).astype(int).T
    bins = (levels[0] * LEVELS + levels[1]) * LEVELS + levels[2]
    target = shares[known].astype(float)
    if min(target.sum(), (1 - target).sum()) < FEWEST:
        return shares
    likely, unlikely = (_histogram(bins, weight)[bins] for weight in (target, 1 - target))
    ratio = np.log((likely + RARE) / (unlikely + RARE))
    least = 1 / (1 + np.exp(SUREST))
    place = np.where(target > 0, target.clip(least, 1 - least), 0)
    odds = place / (1 - place) * np.exp(WEIGHT * ratio)
    agreed = shares.copy()
    agreed[known] = odds / (1 + odds)
    return agreed


def _histogram(bins: NDArray[np.integer], weight: NDArray[np.floating]) -> NDArray[np.floating]:
    """How often colours occur (LEVELS^3,), each spread over its neighbours; they sum up to 1."""
    counts = np.bincount(bins, weight / weight.sum(), LEVELS**3)
    # An image of the first two colours, whose channels are the third; then one of the third.
    spread = cv2.sepFilter2D(
        counts.reshape((LEVELS,) * 3), -1, SPREAD, SPREAD, borderType=cv2.BORDER_REPLICATE
    )
    spread = cv2.sepFilter2D(
        spread.reshape(LEVELS**2, LEVELS), -1, SPREAD, np.ones(1), borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(spread.ravel())
