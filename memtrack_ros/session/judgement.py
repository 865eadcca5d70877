"""How far what a tracker found is the target: its confidence, and whether it may be another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from memtrack_ros.geometry import boxes
from memtrack_ros.session.followed import Followed
from memtrack_ros.trackers import AnyTracker, Observation

# In units of the target's contrast, as the identity's evidence is.
MARGIN = 0.2  # by which an answer's ratio is above another thing's if the two are told apart
LIKE = 0.3  # by which that is less like the target, at most, if it may be it
# Ratio from which an answer is the target, and not what was seen beside it: from .12 on look-alikes
# that were left alone were taken for it; from .25 on a target twice as large may stay UNSURE.
TOLD = 0.25
NEAR = 1.4  # of the target's size: nearer to it motion does not tell the two apart


@dataclass(frozen=True)
class Judged:
    """What was found, and how far it is the target.

    `evidence` is what the confidence is made of beside the score: the identity's, and how far off
    place and size are. It is `told` apart where it is more like the target than what was seen
    beside that; and `contested` where something near is as good, or a target that is not TRACKING
    is not told apart.
    """

    observation: Observation
    confidence: float
    evidence: tuple[float, ...] = ()
    contested: bool = False
    told: bool = True


def judged(tracker: AnyTracker, followed: Followed, found: Observation) -> Judged:
    """What `tracker` found of the target that is `followed`; by the score alone without a sight."""
    if tracker.identity is None or found.sight is None:
        return Judged(found, tracker.calibration.confidence(found.score))
    said, rival = tracker.identity.judge(found)
    evidence = (*said, *followed.strangeness(found.box).tolist())
    confidence = tracker.calibration.confidence(found.score, evidence)
    alike = said.margin < MARGIN and rival.likeness > said.likeness - LIKE
    apart = np.linalg.norm(rival.place - boxes.centre(found.box)) / boxes.scale(found.box)
    near = not followed.believed or bool(apart < NEAR)
    told = said.ratio >= TOLD
    contested = (alike and near) or not (told or followed.tracking)
    return Judged(found, confidence, evidence, contested, told)
