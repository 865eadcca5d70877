"""The pass over a sequence, the comparison, its report and the command line."""

import json
import os
import re
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path
from queue import SimpleQueue

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from memtrack_ros import scenes, trackers
from memtrack_ros.data.sequences import Sequence, read_sequence
from memtrack_ros.errors import ConfigurationError, SequenceError
from memtrack_ros.evaluation import __main__ as command_line
from memtrack_ros.evaluation import compare as compare_module
from memtrack_ros.evaluation import peers
from memtrack_ros.evaluation.calibration import Beliefs
from memtrack_ros.evaluation.compare import Entrant, compare
from memtrack_ros.evaluation.failures import telling_frames
from memtrack_ros.evaluation.metrics import METRICS
from memtrack_ros.evaluation.passes import Pass, load
from memtrack_ros.evaluation.runner import Follower, Prediction, SessionFollower, one_pass, scores
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.session import Presence, Session

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
    """Follows whatever is bright: the box around it and its mask, no answer where nothing is."""

    segments = True

    def start(self, frame: NDArray[np.uint8], box: Floats, mask: NDArray[np.uint8] | None) -> None:
        self.box, self.mask = box, mask

    def follow(self, frame: NDArray[np.uint8]) -> Prediction:
        bright = np.where(frame[..., 0] > 128, 255, 0).astype(np.uint8)
        if not bright.any():
            return Prediction(None, 0.25)
        return Prediction(np.array(cv2.boundingRect(bright), float), 0.75, bright)


class AbsentFollower(BrightFollower):
    """As above, but says nan where nothing is, and no mask."""

    segments = False

    def follow(self, frame: NDArray[np.uint8]) -> Prediction:
        box = super().follow(frame).box
        return Prediction(np.array(NAN) if box is None else box)


def passed(follower: Follower, sequence: Sequence, by_mask: bool = False) -> Pass:
    return one_pass(follower, sequence, by_mask, lambda: None)


def test_a_pass_answers_every_frame_from_the_prompt_on(tmp_path: Path) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'square'))
    follower, turns = BrightFollower(), []
    answers = one_pass(follower, sequence, False, lambda: turns.append(1))
    np.testing.assert_array_equal(answers.boxes, sequence.truth)
    np.testing.assert_array_equal(follower.box, [1, 20, 10, 8])
    assert follower.mask is None
    assert len(turns) == 8
    assert np.isnan(answers.seconds).tolist() == [True] + [False] * 7
    assert (answers.seconds[1:] > 0).all()
    np.testing.assert_array_equal(answers.confidence, [np.nan] + [0.75] * 7)
    assert np.isnan(answers.j).all()  # there are no true masks
    row = scores(answers, sequence)
    assert row['success_auc'] == pytest.approx(20 / 21)
    assert row['sr75'] == row['norm_precision'] == 1
    assert row['jf'] is None
    assert row['frames'] == 8


@pytest.mark.parametrize('follower', [BrightFollower(), AbsentFollower()])
def test_without_an_answer_the_last_box_stands(tmp_path: Path, follower: BrightFollower) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'hiding', hidden=(3, 4)))
    given = passed(follower, sequence).boxes
    np.testing.assert_array_equal(given[3:5], [sequence.truth[2]] * 2)
    np.testing.assert_array_equal(given[5:], sequence.truth[5:])


def test_a_pass_starts_at_the_first_truth(tmp_path: Path) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'late', hidden=(0, 1)))
    follower = BrightFollower()
    answers = passed(follower, sequence)
    assert np.isnan(answers.boxes[:2]).all()
    np.testing.assert_array_equal(follower.box, sequence.truth[2])
    assert np.isnan(answers.seconds).sum() == 3
    assert scores(answers, sequence)['success_auc'] == pytest.approx(20 / 21)


def test_a_pass_stops_at_a_damaged_image(tmp_path: Path) -> None:
    sequence = read_sequence(write_square(tmp_path / 'SET' / 'square'))
    sequence.frames[4].write_bytes(b'')
    with pytest.raises(SequenceError, match='SET/square: 000005.png'):
        passed(BrightFollower(), sequence)


@pytest.fixture
def masked(tmp_path: Path) -> Sequence:
    """The square with its masks; that of frame 4 is only its left half."""
    folder = write_square(tmp_path / 'SET' / 'square')
    (folder / 'mask').mkdir()
    for number in range(1, 9):
        box = [3 * number - 2, 20, 5 if number == 4 else 10, 8]
        mask = boxes.box_mask(np.array(box, float), 48, 64)
        cv2.imwrite(str(folder / 'mask' / f'{number:06}.png'), mask)
    return read_sequence(folder)


def test_masks_are_scored_against_true_ones(masked: Sequence) -> None:
    answers = passed(BrightFollower(), masked)
    np.testing.assert_array_equal(answers.j, [np.nan, 1, 1, 0.5, 1, 1, 1, 1])
    assert np.isnan(answers.f[0])
    assert answers.f[3] < 1
    assert (np.delete(answers.f, [0, 3]) == 1).all()
    # Of 8 frames DAVIS leaves out the first and the last: one of six is half right.
    assert scores(answers, masked)['j'] == pytest.approx(5.5 / 6)


def test_a_tracker_without_masks_has_none_scored(masked: Sequence) -> None:
    row = scores(passed(AbsentFollower(), masked), masked)
    assert row['j'] is row['f'] is row['jf'] is None


def test_a_mask_prompt_points_with_the_true_mask(masked: Sequence) -> None:
    follower = BrightFollower()
    passed(follower, masked, by_mask=True)
    np.testing.assert_array_equal(follower.mask, masked.mask(0))


def test_a_pass_that_is_kept_comes_back_as_it_was(tmp_path: Path, masked: Sequence) -> None:
    answers = passed(BrightFollower(), masked)
    file = tmp_path / 'kept' / 'SET' / 'square.csv'
    answers.save(file, 'bright 1')
    again = load(file, 'bright 1')
    assert again is not None
    for kept, was in zip(astuple(again), astuple(answers), strict=True):
        np.testing.assert_array_equal(kept, was)
    assert load(file, 'bright 2') is None
    assert load(tmp_path / 'other.csv', 'bright 1') is None
    assert [path.name for path in file.parent.iterdir()] == ['square.csv']


class Interrupted(BaseException):
    """As a user's Ctrl-C."""


class Counting(BrightFollower):
    """Counts how often it is asked; is interrupted when it may not be asked again."""

    def __init__(self, allowed: int) -> None:
        self.asked, self.allowed = 0, allowed

    def follow(self, frame: NDArray[np.uint8]) -> Prediction:
        if self.asked == self.allowed:
            raise Interrupted
        self.asked += 1
        return super().follow(frame)


def run_counting(folder: Path, out: Path, allowed: int, origin: str = 'counting 1') -> int:
    follower = Counting(allowed)
    compare([Entrant('counting', origin, lambda: follower)], folder, out, command='a test')
    return follower.asked


def test_a_run_that_was_stopped_goes_on_to_the_same_table(tmp_path: Path) -> None:
    folder = tmp_path / 'sequences'
    for name in ('a', 'b', 'c'):
        write_square(folder / 'SET' / name, hidden=(4,))
    with pytest.raises(Interrupted):
        run_counting(folder, tmp_path / 'out', 10)  # 7 frames of a, 3 of b
    assert not (tmp_path / 'out' / 'results.json').exists()
    assert run_counting(folder, tmp_path / 'out', 100) == 14  # b and c
    whole = (tmp_path / 'out' / 'results.json').read_text()
    report = (tmp_path / 'out' / 'results.md').read_text()
    assert run_counting(folder, tmp_path / 'out', 0) == 0
    assert (tmp_path / 'out' / 'results.json').read_text() == whole
    assert (tmp_path / 'out' / 'results.md').read_text() == report
    uninterrupted = tmp_path / 'other'
    assert run_counting(folder, uninterrupted, 100) == 21

    def without_time(file: Path) -> str:
        return re.sub(r'"fps": [0-9.]+', '', file.read_text())

    assert without_time(uninterrupted / 'results.json') == without_time(
        tmp_path / 'out' / 'results.json'
    )


def test_other_weights_or_another_truth_are_run_again(tmp_path: Path) -> None:
    folder, out = tmp_path / 'sequences', tmp_path / 'out'
    write_square(folder / 'SET' / 'a')
    write_square(folder / 'SET' / 'b')
    assert run_counting(folder, out, 100) == 14
    assert run_counting(folder, out, 100, 'counting 2') == 14
    truth = folder / 'SET' / 'b' / 'groundtruth.txt'
    truth.write_text(truth.read_text().replace('22.0,', '21.0,'))
    assert run_counting(folder, out, 100, 'counting 2') == 7


def test_a_first_truth_that_is_no_prompt_is_named_and_the_rest_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / 'sequences', tmp_path / 'out'
    write_square(folder / 'SET' / 'good')
    for name, box in (('small', '1,20,2,8'), ('beside', '640,20,10,8'), ('above', '1,-20,10,8')):
        truth = write_square(folder / 'SET' / name) / 'groundtruth.txt'
        truth.write_text('\n'.join([box, *truth.read_text().splitlines()[1:]]))
    assert run_counting(folder, out, 100) == 7
    content = json.loads((out / 'results.json').read_text())
    assert set(content['trackers']['counting']['sequences']) == {'SET/good'}
    shown = ' '.join(capsys.readouterr().out.split())
    for name in ('small', 'beside', 'above'):
        said = f'SET/{name}: the truth of frame 1 is no prompt: The box x'
        assert said in shown
        assert said in (out / 'results.md').read_text()


def test_a_frame_in_which_nothing_can_be_followed_is_named_and_the_rest_is_run(
    tmp_path: Path,
) -> None:
    folder, out = tmp_path / 'sequences', tmp_path / 'out'
    for name in ('good', 'shrunk', 'beyond'):
        write_square(folder / 'SET' / name)
    cv2.imwrite(
        str(folder / 'SET' / 'shrunk' / 'img' / '000003.png'), np.zeros((5, 5, 3), np.uint8)
    )
    truth = folder / 'SET' / 'beyond' / 'groundtruth.txt'  # which a session cuts to the frame
    truth.write_text(
        '\n'.join(['-9e9,-9e9,9000000011,9000000028', *truth.read_text().splitlines()[1:]])
    )
    given = ['run', '--sequences', str(folder), '--trackers', 'dmv', '--peers', 'mil']
    assert command_line.main([*given, '--jobs', '1', '--out', str(out)]) == 0
    content = json.loads((out / 'results.json').read_text())['trackers']
    assert {name: set(entry['sequences']) for name, entry in content.items()} == {
        'dmv': {'SET/good', 'SET/beyond'},
        'mil': {'SET/good', 'SET/beyond'},
    }
    said = 'SET/shrunk: frame 3 cannot be followed: the image is 5x5, those before were 64x48'
    assert said in (out / 'results.md').read_text()


def test_a_peer_that_fails_is_named_with_its_sequence(tmp_path: Path) -> None:
    class Failing:
        def init(self, *_: object) -> None: ...

        def update(self, frame: NDArray[np.uint8]) -> None:
            cv2.resize(frame, (0, 0))

    sequence = read_sequence(write_square(tmp_path / 'SET' / 'square'))
    with pytest.raises(SequenceError, match="SET/square: frame 2 .* OpenCV's tracker fails"):
        passed(peers.PeerFollower(Failing), sequence)


def test_a_first_mask_that_is_no_prompt_is_an_error_of_its_sequence(masked: Sequence) -> None:
    cv2.imwrite(str(masked.masks.files[0]), np.zeros((48, 64), np.uint8))
    with pytest.raises(SequenceError, match='SET/square: the truth of frame 1 .* marks 0 pixels'):
        passed(BrightFollower(), masked, by_mask=True)
    passed(BrightFollower(), masked)


@pytest.mark.parametrize(
    ('callers', 'count', 'names'),
    [
        (None, 2, ['0', '1', '0']),
        ('2,3', 2, ['2', '3', '2']),
        ('5', 1, ['5', '5', '5']),
        ('GPU-ab, MIG-cd,-1,4', 2, ['GPU-ab', 'MIG-cd', 'GPU-ab']),
    ],
)
def test_jobs_share_the_gpus_that_the_caller_lets_be_seen(
    callers: str | None, count: int, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A double: there need be no GPU here.
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    for turn, name in enumerate(names):
        with monkeypatch.context() as patch:
            patch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
            if callers is not None:
                patch.setenv('CUDA_VISIBLE_DEVICES', callers)
            turns = SimpleQueue()
            turns.put(turn)
            compare_module._prepare(SimpleQueue(), turns)
            assert os.environ['CUDA_VISIBLE_DEVICES'] == name
            del os.environ['CUDA_VISIBLE_DEVICES']


def test_a_run_writes_every_answer_plots_and_sheets(tmp_path: Path) -> None:
    folder, out = tmp_path / 'sequences', tmp_path / 'out'
    write_square(folder / 'SET' / 'a', hidden=(3,))
    write_square(folder / 'SET' / 'b')
    run_counting(folder, out, 100)
    for name in ('success', 'precision', 'norm_precision', 'calibration'):
        assert cv2.imread(str(out / f'{name}.png')) is not None
        assert f'({name}.png)' in (out / 'results.md').read_text()
    # Two rows of a picture's height and two lines of text, six pictures wide.
    assert cv2.imread(str(out / 'failures' / 'counting.jpg')).shape == (2 * 216, 6 * 240, 3)
    content = json.loads((out / 'results.json').read_text())
    assert set(content) == {'protocol', 'trackers'}
    entry = content['trackers']['counting']
    assert set(entry) == {'summary', 'standard_error', 'calibration_error', 'sequences'}
    for row in (entry['summary'], *entry['sequences'].values()):
        assert tuple(row) == METRICS
    assert entry['summary']['frames'] == 16
    # 13 hits at .75, and the hidden square, no hit, at .25: the distances to 1 and to 0 are alike.
    assert entry['calibration_error'] == pytest.approx(0.25)
    lines = (out / 'results.md').read_text().splitlines()
    assert '| sequence | counting |' in lines
    assert '| SET/a | 0.952 |' in lines
    assert (out / 'passes' / 'counting' / 'SET' / 'a.csv').is_file()


def test_means_have_standard_errors_and_memory_is_compared_sequence_by_sequence(
    tmp_path: Path,
) -> None:
    folder, out = tmp_path / 'sequences', tmp_path / 'out'
    write_square(folder / 'SET' / 'a', hidden=(3,))
    write_square(folder / 'SET' / 'b')

    class Half(BrightFollower):
        """Right in the first of its sequences, a third of a box aside in the other."""

        passes = 0

        def start(
            self, frame: NDArray[np.uint8], box: Floats, mask: NDArray[np.uint8] | None
        ) -> None:
            super().start(frame, box, mask)
            self.passes += 1

        def follow(self, frame: NDArray[np.uint8]) -> Prediction:
            found = super().follow(frame)
            if self.passes < 2 or found.box is None:
                return found
            return replace(found, box=found.box + np.array([5, 0, 0, 0]))

    half_right = Half()
    entrants = [
        Entrant('one', 'one', BrightFollower),
        Entrant('one-first', 'one-first', lambda: half_right),
    ]
    compare(entrants, folder, out, command='a test')
    trackers = json.loads((out / 'results.json').read_text())['trackers']
    whole, half = 20 / 21, 7 / 21  # moved by half of its 10 px: IoU 5 / 15, above 7 thresholds
    assert trackers['one-first']['sequences']['SET/b']['success_auc'] == pytest.approx(half)
    assert trackers['one']['standard_error'] == pytest.approx(0, abs=1e-9)
    # Of two values, half their distance.
    assert trackers['one-first']['standard_error'] == pytest.approx((whole - half) / 2)
    gain = f'{(whole - half) / 2:.3f}'
    assert f'| one | {gain} | {gain} |' in (out / 'results.md').read_text().splitlines()


def test_success_is_reported_by_attribute(tmp_path: Path) -> None:
    folder, out = tmp_path / 'OTB', tmp_path / 'out'
    for name, attributes in (('a', 'IV, OCC'), ('b', 'OCC'), ('c', '')):
        square = write_square(folder / name)
        truth = np.loadtxt(square / 'groundtruth.txt', delimiter=',') + np.array([1, 1, 0, 0])
        (square / 'groundtruth.txt').unlink()
        np.savetxt(square / 'groundtruth_rect.txt', truth, '%d', ',')
        (square / 'attrs.txt').write_text(attributes)
    cv2.imwrite(str(folder / 'b' / 'img' / '000004.png'), np.zeros((48, 64, 3), np.uint8))
    compare([Entrant('bright', '1', BrightFollower)], folder, out, command='a test')
    # Where it sees nothing, the last box stands, 3 of 10 px aside: IoU 7 / 13, above 11 thresholds.
    whole, once_aside = 20 / 21, (6 * 20 + 11) / (7 * 21)
    expected = {'IV': whole, 'OCC': (whole + once_aside) / 2}
    found = json.loads((out / 'results.json').read_text())['trackers']['bright']['attributes']
    assert found == pytest.approx(expected)
    lines = (out / 'results.md').read_text().splitlines()
    assert {'| attribute | sequences | bright |', '| IV | 1 | 0.952 |'} <= set(lines)
    assert '| OCC | 2 | 0.922 |' in lines
    assert cv2.imread(str(out / 'attributes.png')) is not None


def test_masks_are_reported_as_davis_has_them(masked: Sequence, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    entrants = [Entrant('bright', 'bright 1', BrightFollower), Entrant('box', '1', AbsentFollower)]
    compare(entrants, tmp_path / 'SET', out, command='a test')
    found = json.loads((out / 'results.json').read_text())['trackers']
    assert 'davis' not in found['box']
    row = found['bright']['davis']['SET/square']
    assert found['bright']['davis']['mean'] == row
    # J of frames 2 to 7: 1, 1, .5, 1, 1, 1; quarters end at 1, 2, 3 (3.5 + 1e-10: 4), 5, 6.
    assert row['j_mean'] == pytest.approx(5.5 / 6)
    assert row['j_recall'] == pytest.approx(5 / 6)
    assert row['j_decay'] == pytest.approx(0)
    assert row['f_mean'] < 1
    assert '| bright | 0.917 | 0.833 | 0.000 |' in (out / 'results.md').read_text()


def test_calibration_error_is_the_mean_distance_of_confidence_from_hits() -> None:
    # Bin .8 to .9: two frames at .85, one hit: distance .35. Bin 0 to .1: a miss at .05.
    # Bin .9 to 1, certainty included: one hit at 1.
    confidence = np.array([0.85, 0.85, 0.05, 1.0])
    belief = Beliefs(confidence, np.array([True, False, False, True]))
    assert belief.error == pytest.approx((2 * 0.35 + 0.05 + 0) / 4)


@pytest.mark.parametrize(
    ('overlap', 'frames'),
    [
        # Lost from frame 6 on, for good; found again by chance in frame 8.
        ([1, 0.9, 0, 0.8, 0.7, 0.6, 0, 0, 0.9, 0, 0, 0], [0, 5, 6, 11, 11, 11]),
        # Never lost: the lowest overlap.
        ([1, 0.9, 0.3, 0.8], [0, 1, 2, 3, 3, 3]),
        # Lost at once.
        ([1, 0, 0, 0], [0, 0, 1, 3, 3, 3]),
    ],
)
def test_a_sheet_shows_the_loss(overlap: list[float], frames: list[int]) -> None:
    counted = np.arange(1, len(overlap))
    np.testing.assert_array_equal(telling_frames(np.array(overlap), counted), frames)


def test_jobs_side_by_side_give_the_same_answers(drawn: Path) -> None:
    for jobs in ('1', '2'):
        arguments = ['--sequences', str(drawn), '--trackers', 'memtrack', '--peers', 'mil']
        module = [sys.executable, '-m', 'memtrack_ros.evaluation']
        out = ['--jobs', jobs, '--out', drawn / f'out{jobs}']
        one_thread = os.environ | {'OMP_NUM_THREADS': '1'}
        subprocess.run([*module, 'run', *arguments, *out], check=True, env=one_thread)
    for tracker in ('memtrack', 'mil'):
        one, two = (
            np.loadtxt(drawn / f'out{jobs}/passes/{tracker}/DRAWN/scene.csv', skiprows=2,
                       delimiter=',', usecols=(1, 2, 3, 4, 5))
            for jobs in '12'
        )  # fmt: skip
        np.testing.assert_array_equal(one, two)
    assert 'DRAWN/torn' in (drawn / 'out2' / 'results.md').read_text()


@pytest.mark.parametrize(
    ('peer', 'auc'), [('kcf', 0.414), pytest.param('csrt', 0.508, marks=pytest.mark.long)]
)
def test_a_peer_scores_as_published(peer: str, auc: float, sequences: Path, tmp_path: Path) -> None:
    # The figures that come with these sequences.
    arguments = ['--sequences', str(sequences), '--peers', peer, '--jobs', '1']
    given = ['run', *arguments, '--trackers', '', '--out', str(tmp_path)]
    assert command_line.main(given) == 0
    entry = json.loads((tmp_path / 'results.json').read_text())['trackers'][peer]
    assert entry['summary']['success_auc'] == pytest.approx(auc, abs=0.02)
    assert len(entry['sequences']) == 16


@pytest.mark.parametrize(
    ('name', 'message'),
    [('nobody', 'There is no peer'), ('nano', 'nanotrack_backbone_sim.onnx; name the folder')],
)
def test_a_peer_that_cannot_be_had_is_named(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        peers.create(name, None)


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
    answers = passed(SessionFollower(session), sequence)
    assert np.isfinite(answers.boxes).all()
    assert ((answers.confidence[1:] >= 0) & (answers.confidence[1:] <= 1)).all()
    assert session.tracker.bank.status().writes >= 1
    again = passed(SessionFollower(session), sequence)
    np.testing.assert_array_equal(again.boxes, answers.boxes)


def test_a_tracker_without_memory_of_later_frames_writes_none(drawn: Path) -> None:
    sequence = read_sequence(drawn / 'DRAWN' / 'scene')
    session = Session(trackers.create('stmtrack'), Presence(remembered=0.0))
    passed(SessionFollower(session, remembers=False), sequence)
    alone = session.tracker.bank.status()
    passed(SessionFollower(session), sequence)
    assert alone.entries == 1
    assert session.tracker.bank.status().entries > 1
    arguments = ['--trackers', 'memtrack', '--first-frame', '--jobs', '1']
    out = drawn / 'out'
    assert command_line.main(['run', '--sequences', str(drawn), *arguments, '--out', str(out)]) == 0
    found = json.loads((out / 'results.json').read_text())['trackers']
    assert set(found) == {'memtrack', 'memtrack-first'}
    kept = [(out / f'passes/{name}/DRAWN/scene.csv').read_text() for name in found]
    assert kept[0] != kept[1]


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
