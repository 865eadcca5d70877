"""The tracker node takes another tracker, or a saved target, without being started again."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from memtrack_ros.msg import TrackedTarget
from stage import (
    ACTIVATE,
    BOX,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    FRAME,
    UNCONFIGURED,
    Stage,
    staged,
)
from tracking import live_tensors, save_initial

from memtrack_ros import trackers
from memtrack_ros.nets.memtrack import CompactMemTrack
from memtrack_ros.session import State
from memtrack_ros.weights.files import Calibration, save_weights, shipped_file

pytestmark = pytest.mark.usefixtures('ros')

SHIPPED = [name for name in trackers.NAMES if shipped_file(name, 'compact').is_file()]
ELSEWHERE = 400, 100, 40, 30
"""A box outside of FRAME."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(f'-p tracker:=stmtrack -p memory.folder:={tmp_path}/saved') as made:
        yield made


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weight files of both variants of MemTrack, which follow nothing."""
    folder = tmp_path_factory.mktemp('weights')
    files = {variant: folder / f'{variant}.safetensors' for variant in trackers.VARIANTS}
    for variant, path in files.items():
        save_initial(path, 'memtrack', variant)
    return files


@pytest.fixture
def other(weights: dict[str, Path], tmp_path: Path) -> Iterator[Stage]:
    """An active node configured for another tracker than the usual one, with a target."""
    with staged(
        f'-p tracker:=memtrack -p weights:={weights["compact"]}',
        f'-p memory.folder:={tmp_path}/saved',
    ) as made:
        begin(made)
        yield made


def begin(stage: Stage) -> int:
    """Configures, activates and prompts; returns the target's id."""
    stage.bring(CONFIGURE, ACTIVATE)
    stage.shown()
    answer = stage.init_target(box=BOX)
    assert answer.success, answer.message
    return int(answer.target_id)


def show(stage: Stage, first: int, count: int) -> list[TrackedTarget]:
    """The targets of so many images, in each of which the target is further to the right."""
    return [stage.next(np.roll(FRAME, 2 * number, 1)) for number in range(first, first + count)]


def told(target: TrackedTarget) -> tuple[Any, ...]:
    """What is estimated, and what the memory holds."""
    box, memory = target.box, target.memory
    estimate = (target.state, target.confidence, target.score, target.mask_area)
    place = (box.center_x, box.center_y, box.size_x, box.size_y, box.theta, *target.roi)
    return *estimate, *place, target.frames_tracked, memory.entries, memory.writes, memory.refused


def unchanged(stage: Stage, before: TrackedTarget) -> bool:
    """Whether the target of the last image is followed on."""
    after = stage.shown()
    return (after.target_id, after.tracker, after.memory.capacity, after.frames_tracked) == (
        before.target_id,
        before.tracker,
        before.memory.capacity,
        before.frames_tracked + (after.state == State.TRACKING),
    )


def tensors(stage: Stage) -> int:
    """How many there are between two images."""
    with stage.tracker.pipeline.turn():
        return len(live_tensors())


# Saved targets


def test_a_saved_target_is_followed_on_as_before(stage: Stage, tmp_path: Path) -> None:
    target_id = begin(stage)
    show(stage, 1, 5)
    saved = stage.save_memory('cup')
    assert saved.success, saved.message
    assert saved.path == str(tmp_path / 'saved' / 'cup.safetensors')
    assert Path(saved.path).is_file()
    expected = [told(target) for target in show(stage, 6, 20)]
    assert expected[0][0] == State.TRACKING

    assert stage.init_target(box=(20, 20, 30, 30)).success
    stage.shown()
    loaded = stage.load_memory('cup')
    assert loaded.success, loaded.message
    assert loaded.target_id > target_id + 1
    found = show(stage, 6, 20)
    assert [told(target) for target in found] == expected
    assert {target.target_id for target in found} == {loaded.target_id}
    assert not found[0].memory.frozen

    # After a pause it is searched for; loaded in the pause it is where it was.
    stage.bring(DEACTIVATE)
    loaded = stage.load_memory('cup.safetensors')
    assert loaded.success, loaded.message
    assert stage.tracker.pipeline.roster.session.tracker.bank.frozen
    stage.bring(ACTIVATE)
    found = show(stage, 6, 20)
    assert [told(target) for target in found] == expected
    assert {target.target_id for target in found} == {loaded.target_id}
    assert not found[0].memory.frozen


def test_a_target_outlives_its_node(stage: Stage, tmp_path: Path) -> None:
    begin(stage)
    show(stage, 1, 3)
    stage.bring(DEACTIVATE)
    assert stage.save_memory('cup').success
    with staged(f'-p tracker:=stmtrack -p memory.folder:={tmp_path}/saved') as later:
        later.bring(CONFIGURE)
        assert later.load_memory('cup').success
        later.bring(ACTIVATE)
        target = later.shown(np.roll(FRAME, 8, 1))
        assert (target.state, target.frames_tracked, target.target_id) == (State.TRACKING, 5, 1)
        # The prompt's image and every second one of the three at 30 Hz.
        assert target.memory.entries == 2


def test_what_cannot_be_saved_or_loaded_is_said_and_the_target_stays(
    stage: Stage, tmp_path: Path
) -> None:
    for refusal in (stage.save_memory('cup'), stage.load_memory('cup')):
        assert (refusal.success, 'configure' in refusal.message) == (False, True)
    stage.bring(CONFIGURE, ACTIVATE)
    stage.shown()
    refusal = stage.save_memory('cup')
    assert (refusal.success, refusal.path) == (False, '')
    assert 'no target to take a snapshot of; prompt first' in refusal.message
    assert not (tmp_path / 'saved').exists()

    assert stage.init_target(box=BOX).success
    before = stage.shown()
    assert 'There is no snapshot' in stage.load_memory('cup').message
    for name in ('', '../cup', '/tmp/cup', '.cup', 'c u p'):
        for refusal in (stage.save_memory(name), stage.load_memory(name)):
            assert not refusal.success
            assert 'of a snapshot cannot be; take 1 to 100 letters' in refusal.message
    assert list(tmp_path.iterdir()) == []

    path = Path(stage.save_memory('cup').path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert 'is damaged' in stage.load_memory('cup').message
    path.unlink()
    path.symlink_to(tmp_path / 'elsewhere.safetensors')
    for refusal in (stage.save_memory('cup'), stage.load_memory('cup')):
        assert 'leads out of its folder' in refusal.message
    assert unchanged(stage, before)

    shutil.rmtree(tmp_path / 'saved')
    (tmp_path / 'saved').touch()
    refusal = stage.save_memory('cup')
    assert (refusal.success, 'cannot be written' in refusal.message) == (False, True)
    stage.until(lambda: stage.said('save_memory refused: '), 'the reason in the log')


def test_a_snapshot_brings_its_tracker_but_not_its_weights(
    other: Stage, weights: dict[str, Path], tmp_path: Path
) -> None:
    own = other.shown()
    assert other.save_memory('own').success
    assert other.init_target(box=BOX, tracker='stmtrack').success
    expected = other.next(FRAME)
    assert expected.tracker == 'stmtrack'
    assert other.save_memory('usual').success
    expected = told(other.next(FRAME))

    loaded = other.load_memory('own')
    assert loaded.success, loaded.message
    target = other.shown()
    assert (target.tracker, target.target_id) == ('memtrack', loaded.target_id)
    assert target.memory.capacity == own.memory.capacity
    other.bring(DEACTIVATE)
    assert other.load_memory('usual').success
    assert other.tracker.pipeline.roster.session.tracker.bank.frozen
    other.bring(ACTIVATE)
    assert told(other.next(FRAME)) == expected

    torch.manual_seed(1)
    changed = tmp_path / 'changed.safetensors'
    net, calibration = CompactMemTrack(), Calibration(1.0, 0.0)
    save_weights(changed, 'memtrack', 'compact', net.state_dict(), calibration, 'nobody')
    other.bring(DEACTIVATE, CLEANUP)
    assert not other.set('weights', str(changed))
    begin(other)
    before = other.shown()
    assert before.tracker == 'memtrack'
    refusal = other.load_memory('own')
    assert not refusal.success
    assert 'configure with the weights that it was made with' in refusal.message
    assert unchanged(other, before)


# Other trackers


def test_the_tracker_is_switched_by_a_prompt_and_the_former_one_is_freed(other: Stage) -> None:
    before = tensors(other)
    former = weakref.ref(other.tracker.pipeline.roster.session.tracker)
    made_with = former().weights
    sizes = {}
    for name in ('stmtrack', 'memtrack', 'stmtrack', 'stmtrack', '', 'memtrack'):
        answer = other.init_target(box=BOX, tracker=name)
        assert answer.success, answer.message
        target = other.shown()
        present = other.tracker.pipeline.roster.session.tracker
        assert target.tracker == present.name == (name or 'memtrack')  # the configured one
        assert target.target_id == answer.target_id
        assert target.frames_tracked >= 1
        assert target.memory.bytes == present.bank.bytes
        assert not target.memory.frozen
        if former() is not present:
            del present
            gc.collect()
            assert former() is None
            former = weakref.ref(other.tracker.pipeline.roster.session.tracker)
        assert sizes.setdefault(target.tracker, tensors(other)) == tensors(other)
    assert former().weights == made_with  # the configured tracker has the configured weights
    assert sizes['memtrack'] == before
    other.until(
        lambda: other.health and ('tracker', 'memtrack') in values(other), 'diagnosis of this one'
    )
    assert other.init_target(box=BOX, tracker='stmtrack').success
    other.until(lambda: ('tracker', 'stmtrack') in values(other), 'diagnosis of the other')


def values(stage: Stage) -> list[tuple[str, str]]:
    return [(value.key, value.value) for value in stage.health[-1].values]


def test_every_shipped_tracker_takes_its_turn_in_one_process(stage: Stage) -> None:
    before = live_tensors()
    begin(stage)
    gone = []
    for name in [*SHIPPED, *SHIPPED[::-1]]:
        gone.append(weakref.ref(stage.tracker.pipeline.roster.session.tracker))
        answer = stage.init_target(box=BOX, tracker=name)
        assert answer.success, answer.message
        for target in show(stage, 1, 3):
            assert (target.tracker, target.target_id) == (name, answer.target_id)
            assert target.state != State.ERROR
        assert stage.save_memory(name).success
    for name in SHIPPED:
        gone.append(weakref.ref(stage.tracker.pipeline.roster.session.tracker))
        assert stage.load_memory(name).success
        assert stage.shown().tracker == name
    stage.bring(DEACTIVATE, CLEANUP)
    left = [tuple(tensor.shape) for key, tensor in live_tensors().items() if key not in before]
    assert left == []
    assert not any(former() for former in gone)
    stage.bring(CONFIGURE, ACTIVATE)
    assert stage.shown().tracker == 'stmtrack'


def test_a_tracker_that_cannot_be_had_leaves_the_present_one(weights: dict[str, Path]) -> None:
    with staged(f'-p tracker:=memtrack -p variant:=paper -p weights:={weights["paper"]}') as stage:
        begin(stage)
        before, size = stage.shown(), tensors(stage)
        for name, reason in (
            ('kcf', "no tracker 'kcf'; set tracker to one of: stmtrack"),
            ('stmtrack', 'No weights of stmtrack (paper) come with the package; configure with'),
        ):
            refusal = stage.init_target(box=BOX, tracker=name)
            assert (refusal.success, refusal.target_id) == (False, 0)
            assert reason in refusal.message
        assert unchanged(stage, before)
        assert tensors(stage) == size


def test_a_bank_that_is_too_large_or_a_bad_prompt_leaves_the_present_one(
    weights: dict[str, Path],
) -> None:
    with staged(
        f'-p tracker:=memtrack -p weights:={weights["compact"]} -p memory.max_bytes:=8388608'
    ) as stage:
        begin(stage)
        size = tensors(stage)
        before = stage.shown()
        refusal = stage.init_target(box=BOX, tracker='stmtrack')
        assert (refusal.success, 'memory.max_bytes allows 8388608' in refusal.message) == (
            False,
            True,
        )
        assert unchanged(stage, before)
        stage.bring(DEACTIVATE, CLEANUP)
        assert not stage.set('memory.max_bytes', 2**30)
        begin(stage)
        before = stage.shown()
        refusal = stage.init_target(box=ELSEWHERE, tracker='stmtrack')
        assert (refusal.success, '320 x 240' in refusal.message) == (False, True)
        assert unchanged(stage, before)
        assert tensors(stage) == size


class Slow:
    """Makes a session once it is allowed to."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.begun, self.allowed = threading.Event(), threading.Event()

    def __call__(self, tracker: str, variant: str) -> Any:
        session = self.make(tracker, variant)
        self.begun.set()
        assert self.allowed.wait(60)
        return session


def aside(work: Any) -> tuple[threading.Thread, list[Any]]:
    """Does the work in a thread; its answer comes into the list."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(work()))
    thread.start()
    return thread, answers


def test_images_flow_while_another_tracker_is_made(
    other: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = other.tracker.pipeline
    slow = Slow(pipeline._make)
    monkeypatch.setattr(pipeline, '_make', slow)
    thread, answers = aside(lambda: other.init_target(box=BOX, tracker='stmtrack'))
    assert slow.begun.wait(60)
    before = other.shown()
    assert before.tracker == 'memtrack'
    assert unchanged(other, before)
    slow.allowed.set()
    thread.join()
    target = other.shown()
    assert (target.tracker, target.target_id) == ('stmtrack', answers[0].target_id)


def test_what_comes_too_late_is_refused_and_freed(
    other: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert other.init_target(box=BOX, tracker='stmtrack').success
    assert other.save_memory('usual').success
    assert other.init_target(box=BOX, tracker='memtrack').success
    pipeline = other.tracker.pipeline
    make = pipeline._make
    slow = Slow(make)
    monkeypatch.setattr(pipeline, '_make', slow)
    thread, answers = aside(lambda: other.init_target(box=BOX, tracker='stmtrack'))
    assert slow.begun.wait(60)
    other.bring(DEACTIVATE)
    slow.allowed.set()
    thread.join()
    assert (answers[0].success, 'was deactivated meanwhile' in answers[0].message) == (False, True)
    assert pipeline.roster.session.tracker.name == 'memtrack'

    slow = Slow(make)
    monkeypatch.setattr(pipeline, '_make', slow)
    thread, answers = aside(lambda: other.load_memory('usual'))
    assert slow.begun.wait(60)
    other.bring(CLEANUP)
    assert other.lifecycle() == UNCONFIGURED
    slow.allowed.set()
    thread.join()
    assert (answers[0].success, 'was cleaned up meanwhile' in answers[0].message) == (False, True)
    left = weakref.ref(pipeline.roster.session.tracker)
    del pipeline, make, slow
    monkeypatch.undo()
    gc.collect()
    assert left() is None
