"""Confidence that means something: the probability that the box overlaps the truth by half."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry import boxes
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Prompt, Session
from memtrack_ros.trackers import AnyTracker
from memtrack_ros.weights.files import Calibration

# Scenes that neither training nor validation nor a demonstration draws.
FIRST_SEED, SCENES, FRAMES = 500_000, 24, 40
WIDTH, HEIGHT = 320, 240
HIT = 0.5  # IoU with the truth
ROUNDS = 2


def calibrate(tracker: AnyTracker) -> Calibration:
    """Follow targets of drawn scenes and fit how often a score was right; `tracker` gets the curve.

    A session believes and remembers by confidence, so that the curve decides what scores there are
    to fit it to: the scenes are followed ROUNDS times, and all outcomes so far are fitted, lest a
    modest curve and a bold one call each other forth.

    Raises ValueError when the tracker was always right or always wrong: no curve fits that.
    """
    outcomes: list[NDArray[np.float64]] = []
    for _ in range(ROUNDS):
        outcomes += [follow(tracker, FIRST_SEED + number) for number in range(SCENES)]
        tracker.calibration = fit(*np.concatenate(outcomes).T)
    return tracker.calibration


def follow(tracker: AnyTracker, seed: int) -> NDArray[np.float64]:
    """Score and hit (0 or 1) of every frame of one scene but the first, (FRAMES - 1, 2)."""
    scene = drawn_scene(seed, WIDTH, HEIGHT, FRAMES)
    session = Session(tracker)
    first = scene.render(0)
    session.prompt(first.image, Prompt('box', first.box))
    outcomes = []
    for number in range(1, FRAMES):
        frame = scene.render(number)
        found = session.step(frame.image)
        assert found.roi is not None
        outcomes.append((found.score, float(boxes.iou(found.roi, frame.box) >= HIT)))
        session.remember()
    return np.array(outcomes)


def fit(scores: NDArray[np.float64], hits: NDArray[np.float64]) -> Calibration:
    """Logistic regression of hits on logit(score), by Newton's method (Platt scaling)."""
    if hits.min() == hits.max():
        raise ValueError(f'All {len(hits)} answers were {"right" if hits.all() else "wrong"}.')
    bounded = scores.clip(1e-6, 1 - 1e-6)
    inputs = np.stack([np.log(bounded / (1 - bounded)), np.ones_like(bounded)], 1)
    parameters = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ parameters))
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        step = np.linalg.solve(curvature + 1e-6 * np.eye(2), inputs.T @ (hits - chance))
        parameters += step
        if math.hypot(*step) < 1e-9:
            break
    return Calibration(*(float(p) for p in parameters))
