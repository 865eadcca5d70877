"""How far what a tracker found is the target: its confidence, and whether it may be another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memtrack_ros.geometry import boxes
from memtrack_ros.session.track import Track
from memtrack_ros.trackers import AnyTracker, Observation

# In units of the target's contrast, as the identity's evidence is.
MARGIN = 0.2  # by which an answer's ratio is above another thing's if the two are told apart
LIKE = 0.3  # by which that is less like the target, at most, if it may be it
# Ratio from which an answer is the target, and not what was seen beside it: from .12 on look-alikes
# that were left alone were taken for it; from .25 on a target twice as large may stay UNSURE.
DISTINCT = 0.25
NEAR = 1.4  # of the target's size: nearer to it motion does not tell the two apart


@dataclass(frozen=True)
class Judgement:
    """What was found, and how far it is the target.

    `evidence` is what the confidence is made of beside the score: the identity's, and how far off
    place and size are. It is `distinct` where it is more like the target than what was seen
    beside that; and `contested` where something near is as good, or a target that is not TRACKING
    is not distinct.
    """

    observation: Observation
    confidence: float
    evidence: tuple[float, ...] = ()
    contested: bool = False
    distinct: bool = True


def judge(tracker: AnyTracker, track: Track, found: Observation) -> Judgement:
    """What `tracker` found of the target of a `track`; by the score alone without a sight."""
    if tracker.identity is None or found.sight is None:
        return Judgement(found, tracker.calibration.confidence(found.score))
    said, rival = tracker.identity.judge(found)
    evidence = (*said, *track.strangeness(found.box).tolist())
    confidence = tracker.calibration.confidence(found.score, evidence)
    alike = said.margin < MARGIN and rival.likeness > said.likeness - LIKE
    apart = np.linalg.norm(rival.place - boxes.centre(found.box)) / boxes.scale(found.box)
    near = not track.believed or bool(apart < NEAR)
    distinct = said.ratio >= DISTINCT
    contested = (alike and near) or not (distinct or track.tracking)
    return Judgement(found, confidence, evidence, contested, distinct)
