"""All objects of a video at once: a folder as DAVIS 2017 and YouTube-VOS have it, in and out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from test_mask_metrics import edge_pixels, near

from memtrack_ros.data.labelled_videos import labelled_videos
from memtrack_ros.data.masks import read_labels
from memtrack_ros.data.results.palette import palette, write_labels
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation import vos
from memtrack_ros.evaluation.__main__ import main

HEIGHT, WIDTH, FRAMES, LATE = 120, 160, 6, 2
NOISE = np.random.default_rng(0).integers(90, 130, (HEIGHT, WIDTH, 3), np.uint8)


def drawn(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A red disk that moves, and from frame LATE on a blue box before it; the frame, its labels."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(labels, (60 + 2 * number, 60), 24, 1, cv2.FILLED)
    if number >= LATE:
        labels[50:90, 75:110] = 2
    frame = NOISE.copy()
    frame[labels == 1], frame[labels == 2] = (40, 40, 220), (220, 80, 30)
    return frame, labels


def lay(folder: Path, size: str, labelled: set[int]) -> Path:
    """The video `both` as DAVIS (size 480p) or YouTube-VOS lay it, some frames of it labelled."""
    images, annotations = folder / 'JPEGImages' / size / 'both', folder / 'Annotations' / size
    images.mkdir(parents=True)
    for number in range(FRAMES):
        frame, labels = drawn(number)
        cv2.imwrite(str(images / f'{number:05}.jpg'), frame)
        if number in labelled:
            write_labels(annotations / 'both' / f'{number:05}.png', labels)
    return folder


def run(folder: Path, out: Path, *more: str) -> int:
    chosen = ['--trackers', 'samn', '--device', 'cpu', '--sequences', str(folder)]
    return main(['vos', *chosen, '--out', str(out), *more])


def test_davis_in_and_out(tmp_path: Path) -> None:
    folder = lay(tmp_path / 'DAVIS', '480p', set(range(FRAMES)))
    (folder / 'ImageSets' / '2017').mkdir(parents=True)
    (folder / 'ImageSets' / '2017' / 'val.txt').write_text('both\n')
    assert run(folder, tmp_path / 'out', '--split', '2017/val') == 0
    answers = sorted((tmp_path / 'out' / 'samn' / 'both').iterdir())
    assert [path.name for path in answers] == [f'{number:05}.png' for number in range(FRAMES)]
    labels = []
    for number, path in enumerate(answers):
        image = Image.open(path)
        # As the benchmark's own evaluation reads them: indices of a palette.
        assert (image.mode, image.size) == ('P', (WIDTH, HEIGHT))
        labels.append(np.array(image))
        assert set(np.unique(labels[-1])) <= ({0, 1} if number < LATE else {0, 1, 2})
    assert np.array_equal(labels[0], drawn(0)[1])
    assert np.array_equal(labels[LATE] == 2, drawn(LATE)[1] == 2)
    scores = json.loads((tmp_path / 'out' / 'vos.json').read_text())['samn']
    # Boundaries match within .8 % of the diagonal of 160 x 120, which is 200: 1.6, so 2 pixels.
    radius = 2
    for label, begun in ((1, 0), (2, LATE)):
        # Without the frame that an object begins in, and the last.
        j, f = [], []
        for number in range(begun + 1, FRAMES - 1):
            ours, truth = labels[number] == label, drawn(number)[1] == label
            j.append((ours & truth).sum() / (ours | truth).sum())
            edge, true_edge = edge_pixels(ours), edge_pixels(truth)
            precision, recall = near(edge, true_edge, radius), near(true_edge, edge, radius)
            f.append(2 * precision * recall / (precision + recall))
        row = scores[f'both.{label}']
        for name, values in (('j', j), ('f', f)):
            assert row[f'{name}_mean'] == pytest.approx(np.mean(values))
            assert row[f'{name}_recall'] == pytest.approx(np.mean(np.array(values) > 0.5))
            # Of two or four frames: the first half less the last, of two the first less the last.
            half = max(len(values) // 2, 1)
            decay = np.mean(values[:half]) - np.mean(values[half:])
            assert row[f'{name}_decay'] == pytest.approx(decay)
            assert row[f'{name}_mean'] > 0.5


def test_youtube_vos_valid_in_and_out(tmp_path: Path) -> None:
    folder = lay(tmp_path / 'valid', '', {0, LATE})
    assert run(folder, tmp_path / 'out') == 0
    answers = tmp_path / 'out' / 'samn' / 'Annotations' / 'both'
    assert len(list(answers.iterdir())) == FRAMES
    last = read_labels(answers / f'{FRAMES - 1:05}.png')
    truth = drawn(FRAMES - 1)[1]
    for label in (1, 2):
        ours, true = last == label, truth == label
        assert (ours & true).sum() / (ours | true).sum() > 0.5
    # Its truth is its server's: nothing is scored.
    assert json.loads((tmp_path / 'out' / 'vos.json').read_text()) == {'samn': {}}


def test_the_palette_is_that_of_pascal_voc() -> None:
    colours = np.array(palette()).reshape(256, 3).tolist()
    known = {0: [0, 0, 0], 1: [128, 0, 0], 2: [0, 128, 0], 3: [128, 128, 0], 4: [0, 0, 128]}
    known |= {8: [64, 0, 0], 15: [192, 128, 128], 64: [32, 0, 0], 255: [224, 224, 192]}
    assert {label: colours[label] for label in known} == known


def test_what_cannot_be_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SequenceError, match='no labelled videos'):
        labelled_videos(tmp_path, [])
    folder = lay(tmp_path / 'DAVIS', '480p', {0})
    write_labels(folder / 'Annotations' / '480p' / 'both' / '00009.png', drawn(0)[1])
    assert run(folder, tmp_path / 'out') == 2
    assert 'both: frame 9 is labelled, but not there' in capsys.readouterr().err
    (folder / 'Annotations' / '480p' / 'both' / '00009.png').unlink()
    empty = np.zeros((HEIGHT, WIDTH), np.uint8)
    write_labels(folder / 'Annotations' / '480p' / 'both' / '00000.png', empty)
    assert run(folder, tmp_path / 'out') == 2
    assert 'both: no object is labelled' in capsys.readouterr().err
    (folder / 'val.txt').write_text('neither\n')
    assert run(folder, tmp_path / 'out', '--split', 'val') == 2
    told = capsys.readouterr().err
    assert '1 of the 1 videos of val are not in it, the first is neither' in told
    assert run(folder, tmp_path / 'out', '--trackers', '') == 2
    assert '--trackers names none' in capsys.readouterr().err


def test_an_object_too_small_to_point_at_keeps_others_from_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lay(tmp_path / 'valid', '', {0})
    labels = drawn(0)[1]
    labels[2, 2:5] = 2
    write_labels(folder / 'Annotations' / 'both' / '00000.png', labels)
    # And videos beside it: one without labels, one whose labels are of another size.
    (folder / 'JPEGImages' / 'bare').mkdir()
    cv2.imwrite(str(folder / 'JPEGImages' / 'bare' / '00000.jpg'), drawn(0)[0])
    (folder / 'JPEGImages' / 'half').mkdir()
    cv2.imwrite(str(folder / 'JPEGImages' / 'half' / '00000.jpg'), drawn(0)[0])
    write_labels(folder / 'Annotations' / 'half' / '00000.png', labels[::2, ::2])
    assert run(folder, tmp_path / 'out') == 0
    told = ' '.join(capsys.readouterr().out.split())
    assert 'skipped: both: object 2 of frame 1 is no prompt: The mask marks 3 pixels' in told
    assert 'skipped: bare: no images in bare/' in told
    assert 'skipped: half: frame 1 is 160 x 120, but its labels are 80 x 60' in told
    answers = [
        read_labels(tmp_path / 'out' / 'samn' / 'Annotations' / 'both' / f'{number:05}.png')
        for number in range(FRAMES)
    ]
    assert np.array_equal(answers[0], labels)
    assert all(set(np.unique(answer)) == {0, 1} for answer in answers[1:])


class Interrupted(BaseException):
    """As a user's Ctrl-C."""


def test_a_stopped_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = lay(tmp_path / 'DAVIS', '480p', set(range(FRAMES))), tmp_path / 'out'
    for part in ('JPEGImages', 'Annotations'):
        shutil.copytree(folder / part / '480p' / 'both', folder / part / '480p' / 'copy')
    written: list[Path] = []
    allowed = FRAMES + 2  # the second video is stopped in its third frame

    def counted(path: Path, labels: NDArray[np.uint8]) -> None:
        if len(written) == allowed:
            raise Interrupted
        write_labels(path, labels)
        written.append(path)

    monkeypatch.setattr(vos, 'write_labels', counted)
    with pytest.raises(Interrupted):
        run(folder, out)
    assert not (out / 'vos.json').exists()
    written, allowed = [], 100
    assert run(folder, out) == 0
    assert {path.parent.name for path in written} == {'copy'}
    scores = json.loads((out / 'vos.json').read_text())['samn']
    for label in (1, 2):
        assert scores[f'both.{label}'] == scores[f'copy.{label}']
    for number in range(FRAMES):
        one, other = (out / 'samn' / name / f'{number:05}.png' for name in ('both', 'copy'))
        assert one.read_bytes() == other.read_bytes()
    # What lacks an answer, and what has other labels, is segmented anew.
    (out / 'samn' / 'copy' / '00003.png').unlink()
    written = []
    assert run(folder, out) == 0
    assert {path.parent.name for path in written} == {'copy'}
    write_labels(folder / 'Annotations' / '480p' / 'both' / '00004.png', drawn(3)[1])
    written = []
    assert run(folder, out) == 0
    assert {path.parent.name for path in written} == {'both'}


def test_what_other_settings_found_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / 'a' / 'video.json'
    made = vos.Segmented({'video.1': {'j_mean': 0.5}}, ['video: said'])
    made.save(file, 'samn compact 12, labels 34')
    assert vos.load(file, 'samn compact 12, labels 34') == made
    assert vos.load(file, 'samn compact 12 every=1, labels 34') is None
    assert vos.load(tmp_path / 'none.json', '') is None
    file.write_text(file.read_text()[:40])
    assert vos.load(file, 'samn compact 12, labels 34') is None
