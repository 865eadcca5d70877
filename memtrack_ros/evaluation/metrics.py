"""Scores of answered boxes against the truth, as the benchmarks define them.

Boxes are float64 (frames, 4): x, y, w, h in pixels, answers and truth frame by frame. The frame of
the prompt (the first with a truth) and frames with absent truth (nan) count for nothing.

What each is, and where the benchmark's own toolkit does otherwise:
- success AUC and precision at 20 px: Wu et al., OTB, PAMI 2015; the mean over 21 thresholds of
  IoU > threshold, and centre error <= 20. OTB's toolkit counts the frame of the prompt as answered.
- normalised precision: Fan et al., LaSOT; the centre error in truth widths and heights, <= .2, by
  which LaSOT_Evaluation_Toolkit ranks (the 21st of the thresholds 0, .01 ... .5, also counting the
  frame of the prompt). TrackingNet ranks by the area under the same curve instead.
- AO, SR.50, SR.75: Huang et al., GOT-10k, PAMI 2021; the mean IoU and the share of IoU > .5, > .75,
  without the frame of the prompt. Its toolkit cuts boxes at the image's edge before, and its
  summary is over all frames of all sequences, not the mean over sequences.
- J, F, J&F: DAVIS, see `mask_metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.evaluation import mask_metrics
from memtrack_ros.geometry import boxes

Floats = NDArray[np.float64]

PROTOCOL = (
    'One pass from the first truth box; the first frame and frames with absent truth are skipped. '
    'success_auc: mean over 21 thresholds 0, .05 ... 1 of the share of frames with '
    'IoU > threshold; precision_20: share with a centre error <= 20 px; '
    'norm_precision: share with a centre error, in truth widths and heights, <= .2; '
    'ao: mean IoU; sr50, sr75: share with IoU > .5, > .75; '
    'j, f: mean region IoU and boundary F of DAVIS over the frames after the prompt but the last, '
    'jf: the mean of the two. '
    'Rotated truth and answers as their axis-aligned bounds; without an answer the last box '
    'stands. Means are over sequences; frames are all of the video.'
)

# One row of a table: a value for each metric, None where it is absent.
Scores = dict[str, float | None]
METRICS = (
    'success_auc', 'precision_20', 'norm_precision', 'ao', 'sr50', 'sr75', 'j', 'f', 'jf', 'fps',
    'frames',
)  # fmt: skip


# Of the curves: IoU, centre error in pixels, centre error in truth widths and heights.
SUCCESS_THRESHOLDS = np.arange(21) / 20
PRECISION_THRESHOLDS = np.arange(51.0)
NORM_PRECISION_THRESHOLDS = np.arange(51) / 100


def scored(truth: Floats) -> NDArray[np.intp]:
    """The indices of the frames that count: those with truth after the first that has one."""
    return np.flatnonzero(~np.isnan(truth).any(1))[1:]


@dataclass(frozen=True)
class Comparison:
    """Answers against the truth in the frames that count, float64 (counted,) each.

    iou; error: between the centres, in pixels; norm_error: the same in truth widths and heights.
    """

    iou: Floats
    error: Floats
    norm_error: Floats


def compared(answers: Floats, truth: Floats) -> Comparison:
    """The answers of one pass against its truth."""
    counted = scored(truth)
    answers, truth = answers[counted], truth[counted]
    offset = boxes.centre(answers) - boxes.centre(truth)
    return Comparison(
        boxes.iou(answers, truth),
        np.linalg.norm(offset, axis=1),
        np.linalg.norm(offset / truth[:, 2:], axis=1),
    )


def success_curve(answers: Floats, truth: Floats) -> Floats:
    """The share of frames with an IoU above each of the 21 thresholds 0, .05 ... 1.

    nan, as in the other curves, where no frame counts.
    """
    return _shares(compared(answers, truth).iou[:, None] > SUCCESS_THRESHOLDS)


def precision_curve(answers: Floats, truth: Floats) -> Floats:
    """The share of frames with a centre error of at most each of the 51 limits 0, 1 ... 50 px."""
    return _shares(compared(answers, truth).error[:, None] <= PRECISION_THRESHOLDS)


def norm_precision_curve(answers: Floats, truth: Floats) -> Floats:
    """The share of frames with a relative error of at most each of the 51 limits 0, .01 ... .5."""
    return _shares(compared(answers, truth).norm_error[:, None] <= NORM_PRECISION_THRESHOLDS)


def _shares(held: NDArray[np.bool_]) -> Floats:
    """The means (limits,) over frames of what holds (frames, limits)."""
    return held.mean(0) if len(held) else np.full(held.shape[1], np.nan)


def success_auc(iou: Floats) -> float:
    """Mean over 21 thresholds 0, .05 ... 1 of the share of IoUs (frames,) above the threshold."""
    return float((iou[:, None] > SUCCESS_THRESHOLDS).mean())


def precision(error: Floats, limit: float) -> float:
    """Share of centre errors (frames,) that are at most the limit."""
    return float((error <= limit).mean())


def success_rate(iou: Floats, threshold: float) -> float:
    """Share of IoUs (frames,) above the threshold."""
    return float((iou > threshold).mean())


def score(
    answers: Floats,
    truth: Floats,
    seconds: Floats,
    j: Floats | None = None,
    f: Floats | None = None,
) -> Scores:
    """The scores of one pass.

    seconds (frames,) is the time that each answer took, nan where the tracker was not asked.
    j and f (frames,) are `mask_metrics.region_j` and `boundary_f` of each frame, nan where there
    was no true mask or no answered one; of these the frames of `mask_metrics.scored` count.
    """
    row: Scores = dict.fromkeys(METRICS) | {'frames': len(truth)}
    asked = ~np.isnan(seconds)
    if asked.any():
        row['fps'] = float(asked.sum() / seconds[asked].sum())
    against = compared(answers, truth)
    if against.iou.size:
        row['success_auc'] = success_auc(against.iou)
        row['precision_20'] = precision(against.error, 20)
        row['norm_precision'] = precision(against.norm_error, 0.2)
        row['ao'] = float(against.iou.mean())
        row['sr50'] = success_rate(against.iou, 0.5)
        row['sr75'] = success_rate(against.iou, 0.75)
    if j is not None and f is not None:
        both = np.stack([j, f])[:, mask_metrics.scored(truth)]
        both = both[:, ~np.isnan(both).any(0)]
        if both.size:
            row['j'], row['f'] = map(float, both.mean(1))
            row['jf'] = float(both.mean())
    return row


def mean(rows: Sequence[Scores]) -> Scores:
    """The means over sequences, each over those that have the metric; frames are added up."""
    summary: Scores = {}
    for key in METRICS:
        values = [value for row in rows if (value := row[key]) is not None]
        summary[key] = (sum(values) if key == 'frames' else fmean(values)) if values else None
    return summary
