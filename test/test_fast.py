"""What is fast tracks the same as the plain network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from memtrack_ros import trackers
from memtrack_ros.data.sequences import read_sequence
from memtrack_ros.evaluation.metrics import score
from memtrack_ros.evaluation.runner import SessionFollower, one_pass
from memtrack_ros.geometry import boxes
from memtrack_ros.session import Prompt, Session
from memtrack_ros.trackers import Prior, cmedfl, dmv, memtrack, samn, stmtrack

PART = ('OTB/Crossing', 'DAVIS16/dog')
FRAMES = 25
CLOSE = 0.005  # success AUC


def eager(net: nn.Module, device: torch.device, *_: object) -> nn.Module:
    """The network as it was trained, in float32."""
    return net.to(device).eval()


@pytest.fixture(scope='module')
def expected(sequences: Path) -> dict[str, float]:
    """Success AUC of every tracker on the part, eager."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (cmedfl, dmv, memtrack, samn, stmtrack):
            patch.setattr(module, 'ready', eager)
        return {name: success(sequences, name, 'float32') for name in trackers.NAMES}


def success(sequences: Path, name: str, precision: str) -> float:
    """Success AUC on the first frames of the part, the mean over its sequences."""
    found = []
    for part in PART:
        sequence = read_sequence(sequences / part)
        short = type(sequence)(sequence.name, sequence.frames[:FRAMES], sequence.truth[:FRAMES])
        tracker = trackers.create(name, precision=precision, device='cpu')
        follower = SessionFollower(Session(tracker))
        answers = one_pass(follower, short, False, lambda: None)
        nothing = np.full(FRAMES, np.nan)
        auc = score(answers.boxes, short.truth, nothing)['success_auc']
        assert auc is not None
        found.append(auc)
    return float(np.mean(found))


@pytest.mark.parametrize('name', trackers.NAMES)
def test_in_single_precision_every_tracker_does(name: str, sequences: Path) -> None:
    """From the same memory, in the same frame: later ones differ by what rounding led to."""
    fast = trackers.create(name, precision='float32', device='cpu')
    with pytest.MonkeyPatch.context() as patch:
        for module in (cmedfl, dmv, memtrack, samn, stmtrack):
            patch.setattr(module, 'ready', eager)
        plain = trackers.create(name, precision='float32', device='cpu')
    for part in PART:
        sequence = read_sequence(sequences / part)
        session = Session(fast)
        estimate = session.prompt(sequence.frame(0), Prompt('box', sequence.truth[0]))
        for number in range(1, FRAMES):
            frame = sequence.frame(number)
            if number % 6 == 0:
                assert estimate.roi is not None
                plain.restore(fast.state())
                one, other = (each.find(frame, Prior(estimate.roi)) for each in (fast, plain))
                assert one.score == pytest.approx(other.score, abs=0.01)
                assert boxes.iou(one.box, other.box) > 0.97
                assert (one.mask != other.mask).mean() < 0.002
            estimate = session.step(frame)
            session.remember()


def test_in_half_precision_they_do_on_average(sequences: Path, expected: dict[str, float]) -> None:
    # Of one tracker on few frames, rounding alone moves a score by more.
    found = [success(sequences, name, 'bfloat16') for name in trackers.NAMES]
    assert np.mean(found) > np.mean(list(expected.values())) - CLOSE
