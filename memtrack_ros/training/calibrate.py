"""Confidence that means something: the probability that the box overlaps the truth by half.

python -m memtrack_ros.training calibrate TRACKER... --weights FOLDER --imagery FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from memtrack_ros.data.sequences import Sequence as Recorded
from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.scenes.imagery import Imagery, read_imagery
from memtrack_ros.scenes.situations import SITUATIONS, Situation
from memtrack_ros.session import Prompt, Session
from memtrack_ros.trackers import NAMES, AnyTracker, create
from memtrack_ros.weights.files import Calibration, logit, recalibrate, shipped_file

# Scenes that neither training nor validation nor evaluation nor a demonstration draws.
FIRST_SEED, SCENES, FRAMES = 500_000, 12, 40
SEQUENCES = 24
WIDTH, HEIGHT = 320, 240
HIT = 0.5  # IoU with the truth
ROUNDS = 2
# To begin with: what the judge says counts, whatever the score is worth.
PRIOR = Calibration(1.0, -4.0, (4.0, 1.0, 1.0, -0.5, -0.5))
RIDGE = 0.1  # of the squares of the standardised factors: few situations say little of the rarest


class Outcomes(NamedTuple):
    """Of n frames: scores and hits (n,), 0 or 1, and the evidence beside the score (n, k)."""

    scores: Floats
    hits: Floats
    evidence: Floats


class Truth(NamedTuple):
    """An image and the box (4,) of its target, nan where that is absent."""

    image: Pixels
    box: Floats


def calibrate(
    tracker: AnyTracker,
    imagery: Imagery | None = None,
    real: Sequence[Recorded] = (),
    *,
    evidence: bool = False,
) -> Calibration:
    """Follow targets and fit how often what was found was right; `tracker` gets the curve.

    They are those of usual drawn scenes and of some `real` sequences, where targets change more. By
    the score alone or, with `evidence`, by what the judge says, too; then situations are drawn as
    well, in which a target goes away or is mistaken. A session believes and remembers by
    confidence, so that the curve decides what outcomes there are to fit it to: in each of ROUNDS
    others are followed, and all outcomes so far are fitted, lest a modest curve and a bold one call
    each other forth.

    Raises ValueError when the tracker was always right or always wrong: no curve fits that.
    """
    outcomes: list[Outcomes] = []
    tracker.calibration = PRIOR if evidence else Calibration(1.0, 0.0)
    for number in range(ROUNDS):
        outcomes += [follow(tracker, video) for video in scenes(number)]
        if evidence:
            outcomes += [follow(tracker, video) for video in situations(number, imagery)]
        outcomes += [follow(tracker, shown(sequence)) for sequence in real[number::ROUNDS]]
        scores, hits, said = map(np.concatenate, zip(*outcomes, strict=True))
        tracker.calibration = fit(scores, hits, said if evidence else None)
    return tracker.calibration


def scenes(turn: int) -> Iterator[Iterator[Truth]]:
    """Those of a round."""
    for number in range(SCENES):
        scene = drawn_scene(FIRST_SEED + SCENES * turn + number, WIDTH, HEIGHT, FRAMES)
        frames = (scene.render(index) for index in range(FRAMES))
        yield (Truth(frame.image, frame.box) for frame in frames)


def situations(turn: int, imagery: Imagery | None) -> Iterator[Iterator[Truth]]:
    """Those of a round, one of each kind."""
    for number, kind in enumerate(SITUATIONS):
        seed = FIRST_SEED + len(SITUATIONS) * turn + number
        situation = Situation(kind, seed, imagery)
        views = (situation.render(index) for index in range(situation.frames))
        yield (Truth(view.image, view.box) for view in views)


def shown(sequence: Recorded) -> Iterator[Truth]:
    """The first FRAMES of a sequence from its first truth on."""
    first = boxes.first_present(sequence.truth)
    for number in range(first, min(first + FRAMES, len(sequence))):
        yield Truth(sequence.frame(number), sequence.truth[number])


def follow(tracker: AnyTracker, video: Iterator[Truth]) -> Outcomes:
    """What came of every frame but the first."""
    session = Session(tracker)
    first = next(video)
    session.prompt(first.image, Prompt('box', first.box))
    outcomes = []
    for image, truth in video:
        session.step(image)
        judgement = session.judgement
        assert judgement is not None
        found = judgement.observation
        # No box overlaps an absent one.
        outcomes.append((found.score, boxes.iou(found.box, truth) >= HIT, judgement.evidence))
        session.remember()
    scores, hits, evidence = zip(*outcomes, strict=True)
    return Outcomes(np.array(scores, float), np.array(hits, float), np.array(evidence, float))


def fit(scores: Floats, hits: Floats, evidence: Floats | None = None) -> Calibration:
    """Logistic regression of hits (n,), 0 or 1, by Newton's method.

    On logit(score) of scores (n,) (Platt scaling) and on further evidence (n, k).
    """
    inputs = np.array([[logit(score)] for score in scores])
    if evidence is not None:
        inputs = np.hstack([inputs, evidence])
    if hits.min() == hits.max():
        raise ValueError(f'All {len(hits)} answers were {"right" if hits.all() else "wrong"}.')
    mean, spread = inputs.mean(0), inputs.std(0)
    spread[spread < 1e-9] = np.inf  # what is always the same says nothing
    standard = np.column_stack([(inputs - mean) / spread, np.ones(len(inputs))])
    ridge = np.diag([*[RIDGE] * inputs.shape[1], 1e-6])
    parameters = np.zeros(standard.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-standard @ parameters))
        curvature = (standard * (chance * (1 - chance))[:, None]).T @ standard + ridge
        gradient = standard.T @ (hits - chance) - ridge @ parameters
        step = np.linalg.solve(curvature, gradient)
        parameters += step
        if np.linalg.norm(step) < 1e-9:
            break
    factors = parameters[:-1] / spread
    slope, *others = factors.tolist()
    return Calibration(slope, float(parameters[-1] - factors @ mean), tuple(others))


def some(sequences: Sequence[Recorded], most: int) -> list[Recorded]:
    """At most so many of the sequences, evenly."""
    numbers = np.linspace(0, len(sequences) - 1, min(most, len(sequences)))
    return [sequences[number] for number in numbers.round().astype(int)]


def main(args: list[str]) -> None:
    """Fit the confidence of weight files anew; the weights stay as they are."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.training calibrate', description=main.__doc__
    )
    parser.add_argument('trackers', nargs='+', choices=NAMES, metavar='TRACKER')
    parser.add_argument(
        '--weights', type=Path, help='folder of TRACKER-compact.safetensors, not the shipped ones'
    )
    parser.add_argument(
        '--evidence',
        action='store_true',
        help='by what the judge says, too: fewer look-alikes are TRACKED, but targets that turn '
        'and bend fast are given up sooner',
    )
    parser.add_argument('--imagery', type=Path, help='folder to draw with, as in training')
    parser.add_argument(
        '--data', type=Path, help='folder of sequences, as in training, of which some are followed'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    given = parser.parse_args(args)
    imagery = read_imagery(given.imagery, torch.device('cpu')) if given.imagery else None
    real = some(read_sequences(given.data, []), SEQUENCES) if given.data else []
    for name in given.trackers:
        path = shipped_file(name, 'compact')
        path = given.weights / path.name if given.weights else path
        tracker = create(name, 'compact', path, given.device)
        calibration = calibrate(tracker, imagery, real, evidence=given.evidence)
        recalibrate(path, name, 'compact', calibration)
        print(name, calibration)
