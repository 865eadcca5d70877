"""What every tracker promises, published and compact."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from tracking import Maker, Video, all_same, boxed, changed, follow, live_tensors, remember, same

from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory.bank import BankStatus
from memtrack_ros.session import Prompt, Session
from memtrack_ros.trackers import NAMES, VARIANTS, Observation, Prior, Target, Tracker
from memtrack_ros.weights.files import Calibration

SEGMENTING = {'samn', 'cmedfl'}  # as published; all compact ones do
CAPACITY = {
    'stmtrack': {'compact': 128, 'paper': 256},
    'memtrack': {'compact': 8, 'paper': 8},
    'dmv': {'compact': 8, 'paper': 32},
    'samn': {'compact': 8, 'paper': 32},
    'cmedfl': {'compact': 2304, 'paper': 16384},
}
COMPACT_FILE = 8 * 2**20  # bytes, at most

# Frames followed before a tracker's state is taken, and those from there on, which must be found
# alike. The published ones are slow on a CPU; DMV stores a second frame only after 30.
BEFORE = {
    (name, variant): 8 if variant == 'compact' else 1 for variant in VARIANTS for name in NAMES
}
BEFORE['dmv', 'compact'] = 32
AFTER = {'compact': 20, 'paper': 2}
REAL = 5  # frames of every real sequence


class Run(NamedTuple):
    """A tracker that has followed the video, and what it said meanwhile.

    `found` in every frame; the bank's `statuses` before the first frame, then after every one; the
    `state` before the frame number `middle`.
    """

    tracker: Tracker
    found: list[Observation]
    statuses: list[BankStatus]
    middle: int
    state: dict[str, torch.Tensor]


@pytest.fixture(scope='module', params=BEFORE, ids='-'.join)
def run(request: pytest.FixtureRequest, make: Maker, video: Video) -> Run:
    name, variant = request.param
    tracker = make(name, variant)
    middle = 1 + BEFORE[name, variant]
    statuses = [tracker.bank.status()]
    found = [tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))]
    statuses.append(tracker.bank.status())
    for answer in follow(tracker, video.frames[1 : middle + AFTER[variant]], video.box):
        found.append(answer)
        statuses.append(tracker.bank.status())
        if len(found) == middle:
            state = tracker.state()
    return Run(tracker, found, statuses, middle, state)


@pytest.fixture
def tracker(run: Run) -> Tracker:
    """The tracker, where it was in the middle."""
    run.tracker.bank.frozen = False
    run.tracker.restore(run.state)
    return run.tracker


@pytest.fixture(scope='module')
def other(run: Run, make: Maker) -> Tracker:
    """Another of its kind; the bytes that the bank is known to need are enough for its own."""
    return make(run.tracker.name, run.tracker.variant, max_bytes=run.tracker.bank.bytes)


def check(found: Observation, frame: Pixels) -> None:
    """That it is a score, a box and a mask of the frame."""
    assert 0 <= found.score <= 1
    assert found.box.shape == (4,)
    assert np.isfinite(found.box).all()
    assert found.box[2:].min() > 0
    assert found.mask.dtype == np.uint8
    assert found.mask.shape == frame.shape[:2]
    assert set(np.unique(found.mask)) <= {0, 255}


def test_it_is_what_it_was_asked_to_be(run: Run, request: pytest.FixtureRequest) -> None:
    tracker = run.tracker
    assert f'{tracker.name}-{tracker.variant}' == request.node.callspec.id
    assert tracker.segments == (tracker.variant == 'compact' or tracker.name in SEGMENTING)


def test_the_first_observation_has_the_prompts_box(run: Run, video: Video) -> None:
    assert np.array_equal(run.found[0].box, video.box)
    assert run.found[0].mask.any()


def test_every_answer_is_a_score_a_box_and_a_mask(run: Run, video: Video) -> None:
    for found, frame in zip(run.found, video.frames, strict=False):
        check(found, frame)
        filled = boxes.box_mask(found.box, *frame.shape[:2])
        assert run.tracker.segments or np.array_equal(found.mask, filled)


def test_the_bank_never_grows_and_counts_every_frame(run: Run) -> None:
    capacity = CAPACITY[run.tracker.name][run.tracker.variant]
    for frames, status in enumerate(run.statuses):
        assert status.bytes == run.statuses[0].bytes
        assert status.entries <= status.capacity == capacity
        assert status.writes + status.refused == frames
    held = sum(tensor.nbytes for name, tensor in run.state.items() if name.startswith('bank.'))
    assert held == pytest.approx(run.statuses[0].bytes, rel=0.01)


def test_locating_changes_nothing(tracker: Tracker, run: Run, video: Video) -> None:
    frame, box = video.frames[run.middle], run.found[run.middle - 1].box
    before = tracker.state()
    usual, wide = (tracker.locate(frame, Prior(box, search)) for search in (1.0, 1.5))
    assert same(tracker.locate(frame, Prior(box)), usual)
    assert same(tracker.locate(frame, Prior(box, 1.5)), wide)
    assert changed(before, tracker.state()) == set()
    check(wide, frame)


def test_boxes_are_as_large_as_the_prompt_would_have_them(
    run: Run, make: Maker, video: Video
) -> None:
    """Of what the first answer is larger than the prompt, later ones lose .4; not in the papers.

    STMTrack's lose .8.
    """
    share = 0.8 if run.tracker.name == 'stmtrack' else 0.4
    tracker, frame = make(run.tracker.name, run.tracker.variant), video.frames[0]
    loose = boxes.from_centre(boxes.centre(video.box), 1.25 * video.box[2:])
    for box in (video.box, loose):
        tracker.initialise(frame, boxed(frame, box))
        larger = np.log(tracker.locate(frame, Prior(box)).box[2:] / box[2:])
        located = tracker.locate(video.frames[1], Prior(box)).box
        found = tracker.find(video.frames[1], Prior(box)).box
        lasting = share * larger if tracker.variant == 'compact' else np.zeros(2)
        assert np.allclose(np.log(located[2:] / found[2:]), lasting)
        assert np.allclose(boxes.centre(found), boxes.centre(located))
    if tracker.variant == 'compact':
        assert larger.mean() < 0  # it sees the target in the loose box, and less than that


def test_a_restored_one_goes_on_as_the_first_did(run: Run, other: Tracker, video: Video) -> None:
    other.restore(run.state)
    assert other.bank.status() == run.statuses[run.middle]
    frames = video.frames[run.middle : len(run.found)]
    found = follow(other, frames, run.found[run.middle - 1].box)
    assert all_same(found, run.found[run.middle :])
    assert other.bank.status() == run.statuses[-1]


def test_another_of_its_kind_does_not_disturb_it(
    tracker: Tracker, run: Run, other: Tracker, video: Video
) -> None:
    other.restore(run.state)
    end = run.middle + 1 + AFTER[tracker.variant] // 5
    elsewhere = follow(other, video.frames[: end - run.middle], video.box)
    here = follow(tracker, video.frames[run.middle : end], run.found[run.middle - 1].box)
    for _, found, expected in zip(elsewhere, here, run.found[run.middle : end], strict=True):
        assert same(found, expected)
    assert tracker.bank.status() == run.statuses[end]


def test_a_new_target_owes_nothing_to_the_last(tracker: Tracker, run: Run, video: Video) -> None:
    count = min(run.middle, 5)
    first = tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    found = [first, *follow(tracker, video.frames[1:count], video.box)]
    assert all_same(found, run.found[:count])
    assert tracker.bank.status() == run.statuses[count]
    assert tracker.mismatch(tracker.state()) == ''  # a snapshot of it can be loaded


def test_a_frozen_bank_keeps_its_whole_state(tracker: Tracker, run: Run, video: Video) -> None:
    tracker.bank.frozen = True
    before, status = tracker.state(), tracker.bank.status()
    remember(tracker, video.frames[0], tracker.locate(video.frames[0], Prior(video.box)))
    # Where the published filter trackers believe the target to be is no memory.
    assert {
        name
        for name in changed(before, tracker.state())
        if not (name.endswith('.refused') or name.startswith('loop.'))
    } == set()
    assert tracker.bank.status().refused == status.refused + 1


def test_a_cleared_bank_is_empty(tracker: Tracker, run: Run) -> None:
    tracker.bank.clear()
    assert tracker.bank.status() == run.statuses[0]


def test_a_bank_over_its_limit_is_refused_with_the_figure(run: Run, make: Maker) -> None:
    need, before = run.tracker.bank.bytes, live_tensors()
    with pytest.raises(ConfigurationError, match=f'needs {need} bytes, but .* {need - 1};'):
        make(run.tracker.name, run.tracker.variant, max_bytes=need - 1)
    assert live_tensors().keys() <= before.keys()


def test_a_mask_prompt_is_taken_as_given(tracker: Tracker, video: Video) -> None:
    mask = video.mask.copy()
    mask[:, : int(boxes.centre(video.box)[0])] = 0  # a part of it that is no mask of the object
    given = tracker.initialise(video.frames[0], Target(video.box, mask))
    filled = boxes.box_mask(video.box, *mask.shape)
    assert np.array_equal(given.mask, mask if tracker.segments else filled)
    assert np.array_equal(given.box, video.box)
    check(given, video.frames[0])


@pytest.mark.parametrize(('name', 'frames'), [(name, 61 if name == 'dmv' else 3) for name in NAMES])
def test_published_ones_write_as_often_as_their_papers_say(
    name: str, frames: int, make: Maker, video: Video
) -> None:
    """DMV every 30th frame that it is sure of (section 3.5), the others every one they segment.

    Of STMTrack's frames those that are read are chosen later (its section 3.4); so are SAMN's.
    """
    tracker, frame = make(name, 'paper'), video.frames[1]
    tracker.calibration = Calibration(1.0, 20.0)  # sure of whatever it sees
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    found = tracker.locate(frame, Prior(video.box))
    if name in SEGMENTING:
        found = replace(found, looked=True)
    for _ in range(frames):
        tracker.remember(frame, found)
    writes = frames // 30 if name == 'dmv' else frames
    status = tracker.bank.status()
    assert (status.writes, status.refused) == (1 + writes, frames - writes)
    if name == 'dmv':
        tracker.calibration = Calibration(1.0, -20.0)
        for _ in range(frames):
            tracker.remember(frame, found)
        assert tracker.bank.status().writes == 1 + writes


@pytest.mark.parametrize('name', NAMES)
def test_compact_weights_are_small(name: str, make: Maker) -> None:
    assert make.weights(name, 'compact').stat().st_size <= COMPACT_FILE


def test_the_compact_ones_side_by_side_do_not_disturb_each_other(make: Maker, video: Video) -> None:
    made, later = [make(name) for name in NAMES], video.frames[1:5]
    alone = []
    for tracker in made:
        tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
        alone.append(list(follow(tracker, later, video.box)))
    for tracker in made:
        tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    together = zip(*(follow(tracker, later, video.box) for tracker in made), strict=True)
    for found, expected in zip(together, zip(*alone, strict=True), strict=True):
        assert all_same(found, expected)


@pytest.fixture(scope='module')
def real_videos(sequences: Path) -> list[tuple[list[Pixels], Floats]]:
    """The first frames of all sequences, and the box in the first of each."""
    videos = []
    for sequence in read_sequences(sequences):
        first = boxes.first_present(sequence.truth)
        frames = [sequence.frame(first + number) for number in range(REAL)]
        height, width = frames[0].shape[:2]
        videos.append((frames, boxes.intersect(sequence.truth[first], width, height)))
    return videos


@pytest.mark.parametrize('name', NAMES)
def test_the_compact_ones_run_on_real_video(
    name: str, make: Maker, real_videos: list[tuple[list[Pixels], Floats]]
) -> None:
    tracker = make(name)
    size = tracker.bank.bytes
    for frames, box in real_videos:
        first = tracker.initialise(frames[0], boxed(frames[0], box))
        assert np.array_equal(first.box, box)
        for found in (first, *follow(tracker, frames[1:], box)):
            check(found, frames[0])
        status = tracker.bank.status()
        assert (status.bytes, status.writes + status.refused) == (size, REAL)


def textured(rich: bool) -> Pixels:
    """A picture of something that fills the image: a texture, or one colour in some light."""
    if rich:
        noise = np.random.default_rng(3).integers(0, 255, (24, 32, 3), np.uint8)
        return cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    light = np.linspace(0.8, 1.2, 320)[None, :, None]
    return (np.array([60.0, 90, 140]) * light * np.ones((240, 1, 1))).astype(np.uint8)


@pytest.mark.parametrize('rich', [True, False], ids=['rich', 'plain'])
@pytest.mark.parametrize('name', NAMES)
def test_a_target_that_fills_the_image_keeps_its_box(name: str, rich: bool, make: Maker) -> None:
    picture, box = textured(rich), np.array([0.0, 0, 320, 240])
    session, random = Session(make(name)), np.random.default_rng(4)
    session.prompt(picture, Prompt('box', box))
    for _ in range(20):
        noisy = picture + random.normal(0, 2, picture.shape)
        estimate = session.step(noisy.clip(0, 255).astype(np.uint8))
        session.remember()
        assert boxes.iou(estimate.roi, box) >= 0.9


def live(tracker: Tracker, video: Video) -> None:
    """Some frames of a tracker's life."""
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    for _ in follow(tracker, video.frames[1:4], video.box):
        pass


def test_the_compact_ones_leave_no_tensor_behind(make: Maker, video: Video) -> None:
    before = live_tensors()
    for name in NAMES:
        tracker = make(name)
        live(tracker, video)
        assert len(live_tensors()) > len(before)
        del tracker
        left = [tuple(tensor.shape) for key, tensor in live_tensors().items() if key not in before]
        assert left == [], name


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU, and PyTorch with CUDA')
def test_the_compact_ones_leave_no_gpu_memory_behind(make: Maker, video: Video) -> None:
    def levels() -> list[int]:
        """Bytes in use before the first, then after each one's end."""
        found = [torch.cuda.memory_allocated()]
        for name in NAMES:
            live(make(name, device='cuda'), video)
            gc.collect()
            found.append(torch.cuda.memory_allocated())
        return found

    levels()  # In the first round CUDA's libraries take what they keep for good.
    assert len(set(levels())) == 1
