"""The adapters to other toolkits, each run by the real toolkit on sequences drawn here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from memtrack_ros import trackers
from memtrack_ros.data.sequences import read_sequence
from memtrack_ros.errors import ImageError, PromptError
from memtrack_ros.evaluation import metrics
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Estimate, Prompt, Session, State

NEEDS = 'needs the toolkits: pip install "memtrack_ros[toolkits]"'
trax = pytest.importorskip('trax', reason=NEEDS)
experiments = pytest.importorskip('got10k.experiments', reason=NEEDS)

from tracking import Maker, boxed, follow  # noqa: E402
from trax.client import Client  # noqa: E402

from memtrack_ros.evaluation.toolkits import vot  # noqa: E402
from memtrack_ros.evaluation.toolkits.got10k import MemtrackTracker  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
VOT_TOOLKIT = Path(sys.prefix) / 'vot'
WIDTH, HEIGHT, FRAMES = 160, 120, 8
ONE_THREAD = {'OMP_NUM_THREADS': '1'}  # enough for such frames; on busy cores two would wait

needs_vot_toolkit = pytest.mark.skipif(
    not VOT_TOOLKIT.is_dir(),
    reason='needs the VOT toolkit: make test installs it, or '
    f'pip install --no-deps --target {VOT_TOOLKIT} -r test/vot-requirements.txt',
)


class Clip(NamedTuple):
    """Frames with the masks of their target, empty where it is absent."""

    frames: list[Pixels]
    masks: list[Pixels]

    @property
    def truth(self) -> Floats:
        """Boxes (frames, 4), nan where the target is absent."""
        return np.array(
            [cv2.boundingRect(mask) if mask.any() else [np.nan] * 4 for mask in self.masks], float
        )


@pytest.fixture(scope='module', autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes: what is found here and there is the same to the last digit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def scene() -> Clip:
    """A drawn target that moves."""
    drawn = drawn_scene(4, WIDTH, HEIGHT, FRAMES, strength=0.3)
    shown = [drawn.render(number) for number in range(FRAMES)]
    return Clip([frame.image for frame in shown], [frame.mask for frame in shown])


def patches(turn: int = FRAMES) -> Clip:
    """Two checkered patches that lie still; from frame `turn` on the target is the right one."""
    image = np.random.default_rng(1).normal([60, 90, 60], 8, (HEIGHT, WIDTH, 3))
    checks = np.indices((HEIGHT, WIDTH)).sum(0) // 10 % 2
    masks = [boxes.box_mask([left, 40, 30, 40], HEIGHT, WIDTH) for left in (20, 110)]
    red_white, blue_yellow = [[30, 30, 220], [240, 240, 240]], [[220, 40, 40], [0, 220, 220]]
    for mask, colours in zip(masks, (red_white, blue_yellow), strict=True):
        image[mask > 0] = np.array(colours)[checks][mask > 0]
    frame = np.clip(image, 0, 255).astype(np.uint8)
    return Clip([frame] * FRAMES, [masks[number >= turn] for number in range(FRAMES)])


def followed(frames: Sequence[Pixels], box: Floats) -> list[Estimate]:
    """What a session says of the frames after the first, whose target is in `box`."""
    session = Session(trackers.create('stmtrack', device='cpu'))
    session.prompt(frames[0], Prompt('box', box))
    estimates = []
    for frame in frames[1:]:
        estimates.append(session.step(frame))
        session.remember()
    return estimates


# GOT-10k

ONE_ONE = np.array([1, 1, 0, 0])  # its first pixel


def write_got10k(folder: Path, clips: dict[str, Clip]) -> None:
    """The validation set of a GOT-10k; its pixels are numbered from 1."""
    for name, clip in clips.items():
        place = folder / 'val' / name
        place.mkdir(parents=True)
        for number, frame in enumerate(clip.frames, 1):
            cv2.imwrite(str(place / f'{number:08}.jpg'), frame)
        absent = np.isnan(clip.truth[:, 0])
        written = np.where(absent[:, None], 0, clip.truth + ONE_ONE)
        np.savetxt(place / 'groundtruth.txt', written, '%.4f', ',')
        np.savetxt(place / 'cover.label', np.where(absent, 0, 8), '%d')
        np.savetxt(place / 'absence.label', absent, '%d')
        np.savetxt(place / 'cut_by_image.label', np.zeros(len(absent)), '%d')
        (place / 'meta_info.ini').write_text(f'[METAINFO]\nresolution: ({WIDTH}, {HEIGHT})')
    (folder / 'val' / 'list.txt').write_text('\n'.join(clips))


def test_got10k_sees_a_paper_variant_as_its_authors_do(make: Maker, scene: Clip) -> None:
    """Whatever its score: weights that learned nothing are sure of nothing."""
    tracker = MemtrackTracker(make('stmtrack', 'paper'))
    tracker.init(Image.fromarray(scene.frames[0][..., ::-1]), scene.truth[0] + ONE_ONE)
    for number, frame in enumerate(scene.frames[1:4], 1):
        tracker.update(Image.fromarray(frame[..., ::-1]))
        assert tracker.session.state is State.TRACKING
        assert (tracker.session.memory.writes, tracker.session.memory.refused) == (number + 1, 0)


def test_got10k_runs_and_reports_what_our_metrics_say(tmp_path: Path, scene: Clip) -> None:
    hiding = patches()
    hiding.frames[4], hiding.masks[4] = np.full_like(hiding.frames[0], 90), hiding.masks[0] * 0
    clips = {'moving': scene, 'hiding': hiding}
    write_got10k(tmp_path, clips)
    places = [str(tmp_path / name) for name in ('results', 'reports')]
    experiment = experiments.ExperimentGOT10k(str(tmp_path), 'val', *places)
    tracker = MemtrackTracker(trackers.create('stmtrack', device='cpu'))
    assert tracker.name == 'stmtrack-compact'
    experiment.run(tracker)
    report = experiment.report([tracker.name])[tracker.name]

    means, counts = [], []
    for name in clips:
        file = tmp_path / 'results' / 'GOT-10k' / tracker.name / name / f'{name}_001.txt'
        answers = np.loadtxt(file, delimiter=',') - ONE_ONE
        assert answers.shape == (FRAMES, 4)
        sequence = read_sequence(tmp_path / 'val' / name)
        # By the toolkit's definition only what lies in the image counts.
        answers = boxes.intersect(answers, WIDTH, HEIGHT)
        row = metrics.score(answers, sequence.truth, np.full(FRAMES, np.nan))
        found = report['seq_wise'][name]
        # Boxes are written with three digits; a pixel is a thirtieth of the target and more.
        assert row['ao'] == pytest.approx(found['ao'], abs=1e-3)
        assert row['sr50'] == pytest.approx(found['sr'], abs=1e-6)
        assert row['ao'] > 0.5
        means.append(row['ao'])
        counts.append(metrics.scored(sequence.truth).size)
    # The toolkit's mean is over frames: all but the first, and the one without the target.
    assert counts == [FRAMES - 1, FRAMES - 2]
    assert report['overall']['ao'] == pytest.approx(np.average(means, weights=counts), abs=1e-3)


def test_got10k_counts_pixels_from_one(scene: Clip) -> None:
    tracker = MemtrackTracker(trackers.create('stmtrack', device='cpu'))
    first, second = (Image.fromarray(frame[..., ::-1]) for frame in scene.frames[:2])
    with pytest.raises(RuntimeError, match='call init first'):
        tracker.update(first)
    # The first pixel is (0, 0) here and (1, 1) there.
    tracker.init(first, scene.truth[0] + ONE_ONE)
    (estimate,) = followed(scene.frames[:2], scene.truth[0])
    assert estimate.roi is not None
    np.testing.assert_array_equal(tracker.update(second), estimate.roi + ONE_ONE)
    with pytest.raises(PromptError, match='box'):
        tracker.init(first, np.array([WIDTH + 10, 5, 20, 20], float))


# TraX


class Process:
    """The tracker process with a client on it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-m', vot.__name__, '--device', 'cpu', *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | ONE_THREAD,
        )
        assert self.process.stdin
        assert self.process.stdout
        streams = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.client = Client(stream=streams, log=lambda _: None)

    def initialise(self, image: Any, region: Any) -> tuple[Any, float]:
        return self._only(self.client.initialize({'color': image}, [(region, {})], {}))

    def update(self, image: Any) -> tuple[Any, float]:
        return self._only(self.client.frame({'color': image}, {}, []))

    def _only(self, answer: tuple[Any, float]) -> tuple[Any, float]:
        ((region, properties),) = answer[0]
        return region, float(properties['confidence'])

    def end(self) -> tuple[int, str]:
        """The exit code and what was said of errors."""
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said.decode()


def laid(region: Any) -> Pixels:
    """A TraX mask in its frame."""
    return np.asarray(vot.as_prompt(region, np.zeros((HEIGHT, WIDTH, 3), np.uint8)).value, np.uint8)


def overlap(one: Pixels, other: Pixels) -> float:
    return float(((one > 0) & (other > 0)).sum() / ((one > 0) | (other > 0)).sum())


def as_path(folder: Path, name: str, frame: Pixels) -> Any:
    cv2.imwrite(str(folder / name), frame)
    return trax.FileImage.create(str(folder / name))


def as_memory(frame: Pixels) -> Any:
    return trax.MemoryImage.create(np.ascontiguousarray(frame[..., ::-1]))


def as_buffer(frame: Pixels) -> Any:
    return trax.BufferImage.create(cv2.imencode('.png', frame)[1].tobytes())


def test_a_trax_client_gets_what_a_session_finds_and_may_start_anew(
    tmp_path: Path, scene: Clip
) -> None:
    process = Process('--tracker', 'stmtrack', '--region', 'rectangle')
    assert process.client.tracker_name == 'stmtrack'
    assert process.client.region_formats == ['rectangle']
    assert set(process.client.image_formats) == {'path', 'memory', 'buffer'}
    one, two, three, four = scene.frames[:4]
    box = scene.truth[0]
    first, _ = process.initialise(as_path(tmp_path, '1.png', one), trax.Rectangle.create(*box))
    assert first.bounds() == pytest.approx(box)
    answers = [
        process.update(as_path(tmp_path, '2.png', two)),
        process.update(as_memory(three)),
        process.update(as_buffer(four)),
    ]
    expected = followed([one, two, three, four], box)
    # Anew, on a slanted target: the bounds of these corners are x 30, y 20, w 50, h 40.
    corners = trax.Polygon.create([(50.0, 20.0), (80.0, 40.0), (60.0, 60.0), (30.0, 50.0)])
    slanted, _ = process.initialise(as_memory(one), corners)
    assert slanted.bounds() == pytest.approx([30, 20, 50, 40])
    answers.append(process.update(as_memory(two)))
    expected += followed([one, two], np.array([30, 20, 50, 40], float))
    for (region, confidence), estimate in zip(answers, expected, strict=True):
        assert region.bounds() == pytest.approx(estimate.roi, abs=0.01)
        assert confidence == pytest.approx(estimate.confidence, abs=1e-3)

    process.client.quit()
    assert process.end() == (0, '')


def test_a_trax_client_of_a_paper_variant_gets_what_its_authors_would_see(
    make: Maker, scene: Clip
) -> None:
    """Whatever its score, every frame is seen and written, and the next one answered by it."""
    weights = make.weights('stmtrack', 'paper')
    frames, box = scene.frames[:4], scene.truth[0]
    tracker = make('stmtrack', 'paper')
    assert not tracker.gated
    tracker.initialise(frames[0], boxed(frames[0], box))
    expected = list(follow(tracker, frames[1:], box))
    process = Process(
        *('--tracker', 'stmtrack', '--variant', 'paper'),
        *('--weights', str(weights), '--region', 'rectangle'),
    )
    process.initialise(as_memory(frames[0]), trax.Rectangle.create(*box))
    for frame, found in zip(frames[1:], expected, strict=True):
        region, _ = process.update(as_memory(frame))
        assert region.bounds() == pytest.approx(found.box, abs=0.01)
    process.client.quit()
    assert process.end() == (0, '')


def test_the_last_mask_stands_while_the_target_is_not_seen(scene: Clip) -> None:
    nothing = np.full_like(scene.frames[0], 90)
    frames = [*scene.frames[:3], *[nothing] * 6]
    session = Session(trackers.create('samn', device='cpu'))
    session.prompt(frames[0], Prompt('mask', scene.masks[0]))
    found = [scene.masks[0]]
    for frame in frames[1:]:
        estimate = session.step(frame)
        session.remember()
        found.append(found[-1] if estimate.mask is None else estimate.mask)
    assert estimate.mask is None
    process = Process('--tracker', 'samn', '--region', 'mask')
    region, _ = process.initialise(as_memory(frames[0]), trax.Mask.create(scene.masks[0] // 255))
    answers = [region, *(process.update(as_memory(frame))[0] for frame in frames[1:])]
    process.client.quit()
    assert process.end()[0] == 0
    for answer, mask in zip(answers, found, strict=True):
        assert overlap(laid(answer), mask) > 0.98
    np.testing.assert_array_equal(laid(answers[-1]), laid(answers[-2]))


def test_images_are_read_from_files_memory_and_buffers(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    for image in (as_path(tmp_path, 'image.png', frame), as_memory(frame), as_buffer(frame)):
        np.testing.assert_array_equal(vot.read_image(image), frame)
    grey = frame[..., 0].copy()
    for image in (grey, grey.astype(np.uint16) * 256 + 99):
        read = vot.read_image(trax.MemoryImage.create(image))
        np.testing.assert_array_equal(read, np.repeat(grey[..., None], 3, 2))
    torn = trax.BufferImage.create(cv2.imencode('.png', frame)[1].tobytes()[:40])
    with pytest.raises(ImageError, match='buffer cannot be read'):
        vot.read_image(torn)


@pytest.mark.parametrize(
    ('x', 'y', 'rows', 'columns'),
    [(2, 1, [1, 2, 3], [2, 3]), (-1, 3, [3, 4], [0]), (5, -2, [0], [5]), (6, 0, [], [])],
)
def test_a_mask_is_laid_where_its_offset_says(
    x: int, y: int, rows: list[int], columns: list[int]
) -> None:
    part = trax.Mask.create(np.ones((3, 2), np.uint8), x, y)
    prompt = vot.as_prompt(part, np.zeros((5, 6, 3), np.uint8))
    expected = np.zeros((5, 6), np.uint8)
    expected[np.ix_(rows, columns)] = 1
    assert prompt.kind == 'mask'
    np.testing.assert_array_equal(prompt.value, expected)


def test_estimates_become_regions() -> None:
    mask = boxes.box_mask([3, 2, 4, 5], 10, 12)
    # A side of 4 along (3, 4) / 5, one of 2 across it, around (10, 20).
    slanted = OrientedBox(10, 20, 4, 2, float(np.arctan2(4, 3)))
    roi = np.array([3.5, 2, 4, 5])
    seen = Estimate(State.TRACKING, 0.9, 1.0, slanted, roi, mask, False, 3)
    assert vot.as_region(seen, 'rectangle').bounds() == (3.5, 2, 4, 5)
    # Half along is (1.2, 1.6), half across (-.8, .6); corners are half a pixel beyond centres:
    # (10.5, 20.5) -+ along -+ across.
    corners = [(10.1, 18.3), (12.5, 21.5), (10.9, 22.7), (8.5, 19.5)]
    np.testing.assert_allclose(list(vot.as_region(seen, 'polygon')), corners, atol=1e-5)
    laid = vot.as_region(seen, 'mask')
    assert laid.offset() == (0, 0)
    np.testing.assert_array_equal(laid.array(), mask // 255)
    unseen = Estimate(State.LOST, 0.1, 0.0, slanted, roi, None, False, 3)
    assert vot.as_region(unseen, 'mask') is None  # the last one stands
    assert vot.as_region(unseen, 'rectangle').bounds() == (3.5, 2, 4, 5)


@pytest.mark.parametrize('missing', ['trax', 'got10k'])
def test_a_missing_toolkit_is_named_with_its_remedy(missing: str) -> None:
    module = {'trax': 'vot', 'got10k': 'got10k'}[missing]
    program = (
        f'import runpy, sys; sys.modules[{missing!r}] = None; '
        f'runpy.run_module("memtrack_ros.evaluation.toolkits.{module}")'
    )
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert re.search(rf'{missing}\S* is missing: pip install "memtrack_ros\[toolkits\]"$', last)


def test_missing_weights_are_said_before_any_client(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vot.main(['--tracker', 'samn', '--weights', str(tmp_path / 'none.safetensors')]) == 2
    said = capsys.readouterr()
    assert 'none.safetensors' in said.err
    assert said.out == ''


@pytest.mark.parametrize(
    ('sent', 'reason', 'told'),
    [
        ('', 'The TraX client is gone', False),
        ('frame "file://IMAGE"', 'There is no target to follow yet', True),
        (
            'initialize "5,5,9,9"\n@@TRAX:frame "file:///none.png"',
            '/none.png cannot be read as an image',
            True,
        ),
    ],
)
def test_the_process_ends_with_a_sentence(
    tmp_path: Path, sent: str, reason: str, told: bool
) -> None:
    as_path(tmp_path, 'image.png', np.zeros((30, 40, 3), np.uint8))
    arguments = ['--tracker', 'stmtrack', '--device', 'cpu']
    done = subprocess.run(
        [sys.executable, '-m', vot.__name__, *arguments],
        cwd=ROOT,
        env=os.environ | ONE_THREAD,
        input=sent and f'@@TRAX:{sent}\n'.replace('IMAGE', str(tmp_path / 'image.png')),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert reason in done.stderr
    assert 'Traceback' not in done.stderr
    assert (f'trax.reason={reason}' in done.stdout) is told


# VOT

SUPERVISED = """\
title: two sequences as in VOT2015 to VOT2019
experiments:
  baseline:
    type: supervised
    repetitions: 1
    skip_initialize: 2
    analyses:
      - {type: supervised_average_ar, burnin: 1, sensitivity: 30}
      - {type: supervised_eao_score, low: 2, high: 6}
"""
MULTISTART = """\
title: two sequences as in VOT2020 to VOT2022
experiments:
  baseline:
    type: multistart
    analyses:
      - {type: multistart_average_ar, burnin: 1}
      - {type: multistart_eao_score, low: 2, high: 6}
"""


def polygon(mask: Pixels) -> str:
    oriented = OrientedBox.from_mask(mask)
    assert oriented is not None
    return ','.join(f'{value:.3f}' for value in oriented.polygon())


def run_lengths(mask: Pixels) -> str:
    """A mask as VOT writes it: m, offset, size, and how many 0, 1, 0, ... follow each other."""
    pixels = np.concatenate([[0], mask.reshape(-1) > 0, [2]])
    runs = np.diff(np.flatnonzero(np.diff(pixels)), prepend=0)
    return ','.join(map(str, ['m0', 0, mask.shape[1], mask.shape[0], *runs]))


def write_vot(folder: Path, clips: dict[str, Clip], stack: str, tracker: str, region: str) -> None:
    """What a workspace of the VOT toolkit is made of."""
    (folder / 'stack.yaml').write_text(stack)
    (folder / 'trackers.ini').write_text(
        f'[{tracker}]\n'
        'protocol = trax\ntimeout = 120\n'
        f'command = {sys.executable} -m {vot.__name__} '
        f'--tracker {tracker} --region {region} --device cpu\n'
        f'env_PYTHONPATH = {ROOT}\n'
        + ''.join(f'env_{name} = {value}\n' for name, value in ONE_THREAD.items())
    )
    for name, clip in clips.items():
        place = folder / 'sequences' / name
        (place / 'color').mkdir(parents=True)
        for number, frame in enumerate(clip.frames, 1):
            cv2.imwrite(str(place / 'color' / f'{number:08}.jpg'), frame)
        (place / 'sequence').write_text('channels.color=color/%08d.jpg\nfps=30\nformat=default\n')
        write = polygon if region == 'polygon' else run_lengths
        (place / 'groundtruth.txt').write_text('\n'.join(map(write, clip.masks)))
        # In the multi-start protocol runs begin here: forward in the first, backward in the last.
        anchors = ['1', *['0'] * (len(clip.frames) - 2), '-1']
        (place / 'anchor.value').write_text('\n'.join(anchors))
    (folder / 'sequences' / 'list.txt').write_text('\n'.join(clips))


def run_vot(workspace: Path, *arguments: str) -> str:
    """A command of the VOT toolkit, in a process of its own; returns what it says."""
    ours = 'LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE'
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {
        'PYTHONPATH': str(VOT_TOOLKIT),
        'NUMBA_DISABLE_JIT': '1',  # for these few frames compiling takes longer
        'https_proxy': 'http://127.0.0.1:9',  # it looks for updates of itself; nobody answers
    }
    done = subprocess.run(
        [sys.executable, '-m', 'vot', *arguments, '--workspace', str(workspace)],
        cwd=workspace,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def evaluate(workspace: Path, tracker: str) -> tuple[list[Any], float]:
    """What the toolkit's two analyses say of the tracker: of accuracy and robustness, and EAO."""
    run_vot(workspace, 'initialize', '--nodownload', str(workspace / 'stack.yaml'))
    assert 'concluded successfuly' in run_vot(workspace, 'evaluate', tracker)
    assert 'successful' in run_vot(workspace, 'analysis', tracker, '--name', 'analysis')
    written = json.loads((workspace / 'analysis' / 'analysis.json').read_text())
    ((ar,), ((eao,),)) = written['results']['baseline']['results']
    return ar, eao[0] if isinstance(eao, list) else eao


@needs_vot_toolkit
def test_vot_starts_the_tracker_again_where_it_fails(tmp_path: Path, scene: Clip) -> None:
    clips = {'moving': scene, 'turning': patches(turn=4)}
    write_vot(tmp_path, clips, SUPERVISED, 'stmtrack', 'polygon')
    (accuracy, failures, (robustness, _), length), eao = evaluate(tmp_path, 'stmtrack')
    # The truth of the second jumps to the other patch: the tracker stays where it was, without
    # overlap, and is started again on that other one. One failure in two sequences of 8 frames.
    assert failures == 0.5
    assert length == FRAMES
    assert robustness == pytest.approx(np.exp(-30 * 0.5 / FRAMES))
    assert 0.5 < accuracy <= 1
    assert 0 < eao <= 1
    place = tmp_path / 'results' / 'stmtrack' / 'baseline' / 'moving'
    said = [float(c) for c in (place / 'moving_001_confidence.value').read_text().split()]
    assert len(said) == FRAMES - 1
    assert all(0 <= confidence <= 1 for confidence in said)


@needs_vot_toolkit
def test_vot_compares_masks_from_many_starts(tmp_path: Path, scene: Clip) -> None:
    write_vot(tmp_path, {'moving': scene, 'still': patches()}, MULTISTART, 'samn', 'mask')
    (accuracy, robustness, *_), eao = evaluate(tmp_path, 'samn')
    # Nowhere is the overlap below .1 for good: every frame is tracked.
    assert robustness == 1
    assert 0.5 < accuracy <= 1
    assert 0 < eao <= 1
    files = {path.name for path in tmp_path.glob('results/samn/baseline/*/*.bin')}
    assert files == {f'{name}_0000000{n}.bin' for name in ('moving', 'still') for n in (0, 7)}
