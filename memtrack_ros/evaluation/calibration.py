"""Whether confidence is what it means: the probability of overlapping the truth by half."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.data.sequences import Sequence
from memtrack_ros.evaluation.metrics import scored
from memtrack_ros.evaluation.passes import Pass
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats

HIT = 0.5  # IoU with the truth
BINS = 10


@dataclass(frozen=True)
class Beliefs:
    """Confidence (n,) in 0..1 of all frames that count, and whether the box was a hit (n,)."""

    confidence: Floats
    hit: NDArray[np.bool_]

    @cached_property
    def bins(self) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """Mean confidence, share of hits (nan where empty) and frames of BINS equal bins."""
        number = np.minimum((self.confidence * BINS).astype(int), BINS - 1)
        frames = np.bincount(number, minlength=BINS)
        with np.errstate(invalid='ignore'):
            confidence = np.bincount(number, self.confidence, BINS) / frames
            hits = np.bincount(number, self.hit, BINS) / frames
        return confidence, hits, frames

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al., ICML 2017, eq. 3).

        The mean over frames of the distance between their bin's mean confidence and share of hits.
        """
        confidence, hits, frames = self.bins
        full = frames > 0
        return float((np.abs(confidence - hits) * frames)[full].sum() / frames.sum())


def beliefs(passes: list[tuple[Pass, Sequence]]) -> Beliefs:
    """The beliefs of one tracker; empty when it never says how sure it is.

    A frame without the target counts: whatever box is given there is no hit.
    """
    confidences, hits = [], []
    for answers, sequence in passes:
        present = np.zeros(len(sequence), bool)
        present[scored(sequence.truth)] = True
        first = boxes.first_present(sequence.truth)
        said = np.flatnonzero(~np.isnan(answers.confidence))
        said = said[said > first]
        overlap = np.nan_to_num(boxes.iou(answers.boxes[said], sequence.truth[said]))
        confidences.append(answers.confidence[said])
        hits.append(present[said] & (overlap >= HIT))
    return Beliefs(np.concatenate(confidences), np.concatenate(hits))
