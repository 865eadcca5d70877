"""How far what a tracker found is the target: its confidence, and whether it may be another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memtrack_ros.geometry import boxes
from memtrack_ros.session.judgement import Judgement
from memtrack_ros.session.track import Track
from memtrack_ros.trackers import Observation

# In units of the target's contrast, as the identity's evidence is.
MARGIN = 0.2  # by which an answer's ratio is above another thing's if the two are told apart
LIKE = 0.3  # by which that is less like the target, at most, if it may be it
SURE = 0.8  # confidence from which what was not surely seen is told from everything else
LOOK_ALIKE = 0.35  # likeness of a rival from which whatever stands in its place is that
NEAR = 1.4  # of the target's size: nearer to it motion does not tell the two apart


def judge(track: Track, found: Observation) -> Judgement:
    """What was found of the target of a `track`; by the score alone without a sight."""
    tracker = track.tracker
    if tracker.identity is None or found.sight is None:
        return Judgement(found, tracker.calibration.confidence(found.score))
    said, rival = tracker.identity.judge(found)
    evidence = (*said, *track.strangeness(found.box).tolist())
    confidence = tracker.calibration.confidence(found.score, evidence)
    alike = said.margin < MARGIN and rival.likeness > said.likeness - LIKE
    near = not track.believed or rival.apart(found.box) < NEAR
    mistaken = track.course.mistakes(found.box) and (
        track.course.alike >= LOOK_ALIKE or not (track.sure or tracker.identity.unmistakable(said))
    )
    seen = track.sure or confidence >= SURE
    known = not (mistaken or track.course.met)
    distinct = seen and known and tracker.identity.distinguishes(said)
    strange = tracker.identity.strange(said)
    contested = (alike and near) or strange or mistaken or not (distinct or track.sure)
    convincing = seen and tracker.identity.resembles(said)
    equals = convincing and tracker.identity.resembles(rival)
    meets = track.believed and alike and near and equals
    return Judgement(
        found, confidence, evidence, contested, distinct, mistaken, convincing, meets, rival
    )


def excluded(track: Track, one: Judgement, other: Judgement) -> Judgement | None:
    """Of two answers to a frame the target, if the other is its look-alike where that was left.

    What they look like need not say which is which: that look-alike was never near enough to the
    target to be taken for it.
    """
    if one.mistaken == other.mistaken or not (one.convincing and other.convincing):
        return None
    target, rival = (other, one) if one.mistaken else (one, other)
    box = target.observation.box
    off = np.linalg.norm(boxes.centre(box) - boxes.centre(rival.observation.box))
    if off < NEAR * boxes.scale(box) or not track.course.left_apart:
        return None
    return replace(target, distinct=True, contested=False)
