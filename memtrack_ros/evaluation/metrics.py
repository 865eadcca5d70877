"""Scores of answered boxes against the truth, as the benchmarks define them.

Boxes are float64 (frames, 4): x, y, w, h in pixels, answers and truth frame by frame. The frame of
the prompt (the first with a truth) and frames with absent truth (nan) count for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry import boxes

Floats = NDArray[np.float64]

PROTOCOL = (
    'One pass from the first truth box; the first frame and frames with absent truth are skipped. '
    'success_auc: mean over 21 thresholds 0, .05 ... 1 of the share of frames with '
    'IoU > threshold; precision_20: share with a centre error <= 20 px; '
    'norm_precision: share with a centre error, in truth widths and heights, <= .2; '
    'ao: mean IoU; sr50, sr75: share with IoU > .5, > .75. '
    'Rotated truth and answers as their axis-aligned bounds; without an answer the last box '
    'stands. Means are over sequences; fps is without reading images; frames are all of the video.'
)

# One row of a table: a value for each metric, None where it is absent.
Scores = dict[str, float | None]
METRICS = (
    'success_auc', 'precision_20', 'norm_precision', 'ao', 'sr50', 'sr75', 'j', 'f', 'jf', 'fps',
    'frames',
)  # fmt: skip


def scored(truth: Floats) -> NDArray[np.intp]:
    """The indices of the frames that count: those with truth after the first that has one."""
    return np.flatnonzero(~np.isnan(truth).any(1))[1:]


def success_auc(iou: Floats) -> float:
    """Mean over 21 thresholds 0, .05 ... 1 of the share of IoUs (frames,) above the threshold."""
    thresholds = np.arange(21) / 20
    return float((iou[:, None] > thresholds).mean())


def precision(error: Floats, limit: float) -> float:
    """Share of centre errors (frames,) that are at most the limit."""
    return float((error <= limit).mean())


def success_rate(iou: Floats, threshold: float) -> float:
    """Share of IoUs (frames,) above the threshold."""
    return float((iou > threshold).mean())


def score(answers: Floats, truth: Floats, seconds: Floats) -> Scores:
    """The scores of one pass.

    seconds (frames,) is the time that each answer took, nan where the tracker was not asked.
    """
    row: Scores = dict.fromkeys(METRICS) | {'frames': len(truth)}
    asked = ~np.isnan(seconds)
    if asked.any():
        row['fps'] = float(asked.sum() / seconds[asked].sum())
    counted = scored(truth)
    if counted.size:
        answers, truth = answers[counted], truth[counted]
        iou = boxes.iou(answers, truth)
        offset = boxes.centre(answers) - boxes.centre(truth)
        row['success_auc'] = success_auc(iou)
        row['precision_20'] = precision(np.linalg.norm(offset, axis=1), 20)
        row['norm_precision'] = precision(np.linalg.norm(offset / truth[:, 2:], axis=1), 0.2)
        row['ao'] = float(iou.mean())
        row['sr50'] = success_rate(iou, 0.5)
        row['sr75'] = success_rate(iou, 0.75)
    return row


def mean(rows: Sequence[Scores]) -> Scores:
    """The means over sequences, each over those that have the metric; frames are added up."""
    summary: Scores = {}
    for key in METRICS:
        values = [value for row in rows if (value := row[key]) is not None]
        summary[key] = (sum(values) if key == 'frames' else fmean(values)) if values else None
    return summary
