"""The pass over a sequence, the report and the command line."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from memtrack_ros import scenes, trackers
from memtrack_ros.data.sequences import read_sequence
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation import __main__ as command_line
from memtrack_ros.evaluation import report
from memtrack_ros.evaluation.metrics import METRICS
from memtrack_ros.evaluation.runner import SessionFollower, one_pass, scores
from memtrack_ros.geometry import boxes
from memtrack_ros.session import Session

NAN = [np.nan] * 4


def write_sequence(
    folder: Path, images: list[NDArray[np.uint8]], truth: NDArray[np.float64]
) -> Path:
    """Frames and truth in the layout of a sequence."""
    (folder / 'img').mkdir(parents=True)
    for number, image in enumerate(images, 1):
        cv2.imwrite(str(folder / 'img' / f'{number:06}.png'), image)
    lines = [','.join(f'{value}' for value in box) for box in truth]
    (folder / 'groundtruth.txt').write_text('\n'.join(lines))
    return folder


def write_square(folder: Path, hidden: tuple[int, ...] = (), frames: int = 8) -> Path:
    """A white square of 10 x 8 pixels that moves to the right by 3 a frame; hidden in some."""
    truth = np.array([[3 * t + 1, 20, 10, 8] for t in range(frames)], float)
    truth[list(hidden)] = np.nan
    images = [cv2.cvtColor(boxes.box_mask(box, 48, 64), cv2.COLOR_GRAY2BGR) for box in truth]
    return write_sequence(folder, [np.asarray(image, np.uint8) for image in images], truth)


class BrightFollower:
    """Follows whatever is bright: the box around it, no answer where nothing is."""

    def start(self, frame: NDArray[np.uint8], box: NDArray[np.float64]) -> None:
        self.prompt = box

    def follow(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        bright = (frame[..., 0] > 128).astype(np.uint8)
        return np.array(cv2.boundingRect(bright), float) if bright.any() else None


class AbsentFollower(BrightFollower):
    """As above, but says nan where nothing is."""

    def follow(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        box = super().follow(frame)
        return np.array(NAN) if box is None else box


def test_a_pass_answers_every_frame_from_the_prompt_on(tmp_path: Path) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'square'))
    follower = BrightFollower()
    answers = list(one_pass(follower, sequence))
    np.testing.assert_array_equal([answer.box for answer in answers], sequence.truth)
    np.testing.assert_array_equal(follower.prompt, [1, 20, 10, 8])
    seconds = np.array([answer.seconds for answer in answers])
    assert np.isnan(seconds).tolist() == [True] + [False] * 7
    assert (seconds[1:] > 0).all()
    row = scores(answers, sequence)
    assert row['success_auc'] == pytest.approx(20 / 21)
    assert row['sr75'] == row['norm_precision'] == 1
    assert row['frames'] == 8


@pytest.mark.parametrize('follower', [BrightFollower(), AbsentFollower()])
def test_without_an_answer_the_last_box_stands(tmp_path: Path, follower: BrightFollower) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'hiding', hidden=(3, 4)))
    given = np.array([answer.box for answer in one_pass(follower, sequence)])
    np.testing.assert_array_equal(given[3:5], [sequence.truth[2]] * 2)
    np.testing.assert_array_equal(given[5:], sequence.truth[5:])


def test_a_pass_starts_at_the_first_truth(tmp_path: Path) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'late', hidden=(0, 1)))
    follower = BrightFollower()
    answers = list(one_pass(follower, sequence))
    assert np.isnan([answer.box for answer in answers[:2]]).all()
    np.testing.assert_array_equal(follower.prompt, sequence.truth[2])
    assert np.isnan([answer.seconds for answer in answers]).sum() == 3
    assert scores(answers, sequence)['success_auc'] == pytest.approx(20 / 21)


def test_a_pass_stops_at_a_damaged_image(tmp_path: Path) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'square'))
    sequence.frames[4].write_bytes(b'')
    with pytest.raises(SequenceError, match='SET/square: 000005.png'):
        list(one_pass(BrightFollower(), sequence))


def some_results() -> report.Results:
    row = dict.fromkeys(METRICS)
    return {
        'stmtrack': {
            'SET/a': row | {'success_auc': 0.25, 'fps': 50.0, 'frames': 30},
            'SET/b': row | {'success_auc': 0.75, 'fps': 70.0, 'frames': 10},
        }
    }


def test_results_are_written_as_json_and_markdown(tmp_path: Path) -> None:
    folder = tmp_path / 'new' / 'out'
    report.write(folder, some_results(), [SequenceError('SET/c: no images in img/')])
    content = json.loads((folder / 'results.json').read_text())
    assert set(content) == {'protocol', 'trackers'}
    assert set(content['trackers']) == {'stmtrack'}
    entry = content['trackers']['stmtrack']
    assert set(entry) == {'summary', 'sequences'}
    assert set(entry['sequences']) == {'SET/a', 'SET/b'}
    for row in (entry['summary'], *entry['sequences'].values()):
        assert tuple(row) == METRICS
    assert entry['summary']['success_auc'] == 0.5
    assert entry['summary']['frames'] == 40
    assert entry['summary']['jf'] is None
    lines = (folder / 'results.md').read_text().splitlines()
    assert '| sequence | success_auc | fps | frames |' in lines
    assert '| SET/a | 0.250 | 50.0 | 30 |' in lines
    assert '| mean | 0.500 | 60.0 | 40 |' in lines
    assert '- SET/c: no images in img/' in lines


def test_results_are_shown(tmp_path: Path) -> None:
    console = Console(record=True, width=100)
    report.show(console, some_results(), [SequenceError('SET/c: [bold]no[/] images')])
    text = console.export_text()
    for part in ('stmtrack', 'SET/a', '0.250', 'mean', '0.500', 'skipped: SET/c: [bold]no[/]'):
        assert part in text


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A folder with one drawn sequence of 6 frames, one malformed and one damaged."""
    scene = scenes.drawn_scene(scenes.DEMO_SEEDS[0], width=320, height=240, frames=6, strength=0.3)
    frames = [scene.render(t) for t in range(scene.frames)]
    truth = np.array([frame.box for frame in frames])
    write_sequence(tmp_path / 'DRAWN' / 'scene', [frame.image for frame in frames], truth)
    (write_square(tmp_path / 'DRAWN' / 'short') / 'img' / '000008.png').unlink()
    (write_square(tmp_path / 'DRAWN' / 'torn') / 'img' / '000008.png').write_bytes(b'torn')
    return tmp_path


def test_a_session_follows_like_the_node(drawn: Path) -> None:
    sequence = read_sequence(drawn / 'DRAWN' / 'scene')
    session = Session(trackers.create('stmtrack'))
    answers = list(one_pass(SessionFollower(session), sequence))
    assert np.isfinite([answer.box for answer in answers]).all()
    assert session.tracker.bank.status().writes >= 1
    again = list(one_pass(SessionFollower(session), sequence))
    np.testing.assert_array_equal([a.box for a in again], [a.box for a in answers])


def test_run_scores_what_can_be_read_and_names_the_rest(
    drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = drawn / 'out'
    arguments = ['run', '--sequences', str(drawn), '--trackers', 'stmtrack', '--out', str(out)]
    assert command_line.main(arguments) == 0
    entry = json.loads((out / 'results.json').read_text())['trackers']['stmtrack']
    assert set(entry['sequences']) == {'DRAWN/scene'}
    row = entry['sequences']['DRAWN/scene']
    assert 0 <= row['success_auc'] <= 1
    assert row['fps'] > 0
    assert row['frames'] == 6
    shown = capsys.readouterr().out
    for fault in ('DRAWN/short: 7 frames, but 8 truth lines', 'DRAWN/torn: 000008.png cannot be'):
        assert fault in (out / 'results.md').read_text()
        assert fault in shown


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'--trackers': 'nobody'}, 'nobody'),
        ({'--trackers': 'stmtrack,other', '--weights': 'any.safetensors'}, 'one file'),
        ({'--weights': 'nowhere.safetensors'}, 'nowhere.safetensors'),
        ({'--sequences': 'nowhere'}, 'nowhere'),
    ],
)
def test_run_says_in_a_sentence_what_is_wrong(
    drawn: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, str], message: str
) -> None:
    out = drawn / 'out'
    given = {'--sequences': str(drawn), '--trackers': 'stmtrack', '--out': str(out)} | changed
    assert command_line.main(['run', *(part for pair in given.items() for part in pair)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert 'Traceback' not in error
    assert not out.exists()


def test_run_refuses_to_write_a_table_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (write_square(tmp_path / 'SET' / 'short') / 'img' / '000008.png').unlink()
    arguments = ['run', '--sequences', str(tmp_path), '--trackers', 'stmtrack']
    assert command_line.main([*arguments, '--out', str(tmp_path / 'out')]) == 2
    assert 'none of its sequences' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
