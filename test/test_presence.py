"""States against the truth: what the presence page counts, on worked examples and drawn scenes."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from memtrack_ros import trackers
from memtrack_ros.data.sequences import read_sequence
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation.__main__ import main
from memtrack_ros.evaluation.presence import (
    PresenceVideo,
    Verdicts,
    drawn,
    ends_wrong,
    filmed,
    follow,
    measure,
    presence,
    recorded,
)
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.scenes.situations import SITUATIONS, Situation
from memtrack_ros.session import Prompt, Session, State
from memtrack_ros.tools.follow_demo import PASSES, World

HERE, THERE, NOWHERE = [10.0, 10, 20, 20], [60.0, 10, 20, 20], [np.nan] * 4
OFF = [20.0, 10, 20, 20]  # IoU 1/3 with HERE
T, U, GONE = State.TRACKING, State.UNSURE, State.OCCLUDED


def verdicts(
    truth: list[list[float]],
    states: list[State],
    boxes: list[list[float]],
    alike: list[list[float]] | None = None,
    kind: str = 'some',
) -> Verdicts:
    """Of a video whose first frame is that of the prompt, in which the target is HERE."""
    whole: Floats = np.array([HERE, *truth])
    other = np.array([NOWHERE, *(alike or [NOWHERE] * len(truth))])
    visibility = (~np.isnan(whole).any(1)).astype(float)
    video = PresenceVideo('some', kind, [], whole, visibility, other)
    confidence = np.array([float(state is T) for state in states])
    return Verdicts(video, np.array([int(s) for s in states]), confidence, np.array(boxes))


def test_a_worked_example() -> None:
    # Four frames with the target: right, off, wrong, denied. Five without: tracked twice, unsure,
    # said absent twice. Then it is back: found in the third frame.
    truth = [HERE] * 4 + [NOWHERE] * 5 + [THERE] * 4
    states = [T, T, T, GONE, T, T, U, GONE, GONE, GONE, GONE, T, T]
    boxes = [HERE, OFF, THERE, HERE] + [HERE] * 5 + [HERE, HERE, THERE, THERE]
    row = measure([verdicts(truth, states, boxes)])
    assert row['present_tracked_right'] == pytest.approx(3 / 8)
    assert row['present_tracked_off'] == pytest.approx(1 / 8)
    assert row['present_tracked_wrong'] == pytest.approx(1 / 8)
    assert row['present_said_absent'] == pytest.approx(3 / 8)
    assert row['present_unsure'] == 0
    assert row['absent_tracked'] == pytest.approx(2 / 5)
    assert row['absent_unsure'] == pytest.approx(1 / 5)
    assert row['absent_said_absent'] == pytest.approx(2 / 5)
    assert row['wrong_of_tracked'] == pytest.approx(3 / 7)
    assert row['seconds_to_notice'] == pytest.approx(2 / 30)
    assert row['seconds_to_find'] == pytest.approx(2 / 30)
    assert row['found_in_a_second'] == 1
    assert row['switches'] == 1
    # Confidence 1 in 7 frames, of which 3 are hits, 0 in 6, of which one is.
    assert row['calibration_error'] == pytest.approx((4 + 1) / 13)


def test_what_never_is_found_is_not_found_in_a_second() -> None:
    row = measure([verdicts([HERE, NOWHERE, THERE, THERE], [T, GONE, GONE, T], [HERE] * 4)])
    assert row['found_in_a_second'] == 0
    assert row['seconds_to_find'] == np.inf


def test_a_look_alike_counts_where_it_is_the_only_one() -> None:
    truth, alike = [HERE, NOWHERE, NOWHERE], [THERE, THERE, NOWHERE]
    row = measure([verdicts(truth, [T, T, T], [HERE, THERE, THERE], alike)])
    assert row['alike_tracked'] == 1
    assert row['twins_wrong'] is None
    assert row['blind_tracked'] is None


@pytest.mark.parametrize(('state', 'wrong'), [(T, True), (U, False), (GONE, False)])
def test_a_crossing_ends_wrong_only_where_that_is_tracking(state: State, wrong: bool) -> None:
    crossing = verdicts(
        [HERE] * 20, [T] * 8 + [state] * 12, [HERE] * 8 + [THERE] * 12, kind='twins'
    )
    assert ends_wrong(crossing) is wrong


@pytest.mark.parametrize('kind', SITUATIONS)
def test_situations_are_what_they_are_called(kind: str) -> None:
    """A target in full view to begin with, and then what the name says, whatever the seed."""
    situation = Situation(kind, 800_000)
    numbers = range(0, situation.frames, 5)
    frames = [situation.render(number) for number in numbers]
    assert frames[0].visibility > 0.9
    assert np.isfinite(frames[0].box).all()
    again = Situation(kind, 800_000).render(5)
    np.testing.assert_array_equal(again.image, frames[1].image)
    absent = [
        number for number, frame in zip(numbers, frames, strict=True) if np.isnan(frame.box).any()
    ]
    if kind.startswith('hidden'):
        length = int(kind.split()[1])
        assert abs(5 * len(absent) - length) <= 15
    if kind in ('dark', 'frozen'):
        assert absent == list(range(40, 70, 5))
    if kind in ('elsewhere', 'larger', 'smaller', 'staying'):
        assert 5 * len(absent) >= 30
        assert np.isfinite(frames[-1].box).all()
    if kind in ('larger', 'smaller'):
        growth = np.sqrt(frames[-1].box[2:].prod() / frames[0].box[2:].prod())
        assert (growth > 1.5) if kind == 'larger' else (growth < 0.7)
    if kind in ('twins', 'staying', 'passing'):
        assert any(np.isfinite(frame.alike).all() for frame in frames)
    if kind == 'dark':
        assert frames[10].image.max() < 10
    if kind == 'frozen':
        np.testing.assert_array_equal(frames[10].image, frames[9].image)


@pytest.mark.parametrize(('kind', 'seed'), [('staying', 820_007), ('hidden 30', 820_025)])
def test_a_robot_is_told_of_the_target_and_of_nothing_else(kind: str, seed: int) -> None:
    session = Session(trackers.create('dmv', device='cpu'))
    row = measure([follow(session, filmed(Situation(kind, seed), kind))])
    assert row['found_in_a_second'] == 1
    assert row['absent_tracked'] == 0
    assert row['present_tracked_wrong'] == 0


@pytest.mark.parametrize('seed', [820_102, 820_109])
def test_of_twins_that_met_none_is_told_to_a_robot(seed: int) -> None:
    session = Session(trackers.create('dmv', device='cpu'))
    crossing = follow(session, filmed(Situation('twins', seed), 'twins'))
    row = measure([crossing])
    assert row['twins_wrong'] == 0
    assert row['present_tracked_wrong'] == 0
    assert row['present_tracked_right'] > 0.2  # until they meet


def test_a_car_that_was_hidden_is_found_again_among_what_is_like_it(sequences: Path) -> None:
    session = Session(trackers.create('dmv', device='cpu'))
    hidden = read_sequence(sequences.parent / 'absences/TLD/06_car_hidden')
    row = measure([follow(session, recorded(hidden))])
    # Bushes that it passes are as like what is seen of it then; in full view it is none of them.
    assert row['present_tracked_right'] > 0.6
    assert row['present_tracked_wrong'] == 0
    assert row['absent_tracked'] < 0.1


def test_the_command_writes_table_numbers_and_plot(tmp_path: Path) -> None:
    assert main(['presence', '--trackers', 'dmv', '--scenes', '1', '--out', str(tmp_path)]) == 0
    rows = json.loads((tmp_path / 'presence.json').read_text())
    assert rows['dmv'].keys() == {'all', 'hidden 10'}
    assert rows['dmv']['all']['calibration_error'] <= 1
    assert 'present tracked right' in (tmp_path / 'presence.md').read_text()
    assert (tmp_path / 'presence.png').stat().st_size > 1000


def test_what_cannot_be_followed_is_named_and_skipped(tmp_path: Path) -> None:
    good = next(drawn(1, None))
    short = {name: getattr(good, name)[:12] for name in ('images', 'truth', 'visibility', 'alike')}
    good = replace(good, **short)
    beside = replace(good, name='beside', truth=np.add(good.truth, [1e4, 0, 0, 0]))
    shrunk = replace(good, name='shrunk', images=[*good.images[:5], np.zeros((5, 5, 3), np.uint8)])
    sessions = {'dmv': Session(trackers.create('dmv', device='cpu'))}
    said = io.StringIO()
    presence(sessions, [beside, good, shrunk], tmp_path, Console(file=said, width=200))
    assert 'skipped: beside: The box x' in said.getvalue()
    assert 'skipped: shrunk: the image is 5x5' in said.getvalue()
    assert (tmp_path / 'presence.json').is_file()
    with pytest.raises(SequenceError, match='in none of the videos'):
        presence(sessions, [beside], tmp_path, Console(file=said))


@pytest.mark.parametrize('seed', [9, 302])
def test_a_look_alike_that_passes_without_touching_the_target_is_told_by_motion(seed: int) -> None:
    """It looks the same; but neither jumps, and neither hides the other."""
    world = World(seed, 60.0)
    session = Session(trackers.create('dmv'))
    for frame in range(-22, 23):
        time = PASSES[0] * 60 + frame / 15
        world.yaw, world.height = world.place(time - 0.15)
        view = world.see(time)
        if session.state is State.IDLE:
            session.prompt(view.picture, Prompt('box', view.box), time)
        estimate = session.step(view.picture, time)
        session.remember()
        assert estimate.state is State.TRACKING, time
        assert boxes.iou(estimate.roi, view.box) > 0.5, time
