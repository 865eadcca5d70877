"""Scores of an answered mask against the true one, as DAVIS defines them.

Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation, CVPR
2016; where the paper leaves it open, as the benchmark's toolkit (davis2017-evaluation) does.
Masks are (height, width), any value but 0 belongs to the object. Void pixels, which no annotation
of the semi-supervised task has, are not known here.
"""

from __future__ import annotations

from math import ceil, hypot
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry import boxes

Mask = NDArray[np.uint8] | NDArray[np.bool_]

# Of the image's diagonal: how far boundaries may be apart and still match.
TOLERANCE = 0.008
RECALLED = 0.5  # J or F above which a frame is
QUARTERS = 4


class Statistics(NamedTuple):
    """What DAVIS says of J or F over the frames of an object.

    The mean; recall, the share of frames above one half; decay, how much lower the last quarter is
    than the first.
    """

    mean: float
    recall: float
    decay: float


def statistics(values: NDArray[np.float64]) -> Statistics:
    """Of J or F (frames,) in the frames that count, at least one.

    Quarters share the frames between them, as in the toolkit (db_statistics), whose frame numbers
    begin anew after 256; here they do not.
    """
    ends = (np.round(np.linspace(1, len(values), QUARTERS + 1) + 1e-10) - 1).astype(int)
    first, last = values[: ends[1] + 1], values[ends[-2] :]
    recall = (values > RECALLED).mean()
    return Statistics(float(values.mean()), float(recall), float(first.mean() - last.mean()))


def scored(truth: NDArray[np.float64]) -> NDArray[np.intp]:
    """The indices of the frames that count: those after the prompt's, but the last of the video.

    truth is the boxes (frames, 4); the prompt is in the first frame that has one. So it is in the
    benchmark's semi-supervised task. A frame without the object counts, too.
    """
    first = boxes.first_present(truth)
    return np.arange(first + 1, len(truth) - 1)


def region_j(answer: Mask, truth: Mask) -> float:
    """J: intersection over union, 1 where both are empty."""
    a, b = _same_size(answer, truth)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def boundary_f(answer: Mask, truth: Mask) -> float:
    """F: harmonic mean of the boundary's precision and recall.

    Precision is the share of the answer's boundary pixels that have one of the true boundary
    within ceil(.008 x the image's diagonal) pixels, recall that of the true boundary's pixels near
    the answer's. 1 where neither mask has a boundary, 0 where only one has.
    """
    a, b = (_edges(mask) for mask in _same_size(answer, truth))
    if not a.any() or not b.any():
        return float(a.any() == b.any())
    radius = ceil(TOLERANCE * hypot(*a.shape))
    precision, recall = _near(a, b, radius), _near(b, a, radius)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _same_size(answer: Mask, truth: Mask) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if answer.shape != truth.shape:
        raise ValueError(f'an answer of {answer.shape} for a truth of {truth.shape}')
    return answer != 0, truth != 0


def _edges(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels that differ from their right, lower or lower right neighbour in the image."""
    padded = np.pad(mask, ((0, 1), (0, 1)), 'edge')
    right, lower, lower_right = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return np.asarray((mask != right) | (mask != lower) | (mask != lower_right))


def _near(pixels: NDArray[np.bool_], others: NDArray[np.bool_], radius: int) -> float:
    """The share of pixels with another one in a disk of the radius around them."""
    offset = np.arange(-radius, radius + 1)
    disk = (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.uint8)
    return float(cv2.dilate(others.astype(np.uint8), disk)[pixels].mean())
