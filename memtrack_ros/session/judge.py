"""How far what a tracker found is the target: its confidence, and whether it may be another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memtrack_ros.geometry import boxes
from memtrack_ros.session.course import LOOK_ALIKE, UNLIKE
from memtrack_ros.session.judgement import Judgement
from memtrack_ros.session.track import Track
from memtrack_ros.trackers import Observation

# In units of the target's contrast, as the identity's evidence is.
MARGIN = 0.2  # by which an answer's ratio is above another thing's if the two are told apart
LIKE = 0.3  # by which that is less like the target, at most, if it may be it
SURE = 0.8  # confidence from which what was not surely seen is told from everything else
LIKELIER = 10.0  # times the odds of another answer that the likelier one has at least
NEITHER = 0.1  # likeness above that of two that met from which an answer is none of them
SAME = 0.8  # likeness from which what goes on as the target went is that
NEAR = 1.4  # of the target's size: nearer to it a rival may have been met by what is in doubt
HIDDEN = 0.1  # seconds for which a twin is not seen before it may be what is in the box


def judge(track: Track, found: Observation) -> Judgement:
    """What was found of the target of a `track`; by the score alone without a sight."""
    tracker, identity = track.tracker, track.tracker.identity
    if identity is None or found.sight is None:
        return Judgement(found, tracker.calibration.confidence(found.score))
    said, rival = identity.judge(found)
    off = track.strangeness(found.box)
    evidence = (*said, *off.tolist())
    confidence = tracker.calibration.confidence(found.score, evidence)
    course, jumps = track.course, track.jumps(found.box)
    # Its looks.
    seen = track.sure or confidence >= SURE
    told_apart = identity.distinguishes(said)
    convincing = seen and identity.resembles(said)
    neither = told_apart and said.likeness > course.met + NEITHER
    either = course.has_met and not neither
    # What stood where it stands.
    if track.sure:
        swaps = course.alike >= LOOK_ALIKE and jumps
    else:
        swaps = course.alike >= LOOK_ALIKE or not identity.unmistakable(said)
    mistaken = swaps and course.mistakes(found.box)
    # What stands beside it.
    alike = said.margin < MARGIN and rival.likeness > said.likeness - LIKE
    rivals = identity.resembles(rival)
    merges = course.merges(found.box, rival, found.sight.window)
    touches = rivals and rival.touches(found.box)
    near = touches or merges or (jumps and not track.believed)
    # Its motion: what goes on as it went is the target, however like it something else is.
    goes_on = (track.sure or not (course.jumped or either)) and not (jumps or near)
    goes_on = goes_on and said.likeness >= SAME and said.ratio > 0
    distinct = seen and (told_apart or goes_on) and not (mistaken or either)
    # What jumps meets nothing: it is not the target that was seen a moment ago.
    close = near or (not track.sure and rival.apart(found.box) < NEAR)
    equals = close and alike and rivals
    hidden = merges and course.unseen > HIDDEN
    met = track.believed and not jumps and convincing and not told_apart and (equals or hidden)
    liker = max(said.likeness, rival.likeness, course.alike if hidden else UNLIKE)
    return Judgement(
        found,
        confidence,
        evidence,
        contested=(alike and near)
        or merges
        or (identity.strange(said) and not goes_on)
        or mistaken
        or not (distinct or track.sure),
        distinct=distinct,
        mistaken=mistaken,
        convincing=convincing,
        meets=liker if met else UNLIKE,
        outdone=rival.likeness > said.likeness,
        jumps=jumps,
        rival=rival,
    )


def likelier(one: Judgement, other: Judgement) -> bool:
    """Whether of two answers to a frame this one is by far the likelier, and not the rival."""
    for_one = one.confidence * (1 - other.confidence)
    for_other = other.confidence * (1 - one.confidence)
    return not one.mistaken and for_one > LIKELIER * for_other


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
