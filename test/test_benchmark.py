"""The benchmark: how it shows frames, what it times, what it writes."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memtrack_ros.evaluation.__main__ import main
from memtrack_ros.evaluation.benchmark_report import at_camera_rate, markdown, ratios
from memtrack_ros.evaluation.stages import STAGES, timed
from memtrack_ros.geometry import windows
from memtrack_ros.geometry.windows import Window
from memtrack_ros.scenes import to_and_fro
from memtrack_ros.trackers import search

QUICK = ['--rounds', '1', '--sizes', '160x120', '--peers', 'csrt', '--device', 'cpu']


@pytest.fixture(scope='module')
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of two trackers says, as it is written."""
    out = tmp_path_factory.mktemp('speed')
    asked = ['benchmark', '--trackers', 'memtrack,dmv', *QUICK, '--aged', '40', '--out', str(out)]
    assert main(asked) == 0
    assert (out / 'speed.png').read_bytes().startswith(b'\x89PNG')
    assert 'OpenCV csrt' in (out / 'speed.md').read_text()
    read: dict[str, Any] = json.loads((out / 'speed.json').read_text())
    return read


def test_frames_are_shown_to_and_fro() -> None:
    frames = [np.full((1, 1, 3), value, np.uint8) for value in range(3)]
    shown = [int(frame[0, 0, 0]) for frame in islice(to_and_fro(frames), 9)]
    assert shown == [0, 1, 2, 1, 0, 1, 2, 1, 0]


def test_every_fill_and_stage_of_every_tracker_is_timed(found: dict[str, Any]) -> None:
    for entry in found['trackers'].values():
        sizes = entry['sizes']['160x120']
        assert list(sizes['fills']) == ['one', 'half', 'full', 'after 40']
        for times in sizes['fills'].values():
            assert times['whole'] > times['locate'] > 0
        assert list(sizes['stages']) == [*STAGES, 'rest']
        assert sizes['stages']['backbone'] > sizes['stages']['oriented box'] > 0
        assert sizes['stages']['memory read'] > 0
        assert sizes['stages']['refinement'] > 0
    assert found['peers']['csrt']['sizes']['160x120']['whole'] > 0
    assert found['decode']['160x120']['jpeg'] > 0


def test_writes_are_those_that_were_done(found: dict[str, Any]) -> None:
    # DMV's paper stores frames that are 30 apart; MemTrack writes all that it is given, which at
    # 30 Hz is every second one.
    entries = found['trackers']
    assert entries['memtrack']['wrote'] == '12 of 24'
    wrote, asked = entries['dmv']['wrote'].split(' of ')
    assert asked == '24' and int(wrote) <= 4
    # Keys and values of 8 frames, 64 channels on 24 x 24 cells, four bytes each.
    assert entries['dmv']['bank_bytes'] == 2 * 8 * 64 * 24 * 24 * 4


def test_the_start_is_that_of_a_process_of_its_own(found: dict[str, Any]) -> None:
    start = found['trackers']['memtrack']['start']
    assert start['first_estimate_s'] > 0
    assert start['resident_bytes'] >= start['resident_before_bytes'] > 10**7


def test_the_report_names_machine_and_command(found: dict[str, Any]) -> None:
    text = markdown(found, 'the command')
    assert 'the command' in text
    assert found['machine']['cpu'] in text


def test_ratios_are_then_over_now(found: dict[str, Any]) -> None:
    slower = json.loads(json.dumps(found))
    times = slower['trackers']['dmv']['sizes']['160x120']['fills']['full']
    times['step'], times['whole'] = 3 * times['step'], 2 * times['whole']
    (row,) = [
        line for line in ratios(found, slower).splitlines() if 'dmv' in line and 'full' in line
    ]
    assert row.split(' | ')[-2:] == ['3.00', '2.00 |']


@pytest.mark.parametrize(
    ('whole', 'said'),
    [
        (20.0, 'every image if alone, 60 % busy'),
        (100.0, '33 of 100 images, the others are dropped'),
    ],
)
def test_what_happens_at_30_hz(whole: float, said: str) -> None:
    assert at_camera_rate(whole) == said


def test_a_stage_is_timed_where_the_package_holds_it_and_only_then() -> None:
    before = windows.cut, search.to_device
    frame, window = np.zeros((40, 40, 3), np.uint8), Window.around([20, 20], 1.0, 16)
    with timed() as watch:
        crop = windows.cut(frame, window, 0)
        assert set(watch.seconds) == {'crop'}
        only = watch.seconds['crop']
        search.to_device(crop, torch.device('cpu'))
        assert watch.seconds['crop'] > only
    assert (windows.cut, search.to_device) == before


def test_one_weight_file_is_for_one_tracker(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['benchmark', '--trackers', 'stmtrack,dmv', '--weights', 'x.safetensors']) == 2
    assert 'name a folder' in capsys.readouterr().err


def test_an_earlier_run_that_is_not_there_is_said_before_anything_is_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['benchmark', '--against', str(tmp_path / 'none.json')]) == 2
    assert 'none.json' in capsys.readouterr().err
