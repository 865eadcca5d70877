"""Real video labels itself: what is kept are frames in which all agree, in a folder to train on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.windows import Window
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.training import __main__ as command
from memtrack_ros.training import label
from memtrack_ros.training.label import Labelled, ObjectMasks, Pointed
from memtrack_ros.training.real_clips import RealClips

HEADING = 'file\tframe\tx\ty\tw\th\tobject\tlast_frame\n'
WIDTH, HEIGHT, FRAMES = 240, 180, 10
TITLE = 'some-scene-0-a-drawn-thing'


@pytest.fixture(scope='module')
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video of a drawn scene, and a table that points at its target."""
    folder = tmp_path_factory.mktemp('video')
    scene = drawn_scene(7, WIDTH, HEIGHT, FRAMES)
    code = cv2.VideoWriter.fourcc(*'MJPG')
    video = cv2.VideoWriter(str(folder / 'Some Scene.avi'), code, 25, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        video.write(scene.render(number).image)
    video.release()
    box = '\t'.join(f'{value:.0f}' for value in scene.render(0).box)
    row = f'Some Scene.avi\t0\t{box}\ta (drawn) thing\t{FRAMES - 1}\n'
    (folder / 'prompts.tsv').write_text(HEADING + row)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit status."""
    monkeypatch.setattr('sys.argv', ['training', 'label', *map(str, words)])
    return command.main()


def test_the_command_labels_a_video_that_trainings_read(
    filmed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'set'
    assert run(monkeypatch, filmed, out, '--trunk', 'dmv') == 0
    assert f'{TITLE}: {FRAMES} of {FRAMES} frames' in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ['sheet00.png', TITLE]
    (sequence,) = read_sequences(tmp_path)
    assert len(sequence) == FRAMES
    assert sequence.masks is not None
    scene = drawn_scene(7, WIDTH, HEIGHT, FRAMES)
    overlaps = []
    for number in range(FRAMES):
        truth, mask = scene.render(number).mask, sequence.mask(number)
        assert sequence.truth[number].tolist() == list(cv2.boundingRect(mask))
        overlaps.append((truth & mask > 0).sum() / (truth | mask > 0).sum())
    assert np.mean(overlaps) > 0.6
    clips = RealClips(tmp_path).draw(torch.Generator().manual_seed(0), 2, 64, 3, 0.0)
    assert clips.exact.all() and clips.present[:, 0].all()
    # What is there stays, and is not made again.
    image = out / TITLE / 'img/000001.jpg'
    image.write_bytes(b'')
    assert run(monkeypatch, filmed, out, '--trunk', 'dmv') == 0
    assert image.read_bytes() == b''


def test_what_was_thrown_out_by_hand_is_not_labelled(
    filmed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label, 'THROWN_OUT', {TITLE})
    assert run(monkeypatch, filmed, tmp_path / 'set') == 0
    assert not (tmp_path / 'set').exists()


@pytest.mark.parametrize(
    ('row', 'said'),
    [
        (None, 'prompts.tsv is no table of boxes'),
        ('file\tframe\na.avi\t0\n', 'prompts.tsv is no table of boxes'),
        ('Some Scene.avi\t0\t1\t2\twide\t4\tthing\t9\n', 'prompts.tsv is no table of boxes'),
        ('none.avi\t0\t1\t2\t30\t40\tthing\t9\n', 'none.avi shows none of the frames 0 to 9'),
        ('Some Scene.avi\t5\t1\t2\t30\t40\tthing\t3\n', 'shows none of the frames 5 to 3'),
        ('Some Scene.avi\t900\t1\t2\t30\t40\tthing\t999\n', 'shows none of the frames 900 to 999'),
        ('Some Scene.avi\t0\t1\t2\t0\t-4\tthing\t9\n', 'The box x 1, y 2, w 0, h -4 has less than'),
    ],
)
def test_wrong_tables_are_refused_in_a_sentence(
    row: str | None,
    said: str,
    filmed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prompts = tmp_path / 'prompts.tsv'
    if row is not None:
        prompts.write_text(row if row.startswith('file') else HEADING + row)
    assert run(monkeypatch, filmed, tmp_path / 'set', '--prompts', prompts) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / 'set').exists()


def test_a_long_video_is_thinned_evenly(tmp_path: Path) -> None:
    code = cv2.VideoWriter.fourcc(*'MJPG')
    video = cv2.VideoWriter(str(tmp_path / 'a.avi'), code, 25, (64, 48))
    for number in range(21):
        video.write(np.full((48, 64, 3), 10 * number, np.uint8))
    video.release()

    def numbers(first: int, last: int, most: int) -> list[int]:
        frames = label.read_frames(tmp_path / 'a.avi', first, last, most)
        return [round(frame.mean() / 10) for frame in frames]

    assert numbers(0, 20, 5) == [0, 5, 10, 15, 20]
    assert numbers(4, 6, 50) == [4, 5, 6]
    assert numbers(18, 40, 50) == [18, 19, 20]


def test_a_sequence_is_named_by_video_frame_and_object() -> None:
    box = np.zeros(4)
    title = label.title_of(Pointed('../a/B_c 1.mp4', 40, box, 'cup: "red"/left', 90))
    assert title == 'b-c-1-40-cup-red-left'
    assert all(name == name.lower() and '/' not in name for name in label.THROWN_OUT)


def test_only_the_largest_part_of_a_mask_stays() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[2:5, 2:5] = mask[10:18, 10:18] = 255
    expected = mask.copy()
    expected[:10] = 0
    assert np.array_equal(label.largest_part(mask), expected)
    assert not label.largest_part(np.zeros_like(mask)).any()


def test_a_view_has_room_around_the_object() -> None:
    window = label.view(np.array([10.0, 20, 40, 40]))
    assert (window.center_x, window.center_y) == tuple(boxes.centre(np.array([10.0, 20, 40, 40])))
    assert window.pitch * window.side == pytest.approx(80)
    # Of a long one, all can be seen.
    assert label.view(np.array([0.0, 0, 100, 4])).pitch * label.SIDE == pytest.approx(140)


def colours(frame: NDArray[np.uint8], window: Window) -> torch.Tensor:
    """Features that tell blue from green and red."""
    return torch.nn.functional.avg_pool2d(
        label.picture(frame, window) - 100, label.SIDE // label.CELLS
    )


def test_a_mask_is_carried_on_and_what_is_remembered_is_bounded() -> None:
    def painted(x: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        frame = np.full((120, 160, 3), (200, 60, 30), np.uint8)
        mask = np.zeros((120, 160), np.uint8)
        cv2.circle(mask, (x, 60), 20, 255, -1)
        frame[mask > 0] = 20, 60, 220
        return frame, mask

    segmenter = ObjectMasks(colours, *painted(60))
    for x in range(64, 92, 4):
        frame, mask = painted(x)
        found = segmenter.segment(frame, np.array([x - 24.0, 38, 40, 40]))
        assert (found & mask > 0).sum() / (found | mask > 0).sum() > 0.9
        segmenter.remember(frame, found)
    assert len(segmenter._memory) == 1 + label.LATEST


def test_a_contact_sheet_shows_outlines() -> None:
    mask = np.zeros((130, 200), np.uint8)
    mask[40:90, 50:150] = 255
    labelled = Labelled([np.zeros((130, 200, 3), np.uint8)] * 3, [mask] * 3)
    row = label.sheet(labelled)
    assert row.shape == (130, 8 * 200, 3)
    assert row[40, 100].tolist() == row[40, 1500].tolist() == [0, 255, 0]
    assert not row[65, 100].any()


def test_weights_without_a_trunk_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='There is no trunk in these weights'):
        label.trunk_of({'head.si': torch.zeros(1)})
