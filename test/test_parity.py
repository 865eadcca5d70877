"""The paper variants against the numbers of their authors' implementations."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from tracking import REFERENCE, needs_reference

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.evaluation import passes
from memtrack_ros.evaluation.__main__ import main
from memtrack_ros.evaluation.parity.reference import EXACT, HALF, SINGLE, Reference, check
from memtrack_ros.evaluation.parity.report import SUBJECTS, parity
from memtrack_ros.weights.files import save_weights


@needs_reference
@pytest.mark.parametrize('subject', SUBJECTS)
def test_the_published_network_computes_its_authors_numbers(subject: str) -> None:
    told = io.StringIO()
    assert parity(Reference(REFERENCE), [subject], Console(file=told, width=80)), told.getvalue()
    assert '…' not in told.getvalue()


@needs_reference
def test_a_run_gives_the_authors_boxes_of_their_clip(tmp_path: Path) -> None:
    reference = Reference(REFERENCE)
    arrays = reference.arrays('stmtrack_clip_ref')
    made = reference.weights('stmtrack', reference.state('keys_stmtrack.txt'))
    weights = tmp_path / 'stmtrack-paper.safetensors'
    save_weights(weights, 'stmtrack', 'paper', made.tensors, made.calibration, 'drawn')
    clip = tmp_path / 'data' / 'SET' / 'clip'
    (clip / 'img').mkdir(parents=True)
    for number, frame in enumerate(arrays['frames'], 1):
        cv2.imwrite(str(clip / 'img' / f'{number:04}.png'), frame)
    truth = np.concatenate([arrays['init_box'][None], arrays['rects']])
    np.savetxt(clip / 'groundtruth.txt', truth, delimiter=',')
    chosen = ['--trackers', 'stmtrack', '--variant', 'paper', '--weights', str(weights)]
    chosen += ['--sequences', str(tmp_path / 'data'), '--device', 'cpu', '--jobs', '1']
    # All else is the default; so the authors ran it, that the last frame is read.
    out = tmp_path / 'out'
    assert main(['run', *chosen, '--set', 'confident=0.3', '--out', str(out)]) == 0
    answers = passes.read(out / 'passes' / 'stmtrack' / 'SET' / 'clip.csv')
    np.testing.assert_allclose(answers.boxes[1:], arrays['rects'], rtol=0, atol=1e-3)


@needs_reference
def test_other_weights_are_told_from_the_authors(capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ['--reference', str(REFERENCE), '--salt', '1', '--tracker', 'memtrack']
    assert main(['parity', *chosen]) == 1
    assert 'MISSED' in capsys.readouterr().out


def test_a_missing_reference_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['parity', '--reference', str(tmp_path)]) == 2
    assert 'name the folder of the references' in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match='no_ref.npz'):
        Reference(tmp_path).arrays('no_ref')


def test_a_check_is_relative_to_the_largest_value() -> None:
    theirs = np.array([0.0, 10.0], np.float32)
    assert check('a', np.array([0.009, 10.0]), theirs).holds
    assert not check('a', np.array([0.011, 10.0]), theirs).holds
    assert check('a', theirs, theirs).tolerance == SINGLE
    assert check('a', theirs, theirs.astype(np.float16)).tolerance == HALF
    assert not check('a', np.array([np.nan, 10.0]), theirs).holds
    assert not check('a', np.array([10.0]), theirs).holds
    assert not check('n', np.array([1, 3]), np.array([1, 2]), EXACT).holds
