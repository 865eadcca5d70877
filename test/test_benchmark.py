"""The benchmark's way of showing frames, and its table."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from memtrack_ros.evaluation.__main__ import main
from memtrack_ros.evaluation.benchmark import to_and_fro


def test_frames_are_shown_to_and_fro() -> None:
    frames = [np.full((1, 1, 3), value, np.uint8) for value in range(3)]
    shown = [int(frame[0, 0, 0]) for frame in islice(to_and_fro(frames), 9)]
    assert shown == [0, 1, 2, 1, 0, 1, 2, 1, 0]


def test_the_table_has_a_line_a_tracker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['benchmark', '--trackers', 'stmtrack', '--frames', '10', '--device', 'cpu']) == 0
    head, _, line = capsys.readouterr().out.strip().splitlines()
    cells = dict(zip(head.split(' | '), line.split(' | '), strict=True))
    assert 'stmtrack' in cells['| tracker']
    # 128 frames of 96 channels and 24 x 24 cells, four bytes each.
    assert cells['bank MB |'] == '28.3 |'
    assert float(cells['step ms']) > 0
    assert cells['writes'] == '10 of 10'


def test_writes_are_those_that_were_done(capsys: pytest.CaptureFixture[str]) -> None:
    # DMV's paper stores frames that are 30 apart.
    assert main(['benchmark', '--trackers', 'dmv', '--frames', '40', '--device', 'cpu']) == 0
    head, _, line = capsys.readouterr().out.strip().splitlines()
    assert dict(zip(head.split(' | '), line.split(' | '), strict=True))['writes'] == '1 of 40'


def test_one_weight_file_is_for_one_tracker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['benchmark', '--trackers', 'stmtrack,dmv', '--weights', 'x.safetensors']) == 2
    assert 'name a folder' in capsys.readouterr().err
