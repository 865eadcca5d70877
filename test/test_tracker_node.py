"""The tracker node over DDS: every transition, prompt and kind of image, right and wrong."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterator
from itertools import count
from math import atan, isnan, pi
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.srv import InitTarget
from processes import await_import
from rcl_interfaces.msg import Log
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from stage import (
    ACTIVATE,
    ACTIVE,
    BOX,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    DEADLINE,
    FINALIZED,
    FRAME,
    INACTIVE,
    SIZE,
    UNCONFIGURED,
    Stage,
    scene,
    staged,
)
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from tracking import live_tensors

from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.nodes import bond, diagnostics, messages, pipeline
from memtrack_ros.nodes.frames import nanoseconds
from memtrack_ros.session import Estimate, Session, State
from memtrack_ros.tools.client import TrackerClient
from memtrack_ros.tools.processes import NodeProcess
from memtrack_ros.weights.files import shipped_file
from memtrack_ros.wire import images

pytestmark = pytest.mark.usefixtures('ros')


@pytest.fixture
def stage(ros: None) -> Iterator[Stage]:
    with staged() as made:
        yield made


@pytest.fixture(scope='module')
def shared(ros: None) -> Iterator[Stage]:
    with staged(masks=True, overlays=True) as made:
        made.bring(CONFIGURE, ACTIVATE)
        yield made


@pytest.fixture
def active(shared: Stage) -> Stage:
    """An active node without a target that has seen FRAME."""
    assert shared.reset().success
    assert shared.shown().state == State.IDLE
    return shared


# Lifecycle


def test_every_transition(stage: Stage) -> None:
    assert stage.lifecycle() == UNCONFIGURED
    for transition, state in (
        (CONFIGURE, INACTIVE),
        (ACTIVATE, ACTIVE),
        (DEACTIVATE, INACTIVE),
        (ACTIVATE, ACTIVE),
        (DEACTIVATE, INACTIVE),
        (CLEANUP, UNCONFIGURED),
        (CONFIGURE, INACTIVE),
        (CLEANUP, UNCONFIGURED),
        (CONFIGURE, INACTIVE),
        (ACTIVATE, ACTIVE),
        (Transition.TRANSITION_ACTIVE_SHUTDOWN, FINALIZED),
    ):
        assert stage.change(transition)
        assert stage.lifecycle() == state
    assert stage.tracker.count_subscribers(f'{stage.space}/image') == 0
    stage.until(
        lambda: not stage.count_publishers(f'{stage.space}/memtrack/target'), 'the end of ~/target'
    )


@pytest.mark.parametrize('before', [[], [CONFIGURE]])
def test_shutdown_from_the_other_states(stage: Stage, before: list[int]) -> None:
    stage.bring(*before)
    shutdown = (
        Transition.TRANSITION_INACTIVE_SHUTDOWN
        if before
        else Transition.TRANSITION_UNCONFIGURED_SHUTDOWN
    )
    assert stage.change(shutdown)
    assert stage.lifecycle() == FINALIZED


def test_an_impossible_transition_is_answered(stage: Stage) -> None:
    assert not stage.change(ACTIVATE)
    assert not stage.change(DEACTIVATE)
    assert not stage.change(99)
    assert stage.lifecycle() == UNCONFIGURED
    stage.bring(CONFIGURE)
    assert not stage.change(CONFIGURE)
    assert stage.lifecycle() == INACTIVE


def test_deactivate_keeps_the_target_and_freezes_the_bank(active: Stage) -> None:
    target_id = active.init_target(box=BOX).target_id
    entries = active.shown().memory.entries
    assert not active.shown().memory.frozen
    active.bring(DEACTIVATE)
    assert active.tracker.pipeline.roster.session.tracker.bank.frozen
    refused = active.init_target(box=BOX)
    assert not refused.success
    assert 'activate' in refused.message
    active.bring(ACTIVATE)
    target = active.shown()
    assert target.target_id == target_id
    assert target.state in (State.TRACKING, State.LOST)
    assert target.memory.entries >= entries
    assert not target.memory.frozen


def test_reset_of_an_inactive_node(active: Stage) -> None:
    assert active.init_target(box=BOX).success
    active.bring(DEACTIVATE)
    assert active.reset().success
    active.bring(ACTIVATE)
    assert active.shown().state == State.IDLE


def test_transitions_while_images_flow(shared: Stage) -> None:
    stop = threading.Event()

    def camera() -> None:
        while not stop.wait(0.002):
            message = messages.bgr_to_image(FRAME, Header(stamp=shared.get_clock().now().to_msg()))
            shared.images.publish(message)

    thread = threading.Thread(target=camera)
    thread.start()
    try:
        for _ in range(20):
            shared.bring(DEACTIVATE, ACTIVATE)
    finally:
        stop.set()
        thread.join()
    assert shared.shown().image_width == SIZE[0]


@pytest.mark.parametrize('way', ['cleanup', 'shutdown', 'error'])
def test_nothing_of_bank_and_model_outlives_its_end(
    stage: Stage, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = live_tensors()
    stage.bring(CONFIGURE, ACTIVATE)
    stage.shown()
    assert stage.init_target(box=BOX).success
    assert stage.shown().memory.entries
    assert len(live_tensors()) > len(before)
    if way == 'cleanup':
        stage.bring(DEACTIVATE, CLEANUP)
    elif way == 'shutdown':
        stage.bring(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    else:
        monkeypatch.setattr(stage.tracker, '_activated', Breaking(stage.tracker._activated))
        assert not stage.change(DEACTIVATE)
        assert stage.lifecycle() == UNCONFIGURED
        stage.until(lambda: stage.said('deactivate failed: Traceback'), 'the reason')
    left = [tuple(tensor.shape) for key, tensor in live_tensors().items() if key not in before]
    assert left == []


class Breaking:
    """Undoes nothing the first time."""

    def __init__(self, stack: Any) -> None:
        self.stack, self.closed = stack, 0

    def close(self) -> None:
        self.closed += 1
        if self.closed == 1:
            raise RuntimeError('the middleware fell over')
        self.stack.close()


# Configure that fails


def damaged(folder: Path) -> Path:
    data = bytearray(shipped_file('dmv', 'compact').read_bytes())
    data[-100] ^= 1
    path = folder / 'damaged.safetensors'
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ('argument', 'reason', 'correction'),
    [
        ('tracker:=kcf', 'dmv', ('tracker', 'dmv')),
        ('variant:=huge', 'compact', ('variant', 'compact')),
        ('image_transport:=theora', 'raw, compressed', ('image_transport', 'raw')),
        ('weights:=/nowhere/x.safetensors', '/nowhere/x.safetensors', ('weights', '')),
        ('weights:=DAMAGED', 'is damaged', ('weights', '')),
        ('device:=cuda:63', 'cuda:63', ('device', 'cpu')),
        ('device:=abacus', 'abacus', ('device', 'cpu')),
        ('memory.max_bytes:=1048576', 'memory.max_bytes', ('memory.max_bytes', 2**30)),
        ('presence.unseen:=0.9', 'presence.unseen', ('presence.unseen', 0.3)),
    ],
)
def test_what_cannot_be_configured_is_said_and_can_be_corrected(
    argument: str, reason: str, correction: tuple[str, Any], tmp_path: Path
) -> None:
    if 'DAMAGED' in argument:
        argument = argument.replace('DAMAGED', str(damaged(tmp_path)))
    with staged(f'-p {argument}') as stage:
        before = live_tensors()
        assert not stage.change(CONFIGURE)
        assert stage.lifecycle() == UNCONFIGURED
        stage.until(lambda: stage.said('configure failed: '), 'the reason in the log')
        assert any(reason in log for log in stage.logs if 'configure failed' in log)
        assert not stage.said('Traceback')
        assert live_tensors().keys() <= before.keys()
        stage.until(lambda: any(reason in status.message for status in stage.health), 'diagnosis')
        assert not stage.set(*correction)
        stage.bring(CONFIGURE, ACTIVATE)
        assert stage.shown().state == State.IDLE


# Prompts


def test_images_before_the_prompt_are_idle(active: Stage) -> None:
    stamp = active.publish(FRAME)
    target = active.target(stamp)
    assert target.header == Header(stamp=stamp, frame_id='camera')
    assert (target.state, target.target_id, target.tracker) == (State.IDLE, 0, 'dmv')
    assert isnan(target.confidence)
    assert isnan(target.box.center_x)
    assert not target.has_mask
    assert (target.image_width, target.image_height) == SIZE
    assert target.memory.capacity > 0
    assert target.memory.bytes > 0
    assert 0 < target.processing_time < target.image_age < DEADLINE


def corners(box: Any) -> np.ndarray[Any, Any]:
    return OrientedBox(box.center_x, box.center_y, box.size_x, box.size_y, box.theta).corners()


X, Y, W, H = BOX
MASK = np.zeros(SIZE[::-1], np.uint8)
MASK[Y : Y + H, X : X + W] = 1


@pytest.mark.parametrize(
    'prompt',
    [
        {'box': BOX},
        {'box': OrientedBox(X + (H - 1) / 2, Y + (H - 1) / 2, H, H, pi / 4)},
        {'box': np.array(BOX) / [*SIZE, *SIZE], 'normalized': True},
        {'mask': MASK},
        {'point': (X + W / 2, Y + H / 2)},
        {'point': ((X + W / 2) / SIZE[0], (Y + H / 2) / SIZE[1]), 'normalized': True},
    ],
    ids=['box', 'turned box', 'normalized box', 'mask', 'point', 'normalized point'],
)
def test_every_kind_of_prompt_sets_the_target(active: Stage, prompt: dict[str, Any]) -> None:
    # On a busy machine loading takes longer than a target may be unseen: it is loaded before.
    assert active.init_target(box=BOX, tracker='stmtrack').success
    active.target(active.publish(FRAME))
    answer = active.init_target(**prompt, tracker='stmtrack')
    assert answer.success, answer.message
    stamp = active.publish(FRAME)
    target = active.target(stamp)
    assert target.header == Header(stamp=stamp, frame_id='camera')
    assert target.target_id == answer.target_id > 0
    assert target.state == State.TRACKING
    assert 0 <= target.confidence <= 1
    assert target.frames_tracked > 0
    assert target.last_seen == stamp
    centre = target.box.center_x, target.box.center_y
    assert centre == pytest.approx((X + W / 2, Y + H / 2), abs=30)
    assert target.roi[2] > 0
    assert target.memory.writes > 0
    overlay = messages.image_to_bgr(active.overlay(stamp))
    assert overlay.shape == FRAME.shape
    assert not np.array_equal(overlay, FRAME)
    if target.has_mask:
        mask = active.mask(stamp)
        assert mask.header == target.header
        seen = images.image_to_mask(mask)
        assert seen.shape == SIZE[::-1]
        assert np.count_nonzero(seen) == target.mask_area
        assert set(np.unique(np.frombuffer(mask.data, np.uint8))) <= {0, 255}


def test_a_picture_of_the_memory_comes_while_somebody_looks(active: Stage) -> None:
    sheets: list[Image] = []
    looking = active.create_subscription(
        Image, f'{active.space}/memtrack/memory', sheets.append, 10
    )
    active.until(lambda: active.count_subscribers(looking.topic_name), 'the subscription')
    for _ in range(3):
        active.shown()
    assert not sheets  # without a target there is no memory
    assert active.init_target(box=BOX, tracker='stmtrack').success
    sent = []

    def followed() -> bool:
        sent.append(active.publish(FRAME))
        assert active.target(sent[-1]).state == State.TRACKING
        return bool(sheets)

    active.until(followed, 'a picture of the memory')
    assert sheets[0].header.stamp in sent
    assert sheets[0].header.frame_id == 'camera'
    assert sheets[0].encoding == 'bgr8'
    sheet = messages.image_to_bgr(sheets[0])
    assert sheet.shape[1] == 312
    assert (sheet == (80, 220, 60)).all(2).any()  # a bar
    active.destroy_subscription(looking)


@pytest.mark.parametrize(
    ('prompt', 'reason'),
    [
        ({'box': (400, 100, 40, 30)}, '320 x 240'),
        ({'box': (140, 100, 0, 30)}, 'pixels'),
        ({'box': (140, 100, -5, 30)}, 'pixels'),
        ({'box': (float('nan'), 100, 40, 30)}, 'give a finite number'),
        ({'box': OrientedBox(900, 900, 40, 30, 0.3)}, 'inside the 320 x 240 image'),
        ({'box': BOX, 'normalized': True}, 'lies outside 0..1'),
        ({'mask': MASK[:-1]}, '320 x 239'),
        ({'mask': np.zeros_like(MASK)}, 'mark'),
        ({'point': (-3, 10)}, 'outside'),
        ({'box': BOX, 'tracker': 'kcf'}, "no tracker 'kcf'; set tracker to one of: stmtrack"),
        ({'box': BOX, 'stamp': Time(sec=1)}, '1.000000000 is kept, only'),
    ],
)
def test_a_bad_prompt_is_refused_and_the_earlier_target_stays(
    active: Stage, prompt: dict[str, Any], reason: str
) -> None:
    target_id = active.init_target(box=BOX).target_id
    before = active.next(FRAME)
    refusal = active.init_target(**prompt)
    assert not refusal.success
    assert refusal.target_id == 0
    assert reason in refusal.message
    after = active.next(FRAME)
    assert after.target_id == before.target_id == target_id
    assert after.state == before.state
    assert after.frames_tracked == before.frames_tracked + 1
    assert after.memory.entries >= before.memory.entries


def test_a_prompt_needs_an_active_node_and_an_image(stage: Stage) -> None:
    refusal = stage.init_target(box=BOX)
    assert (refusal.success, 'configure and activate' in refusal.message) == (False, True)
    assert not stage.reset().success
    stage.bring(CONFIGURE)
    refusal = stage.init_target(box=BOX)
    assert (refusal.success, 'activate it' in refusal.message) == (False, True)
    stage.bring(ACTIVATE)
    refusal = stage.init_target(box=BOX)
    assert (refusal.success, 'no image has come yet' in refusal.message) == (False, True)
    stage.shown()
    assert stage.init_target(box=BOX).success


def test_two_prompts_in_a_row(active: Stage) -> None:
    first = active.init_target(box=BOX)
    second = active.init_target(box=(20, 20, 30, 30))
    assert second.target_id > first.target_id
    target = active.shown()
    assert target.target_id == second.target_id
    assert target.frames_tracked <= 2


def test_a_stamped_prompt_is_for_its_own_image(active: Stage) -> None:
    moved = np.roll(FRAME, 60, axis=1)
    first = active.publish(FRAME)
    active.target(first)
    second = active.publish(moved)
    active.target(second)
    answer = active.init_target(box=(X + 60, Y, W, H), stamp=second)
    assert answer.stamp == second
    answer = active.init_target(box=BOX, stamp=first)
    assert (answer.success, answer.stamp) == (True, first)
    newest = active.init_target(box=(X + 60, Y, W, H))
    assert newest.stamp == second


@pytest.mark.parametrize('speed', [4, 8])
def test_a_prompt_for_an_old_image_is_caught_up_with(
    active: Stage, speed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, '_CATCH_UP', 0.0)  # none is left out, however slow it is here

    def offset(number: int) -> int:  # there and back
        return speed * min(number, 28 - number)

    def shown(number: int) -> TrackedTarget:
        """The target of an image of a camera of 25 Hz."""
        frame = np.roll(FRAME, offset(number), axis=1)
        second, part = divmod(number, 25)
        stamp = Time(sec=100 * speed + second, nanosec=40_000_000 * part)
        active.images.publish(messages.bgr_to_image(frame, Header(stamp=stamp)))
        return active.target(stamp)

    stamps = [shown(number).header.stamp for number in range(28)]
    answer = active.init_target(box=BOX, stamp=stamps[0])
    assert answer.success, answer.message
    for number in range(28, 31):
        target = shown(number)
        assert target.state == State.TRACKING
        centre = X + W / 2 + offset(number)
        assert target.box.center_x == pytest.approx(centre, abs=W / 4)
        assert target.roi[0] + target.roi[2] / 2 == pytest.approx(centre, abs=W / 4)


def ticking() -> SimpleNamespace:
    """A clock that goes on by 50 ms whenever it is read."""
    ticks = count()
    return SimpleNamespace(perf_counter=lambda: 0.05 * next(ticks))


def test_catching_up_is_faster_than_the_images_came(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = [Time(sec=3000, nanosec=40_000_000 * number) for number in range(25)]
    for stamp in stamps:
        active.target(active.publish(FRAME, stamp))
    step, taken = Session.step, []

    def slow(session: Session, frame: Any, time: float) -> Estimate:
        taken.append(round((time - 3000) / 0.04))
        return step(session, frame, time)

    monkeypatch.setattr(Session, 'step', slow)
    # A step takes 50 ms: at twice the pace of a camera of 25 Hz that is one image in three.
    monkeypatch.setattr(pipeline, 'time', ticking())
    assert active.init_target(box=BOX, stamp=stamps[0]).success
    assert taken == list(range(1, 24, 3))


def test_a_recording_that_is_played_fast_is_caught_up_with(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at(number: int) -> Time:  # at 25 Hz
        second, part = divmod(number, 25)
        return Time(sec=4000 + second, nanosec=40_000_000 * part)

    for number in range(25):
        active.target(active.publish(FRAME, at(number)))
    recent = active.tracker.pipeline.frames.recent
    step, came, taken = Session.step, count(25), []

    def slow(session: Session, frame: Any, time: float) -> Estimate:
        taken.append(time)
        assert len(taken) < 100, 'it never ends'
        for _ in range(6):  # those of 50 ms, at nearly five times the pace
            header = Header(stamp=at(next(came)), frame_id='camera')
            recent.add(messages.bgr_to_image(FRAME, header))
        return step(session, frame, time)

    with monkeypatch.context() as patch:
        patch.setattr(Session, 'step', slow)
        patch.setattr(pipeline, 'time', ticking())
        assert active.init_target(box=BOX, stamp=at(0)).success
    assert 1 < len(taken) < 9


def test_what_fails_while_it_catches_up_leaves_the_target_set(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = [Time(sec=3500, nanosec=40_000_000 * number) for number in range(5)]
    for stamp in stamps:
        active.target(active.publish(FRAME, stamp))

    def fail(*_: Any) -> None:
        raise RuntimeError('the graph fell over')

    with monkeypatch.context() as patch:
        patch.setattr(Session, 'step', fail)
        answer = active.init_target(box=BOX, stamp=stamps[0])
    assert answer.success, answer.message
    assert active.shown().target_id == answer.target_id
    active.until(lambda: active.said('RuntimeError: the graph fell over'), 'the reason in the log')


def test_images_without_stamps_are_followed_and_warned_of_once() -> None:
    with staged() as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stage.shown()
        assert stage.init_target(box=BOX).success
        heard: list[TrackedTarget] = []
        topic = f'{stage.space}/memtrack/target'
        stage.create_subscription(TrackedTarget, topic, heard.append, 10)
        stage.until(lambda: stage.tracker.count_subscribers(topic) > 1, 'the subscription')
        for number in range(1, 5):
            stage.images.publish(messages.bgr_to_image(FRAME, Header(frame_id='camera')))
            stage.until(lambda n=number: len(heard) == n, 'the target')
        assert {target.state for target in heard} == {State.TRACKING}
        stage.until(lambda: stage.said('carry no stamps'), 'the warning')
        assert stage.said('carry no stamps') == 1


def test_the_ring_holds_as_many_images_as_configured() -> None:
    with staged('-p frames.ring:=2') as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stamps = []
        for _ in range(3):
            stamps.append(stage.publish(FRAME))
            stage.target(stamps[-1])
        refusal = stage.init_target(box=BOX, stamp=stamps[0])
        span = [f'{nanoseconds(stamp) / 1e9:.9f}' for stamp in stamps]
        assert f'{span[0]} is kept, only 2 from {span[1]} to {span[2]}' in refusal.message
        assert stage.init_target(box=BOX, stamp=stamps[1]).success


def test_a_prompt_that_waits_for_its_turn_holds_up_nothing_else(active: Stage) -> None:
    pipeline = active.tracker.pipeline
    answers: list[Any] = []
    prompt = threading.Thread(target=lambda: answers.append(active.init_target(box=BOX)))
    with pipeline.turn():
        received = pipeline.frames.received
        prompt.start()
        active.publish(FRAME)
        active.until(lambda: pipeline.frames.received > received, 'the image')
        assert active.lifecycle() == ACTIVE
        assert answers == []
    prompt.join()
    assert answers[0].success
    assert active.shown().target_id == answers[0].target_id


def test_it_is_diagnosed_while_targets_change(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reset that is halfway through: its sessions are gone, the ids are not."""
    roster = active.tracker.pipeline.roster
    assert active.init_target(box=BOX).success
    halfway, go_on, drop = threading.Event(), threading.Event(), roster._drop_missing

    def drop_later() -> None:
        halfway.set()
        go_on.wait(DEADLINE)
        drop()

    monkeypatch.setattr(roster, '_drop_missing', drop_later)
    reset = threading.Thread(target=active.reset)
    reset.start()
    try:
        assert halfway.wait(DEADLINE)
        seen = len(active.health)
        active.until(lambda: len(active.health) > seen + 1, 'a diagnosis')
        assert active.set('presence.seen', 0.4) == ''
    finally:
        go_on.set()
        reset.join()
        active.set('presence.seen', 0.5)
    assert active.shown().state == State.IDLE


def test_reset_forgets_the_target(active: Stage) -> None:
    assert active.init_target(box=BOX).success
    assert active.shown().state != State.IDLE
    assert active.reset().success
    target = active.shown()
    assert (target.state, target.target_id, target.memory.entries) == (State.IDLE, 0, 0)
    assert target.last_seen == Time()


# Images


def wrong(**fields: Any) -> Image:
    message = messages.bgr_to_image(FRAME, Header())
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ('message', 'reason'),
    [
        (wrong(step=5), 'step 5 is below'),
        (wrong(step=4000), 'not step 4000 times height 240'),
        (wrong(data=[]), 'the image is empty (320x240, 0 bytes)'),
        (wrong(width=0, height=0), 'the image is empty (0x0'),
        (wrong(encoding='nv21'), "not step 960 times height 240 and 120 of colour in 'nv21'"),
        (wrong(encoding='nv24'), "'nv24'"),
    ],
    ids=['small step', 'large step', 'no data', 'no size', 'small planes', 'encoding'],
)
def test_a_bad_image_is_an_error_said_once_and_the_node_lives_on(
    active: Stage, message: Image, reason: str
) -> None:
    target_id = active.init_target(box=BOX).target_id
    before = active.shown()
    for _ in range(3):
        target = active.target(active.send(active.images, message))
        assert (target.state, target.target_id) == (State.ERROR, target_id)
        assert isnan(target.confidence)
        assert (target.image_width, target.image_height) == (message.width, message.height)
    after = active.shown()
    assert (after.state, after.target_id) == (before.state, target_id)
    assert after.frames_tracked == before.frames_tracked + 1
    active.until(lambda: active.said(reason), 'the reason in the log')
    assert active.said(reason) == 1


def encoded(encoding: str) -> Image:
    """FRAME as a camera of this encoding sends it."""
    grey = cv2.cvtColor(FRAME, cv2.COLOR_BGR2GRAY)
    mosaic = FRAME[:, :, 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = FRAME[::2, ::2, 2], FRAME[1::2, 1::2, 0]
    pixels = {
        '8UC1': grey,
        '16UC1': 7000 + 4 * grey.astype(np.uint16),  # ten bits of an infrared camera
        'nv12': np.vstack([grey, np.full((SIZE[1] // 2, SIZE[0]), 128, np.uint8)]),
        'yuv422': np.dstack([np.full_like(grey, 128), grey]),
        'bayer_rggb8': mosaic,
    }[encoding]
    step = pixels.nbytes // len(pixels)
    message = Image(width=SIZE[0], height=SIZE[1], encoding=encoding, step=step)
    message.data = array('B', pixels.tobytes())
    return message


@pytest.mark.parametrize('encoding', ['8UC1', '16UC1', 'nv12', 'yuv422', 'bayer_rggb8'])
def test_a_target_is_followed_in_images_of_other_cameras(active: Stage, encoding: str) -> None:
    message = encoded(encoding)
    active.target(active.send(active.images, message))
    assert active.init_target(box=BOX).success
    target = active.target(active.send(active.images, message))
    assert target.state == State.TRACKING
    assert (target.image_width, target.image_height) == SIZE
    centre = target.box.center_x, target.box.center_y
    assert centre == pytest.approx((X + W / 2, Y + H / 2), abs=6)


def test_a_prompt_on_a_bad_image_is_refused(active: Stage) -> None:
    stamp = active.send(active.images, wrong(step=5))
    assert active.target(stamp).state == State.ERROR
    refusal = active.init_target(box=BOX)
    assert (refusal.success, 'step 5 is below' in refusal.message) == (False, True)


def test_a_tracker_that_fails_on_an_image_goes_on_with_the_next(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    target_id = active.init_target(box=BOX).target_id
    session = active.tracker.pipeline.roster.session

    def fail(*given: Any) -> None:
        raise RuntimeError('out of memory')

    with monkeypatch.context() as patch:
        patch.setattr(session, 'step', fail)
        for _ in range(2):
            assert active.shown().state == State.ERROR
    with monkeypatch.context() as patch:
        patch.setattr(session, 'remember', fail)
        assert active.shown().target_id == target_id
    assert active.shown().target_id == target_id
    active.until(lambda: active.said('RuntimeError: out of memory'), 'the reason in the log')
    assert active.said('RuntimeError: out of memory') == 1


def test_presence_is_as_it_was_set_last(active: Stage) -> None:
    session = active.tracker.pipeline.roster.session
    assert active.init_target(box=BOX).success
    try:
        assert not active.set('presence.seen', 0.7)
        active.shown()  # the next image is judged so
        assert (session.presence.seen, session.presence.unseen) == (0.7, 0.15)
        assert active.set('presence.unseen', 0.8)  # refused: above presence.seen
        assert session.presence.unseen == 0.15
        assert not active.set('presence.lost_seconds', 9.0)
        assert active.shown().state == State.TRACKING
        assert session.presence.lost_seconds == 9
    finally:
        active.set('presence.seen', 0.5)
        active.set('presence.lost_seconds', 1.5)


def test_no_image_is_answered_by_reading_parameters(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert active.init_target(box=BOX).success
    active.shown()
    asked: list[Any] = []
    for name in ('get_parameter', 'get_parameters', 'get_parameter_or'):
        real = getattr(active.tracker, name)
        monkeypatch.setattr(
            active.tracker,
            name,
            lambda *given, real=real: asked.append(given) or real(*given),
        )
    for _ in range(5):
        assert active.shown().state == State.TRACKING
    assert asked == []


def test_an_image_of_quite_another_size_is_an_error_and_changes_nothing(active: Stage) -> None:
    target_id = active.init_target(box=BOX).target_id
    before = active.shown()
    for size in ((1, 1), (4, 3), (16, 12)):
        target = active.target(active.publish(scene(*size)))
        assert (target.state, target.target_id) == (State.ERROR, target_id)
    after = active.shown()
    assert (after.state, after.frames_tracked) == (State.TRACKING, before.frames_tracked + 1)
    active.until(lambda: active.said('those before were 320x240'), 'the reason in the log')


def test_an_image_without_contrast_shows_no_target(active: Stage) -> None:
    target_id = active.init_target(box=BOX).target_id
    before = active.next(FRAME)
    blank = active.next(np.full_like(FRAME, 128))
    assert (blank.state, blank.target_id, blank.confidence) == (State.OCCLUDED, target_id, 0)
    assert blank.roi == pytest.approx(before.roi, abs=2)
    assert not blank.has_mask
    seen = [it.memory.writes + it.memory.refused for it in (before, blank)]
    assert seen[1] == seen[0] + 1
    assert blank.spread > before.spread
    assert active.next(FRAME).state == State.TRACKING


def test_resolution_changes_in_mid_stream(active: Stage) -> None:
    target_id = active.init_target(box=BOX).target_id
    for size in (SIZE, (640, 480), (160, 120), SIZE):
        stamp = active.publish(scene(*size))
        target = active.target(stamp)
        assert (target.state, target.target_id) == (State.TRACKING, target_id)
        assert (target.image_width, target.image_height) == size
        scale = size[0] / SIZE[0]
        centre = target.box.center_x / scale, target.box.center_y / scale
        assert centre == pytest.approx((X + W / 2, Y + H / 2), abs=30)
        if target.has_mask:
            assert (active.mask(stamp).width, active.mask(stamp).height) == size


def test_a_camera_that_goes_and_comes_back(active: Stage) -> None:
    target_id = active.init_target(box=BOX).target_id
    active.shown()
    active.destroy_publisher(active.images)
    active.until(
        lambda: not active.tracker.count_publishers(f'{active.space}/image'),
        'the end of the camera',
    )
    active.until(
        lambda: any(
            f'no image has come on {active.space}/image' in status.message
            for status in active.health
        ),
        'the warning',
    )
    active.images = active.create_publisher(Image, f'{active.space}/image', QoSProfile(depth=10))
    target = active.shown()
    assert (target.state, target.target_id) == (State.TRACKING, target_id)


def test_images_that_come_faster_than_they_are_processed_are_dropped_and_counted(
    active: Stage,
) -> None:
    active.bring(DEACTIVATE, ACTIVATE)
    pipeline = active.tracker.pipeline
    with pipeline.turn():  # as long as a prompt has the session, no image is processed
        stamps = []
        while len(stamps) < 4:
            stamps.append(active.publish(FRAME))
            active.until(lambda: pipeline.frames.received == len(stamps), 'the image')
    target = active.target(stamps[-1])
    answered = [nanoseconds(stamp) in active.targets for stamp in stamps]
    assert answered == [False, False, False, True]
    assert target.frames_dropped == 3


def test_every_image_is_answered_in_order_with_its_own_header(active: Stage) -> None:
    assert active.init_target(box=BOX).success
    stamps = []
    for _ in range(5):
        stamps.append(active.publish(FRAME))
        active.target(stamps[-1])
    keys = list(active.targets)
    assert keys[-5:] == [nanoseconds(stamp) for stamp in stamps]


def test_stamps_of_a_time_to_come_have_no_age(active: Stage) -> None:
    stamp = active.get_clock().now().to_msg()
    stamp.sec += 1000
    assert isnan(active.target(active.publish(FRAME, stamp)).image_age)
    target = active.shown()  # back in time
    assert 0 < target.image_age < DEADLINE
    refusal = active.init_target(box=BOX, stamp=stamp)
    assert 'only 1 from' in refusal.message


def test_compressed_images_and_remapped_topics() -> None:
    with staged('-p image_transport:=compressed -r image:=/front/image_raw') as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        camera = stage.create_publisher(CompressedImage, '/front/image_raw/compressed', 10)
        ok, png = cv2.imencode('.png', FRAME)
        assert ok
        message = CompressedImage(format='png', data=array('B', png.tobytes()))
        assert stage.target(stage.send(camera, message)).state == State.IDLE
        assert stage.init_target(box=BOX).success
        assert stage.target(stage.send(camera, message)).image_width == SIZE[0]
        message.data = array('B', bytes(10))
        target = stage.target(stage.send(camera, message))
        assert (target.state, target.image_width) == (State.ERROR, 0)
    with staged('-p image_transport:=compressed -r image/compressed:=/front/jpeg') as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stage.until(lambda: stage.count_subscribers('/front/jpeg'), 'the subscription')


def calibrated(**fields: Any) -> CameraInfo:
    """K and P differ in their focal length."""
    info = CameraInfo(width=SIZE[0], height=SIZE[1], distortion_model='plumb_bob', d=[0.0] * 5)
    info.k = [200.0, 0.0, 100.0, 0.0, 200.0, 100.0, 0.0, 0.0, 1.0]
    info.p = [250.0, 0.0, 100.0, 0.0, 0.0, 250.0, 100.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def test_the_bearing_comes_from_the_camera_info_beside_the_image() -> None:
    with staged('-r image:=/front/image_raw', image='/front/image_raw') as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stage.shown()
        assert stage.init_target(box=BOX).success
        target = stage.shown()
        assert not target.bearing_valid
        assert isnan(target.bearing_x)
        camera_info = stage.create_publisher(CameraInfo, '/front/camera_info', 10)
        stage.send(camera_info, calibrated())
        stage.until(lambda: stage.tracker.pipeline.frames.calibration.lens, 'the calibration')
        target = stage.shown()
        assert target.bearing_valid
        assert target.bearing_x == pytest.approx(atan((target.box.center_x - 100) / 200), abs=1e-4)
        assert target.bearing_y == pytest.approx(atan((target.box.center_y - 100) / 200), abs=1e-4)
        for _ in range(2):
            stage.send(camera_info, calibrated(distortion_model='of my own'))
        stage.until(lambda: not stage.tracker.pipeline.frames.calibration.lens, 'the calibration')
        assert not stage.shown().bearing_valid
        stage.until(lambda: stage.said("no bearing: the distortion_model 'of my own'"), 'the log')
        assert stage.said('no bearing: ') == 1
    with staged('-r camera_info:=/calibration') as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stage.until(lambda: stage.count_subscribers('/calibration'), 'the subscription')


@pytest.mark.parametrize(
    ('topic', 'parameter', 'focal'),
    [('image_rect', '', 250), ('image_rect', 'false', 200), ('image_raw', 'true', 250)],
)
def test_rectified_images_have_the_bearing_of_their_projection(
    topic: str, parameter: str, focal: float
) -> None:
    given = f'-p rectified:={parameter}' if parameter else ''
    topic = f'/wide/{topic}'
    with staged(f'-r image:={topic} {given}', image=topic) as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stage.send(stage.create_publisher(CameraInfo, '/wide/camera_info', 10), calibrated())
        stage.until(lambda: stage.tracker.pipeline.frames.calibration.lens, 'the calibration')
        stage.shown()
        assert stage.init_target(box=BOX).success
        target = stage.shown()
        expected = atan((target.box.center_x - 100) / focal)
        assert target.bearing_x == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize('late', [False, True], ids=['before the node', 'after the node'])
def test_a_calibration_that_is_sent_once_and_kept_is_heard(late: bool) -> None:
    profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with staged() as stage:
        name = f'{stage.space}/camera_info'
        stage.bring(CONFIGURE)
        if late:
            stage.bring(ACTIVATE)
        stage.create_publisher(CameraInfo, name, profile).publish(calibrated())
        if not late:
            stage.bring(ACTIVATE)
        stage.until(lambda: stage.tracker.pipeline.frames.calibration.lens, 'the calibration')
        stage.bring(DEACTIVATE)
        stage.until(lambda: not stage.tracker.count_subscribers(name), 'the end of both')
        stage.bring(ACTIVATE)
        stage.until(lambda: stage.tracker.pipeline.frames.calibration.lens, 'the same again')


def test_quality_of_service_can_be_overridden() -> None:
    with staged(
        '-p qos_overrides.NS/image.subscription.reliability:=reliable',
        '-p qos_overrides.NS/image.subscription.depth:=5',
        '-p qos_overrides.NS/camera_info.subscription.durability:=transient_local',
        '-p qos_overrides.NS/memtrack/overlay.publisher.reliability:=best_effort',
    ) as stage:
        stage.bring(CONFIGURE, ACTIVATE, DEACTIVATE, ACTIVATE)
        (image,) = stage.tracker.get_subscriptions_info_by_topic(f'{stage.space}/image')
        assert image.qos_profile.reliability.name == 'RELIABLE'
        (info,) = stage.tracker.get_subscriptions_info_by_topic(f'{stage.space}/camera_info')
        assert info.qos_profile.durability.name == 'TRANSIENT_LOCAL'
        (overlay,) = stage.tracker.get_publishers_info_by_topic(f'{stage.space}/memtrack/overlay')
        assert overlay.qos_profile.reliability.name == 'BEST_EFFORT'
        (target,) = stage.tracker.get_publishers_info_by_topic(f'{stage.space}/memtrack/target')
        assert target.qos_profile.reliability.name == 'RELIABLE'
    with staged('-p qos_overrides.NS/image.subscription.reliability:=sometimes') as stage:
        stage.bring(CONFIGURE)
        assert not stage.change(ACTIVATE)
        assert stage.lifecycle() == INACTIVE
        stage.until(lambda: stage.said('activate failed: '), 'the reason')


# Diagnostics and the process


def test_diagnostics(active: Stage) -> None:
    assert active.init_target(box=BOX).success
    active.shown()

    def healthy() -> DiagnosticStatus | None:
        active.shown()
        latest = active.health[-1] if active.health else None
        well = latest and latest.message == 'TRACKING'
        return latest if well and float(values(latest)['frames per second']) > 0 else None

    active.until(healthy, 'a healthy status')
    status = next(status for status in reversed(active.health) if status.message == 'TRACKING')
    assert status.level == DiagnosticStatus.OK
    said = values(status)
    assert (said['state'], said['device'], said['tracker']) == ('TRACKING', 'cpu', 'dmv')
    assert float(said['image age [s]']) > 0
    assert int(said['memory entries']) > 0
    assert int(said['memory bytes']) > 0
    assert {'images dropped', 'images missing', 'memory capacity'} <= said.keys()
    active.target(active.send(active.images, wrong(step=5)))
    active.until(
        lambda: any(
            status.level == DiagnosticStatus.ERROR and 'step 5 is below' in status.message
            for status in active.health
        ),
        'the error',
    )


def test_lost_images_are_a_warning_with_its_remedy(active: Stage) -> None:
    active.tracker.pipeline.frames.lost += 7
    active.until(
        lambda: any(
            status.level == DiagnosticStatus.WARN
            and '7 images' in status.message
            and 'shared-memory profile' in status.message
            for status in active.health
        ),
        'the warning',
    )


def test_an_error_is_cleared_by_success_only(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(frame: Any, *_: Any) -> None:
        time.sleep(0.7)
        raise RuntimeError('out of memory')

    active.shown()
    assert active.init_target(box=BOX).success
    with monkeypatch.context() as patch:
        patch.setattr(active.tracker.pipeline.roster.session, 'step', fail)
        active.shown()
        before = len(active.health)
        while len(active.health) < before + 4:
            active.shown()
    levels = {status.level for status in active.health[before + 1 :]}
    assert levels == {DiagnosticStatus.ERROR}
    active.shown()
    before = len(active.health)
    active.until(lambda: len(active.health) > before + 1, 'a diagnosis')
    assert active.health[-1].level == DiagnosticStatus.OK


def test_what_the_recent_images_take_is_bounded_and_reported() -> None:
    size = FRAME.nbytes
    with staged(f'-p frames.max_bytes:={2**20}') as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stamps = [stage.publish(FRAME)]
        for _ in range(6):
            stage.target(stamps[-1])
            stamps.append(stage.publish(FRAME))
        stage.target(stamps[-1])
        stage.until(
            lambda: stage.health and values(stage.health[-1]).get('images kept') == str(4),
            'the diagnosis',
        )
        assert int(values(stage.health[-1])['images kept [bytes]']) == 4 * size <= 2**20
        refusal = stage.init_target(box=BOX, stamp=stamps[0])
        assert 'only 4 from' in refusal.message
        assert 'raise frames.max_bytes' in refusal.message
        assert stage.init_target(box=BOX, stamp=stamps[-4]).success


def test_frames_per_second_are_those_of_the_time_that_passed(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(diagnostics, 'time', clock)
    health = diagnostics.Health(active.tracker)
    clock.now += 1
    health.status('active', active.tracker.pipeline, '')
    for _ in range(5):
        active.shown()
    clock.now += 2.5
    status = health.status('active', active.tracker.pipeline, '')
    assert values(status)['frames per second'] == '2.000'


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {value.key: value.value for value in status.values}


def test_a_camera_has_time_to_start(active: Stage) -> None:
    active.bring(DEACTIVATE)
    active.until(lambda: active.health[-1].message == 'inactive', 'the diagnosis')
    active.bring(ACTIVATE)
    before = len(active.health)
    active.until(lambda: len(active.health) >= before + 3, 'diagnoses')
    assert {status.level for status in active.health[before:]} == {DiagnosticStatus.OK}


def test_every_warning_has_a_throttle_of_its_own(
    active: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, 'START', 0.0)
    monkeypatch.setattr(diagnostics, 'PAUSE', 0.0)
    active.tracker._warned.clear()
    already = active.said('no image has come'), active.said('were lost')
    active.bring(DEACTIVATE, ACTIVATE)
    active.until(lambda: active.said('no image has come') > already[0], 'the first warning')
    active.tracker.pipeline.frames.lost += 3
    active.until(lambda: active.said('were lost') > already[1], 'the second warning')
    said = active.said('no image has come')
    before = len(active.health)
    active.until(lambda: len(active.health) >= before + 2, 'diagnoses')
    assert active.said('no image has come') == said


def test_images_of_another_kind_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, 'START', 0.0)
    elsewhere = Context()  # within one the two kinds would clash
    rclpy.init(context=elsewhere)
    camera = Node('camera', context=elsewhere)
    camera.create_publisher(CompressedImage, '/front/jpeg', 10)
    try:
        with staged('-r image:=/front/jpeg') as stage:
            stage.bring(CONFIGURE, ACTIVATE)
            reason = 'published as sensor_msgs/msg/CompressedImage; set image_transport to compr'
            stage.until(lambda: stage.said(reason), 'the warning')
    finally:
        camera.destroy_node()
        rclpy.shutdown(context=elsewhere)


@pytest.mark.parametrize(
    ('transport', 'image', 'reason'),
    [
        ('raw', '/front/compressed', 'image_transport to compressed, and image to /front'),
        ('compressed', '/front/compressed', 'compressed twice: with'),
        ('raw', '/depth/compressedDepth', 'image_transport compressedDepth is not read'),
        ('compressed', '/front/theora', 'image_transport theora is not read'),
    ],
)
def test_a_topic_of_another_transport_is_named_at_activate(
    transport: str, image: str, reason: str
) -> None:
    with staged(f'-p image_transport:={transport} -r image:={image}') as stage:
        stage.bring(CONFIGURE)
        assert not stage.change(ACTIVATE)
        assert stage.lifecycle() == INACTIVE
        stage.until(lambda: stage.said(reason), 'the reason')
        assert not stage.said('Traceback')


def test_what_happens_is_logged(stage: Stage) -> None:
    stage.bring(CONFIGURE, ACTIVATE)
    stage.shown()
    target_id = stage.init_target(box=BOX).target_id
    stage.shown()
    stage.reset()
    stage.shown()
    for text in (
        f'active: images are awaited on {stage.space}/image',
        f'init_target: target {target_id} is set',
        f'target {target_id}: IDLE -> TRACKING',
        f'target {target_id}: TRACKING -> IDLE',
    ):
        stage.until(lambda text=text: stage.said(text) == 1, text)
        (level,) = {level for log, level in stage.levels.items() if text in log}
        assert level == Log.INFO


@pytest.mark.parametrize('kind', ['init_target', 'reset'])
def test_a_burst_of_requests_is_answered_whole(active: Stage, kind: str) -> None:
    if kind == 'reset':
        client, request = active._reset, Trigger.Request()
    else:
        client, request = active._init_target, InitTarget.Request()
        request.box = messages.box_to_message(OrientedBox.from_box(BOX))
    active.until(client.service_is_ready, 'the service')
    with active.tracker.pipeline.turn():  # so that they pile up
        futures = [client.call_async(request) for _ in range(60)]
    active.until(lambda: all(future.done() for future in futures), 'all answers')
    assert all(future.result().success for future in futures)
    if kind == 'init_target':
        ids = [future.result().target_id for future in futures]
        assert sorted(set(ids)) == ids


def test_missing_images_are_counted_right_in_a_flood(active: Stage) -> None:
    active.bring(DEACTIVATE, ACTIVATE)
    active.shown()
    frames = active.tracker.pipeline.frames
    small = FRAME[:32, :32].copy()
    for number in range(1, 400):
        stamp = active.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=str(number))
        active.images.publish(messages.bgr_to_image(small, header))
        time.sleep(0.001 if number % 7 else 0.01)
    active.target(active.publish(FRAME))  # its number is 400
    assert frames.received + frames.missing == 401


def test_a_finalized_node_says_so(stage: Stage) -> None:
    assert stage.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    for answer in (stage.init_target(box=BOX), stage.reset(), stage.save_memory('x')):
        assert not answer.success
        assert 'the node is finalized, for good: start it again' in answer.message
    stage.until(lambda: stage.health and stage.health[-1].message == 'finalized', 'the diagnosis')


@pytest.mark.parametrize('folder', ["''", '~nosuchuser/x'])
def test_a_folder_that_cannot_be_is_named(folder: str) -> None:
    with staged(f'-p memory.folder:={folder}') as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        stage.shown()
        assert stage.init_target(box=BOX).success
        for answer in (stage.save_memory('cup'), stage.load_memory('cup')):
            assert not answer.success
            assert answer.message.startswith('memory.folder ')
        assert not stage.said('Traceback')


# nav2's lifecycle manager


class DoubleOfBond:
    """Stands in for bondpy's Bond, which PyPI does not have."""

    held: ClassVar[list[DoubleOfBond]] = []

    def __init__(self, node: Any, topic: str, bond_id: str) -> None:
        self.asked = topic, bond_id
        self.sub = self.pub = None

    def start(self) -> None:
        self.held.append(self)

    def shutdown(self) -> None:
        self.held.remove(self)


def test_a_bond_is_held_while_active(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bond, 'Bond', DoubleOfBond)
    stage.bring(CONFIGURE)
    for _ in range(2):
        assert DoubleOfBond.held == []
        stage.bring(ACTIVATE)
        assert [one.asked for one in DoubleOfBond.held] == [('bond', 'memtrack')]
        stage.bring(DEACTIVATE)
    stage.bring(ACTIVATE)
    assert stage.change(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert DoubleOfBond.held == []


def test_the_bond_is_formed_and_broken_as_the_manager_expects() -> None:
    bondpy = pytest.importorskip('bondpy.bondpy', reason='bondpy comes with an installed ROS 2')
    with staged() as stage:
        stage.bring(CONFIGURE)
        managers = bondpy.Bond(stage, f'{stage.space}/bond', 'memtrack')
        managers.start()
        stage.bring(ACTIVATE)
        assert managers.wait_until_formed(Duration(seconds=DEADLINE))
        stage.shown()
        stage.bring(DEACTIVATE)
        assert managers.wait_until_broken(Duration(seconds=DEADLINE))
        stage.until(
            lambda: stage.count_publishers(f'{stage.space}/bond') == 1,
            'the end of the bond',
        )
        stage.bring(ACTIVATE)
        stage.shown()
    managers.is_shutdown = True  # its node is gone: nothing is left to be undone


# The process


def test_a_wrong_name_is_one_sentence(domain: None) -> None:
    for remapping in ({'image': '/camera/1x'}, {'__ns': 'a b'}, {'__node': 'a-b'}):
        with NodeProcess('nodes.tracker_node', {}, remapping) as process:
            assert process.wait(DEADLINE) == 1
            assert 'names are letters, digits and _ between slashes' in process.output()
            assert 'Traceback' not in process.output()


def test_an_interrupt_while_it_imports_is_quiet(domain: None) -> None:
    with NodeProcess('nodes.tracker_node', {}) as process:
        await_import(process.pid)
        process.interrupt()
        assert (process.wait(DEADLINE), process.output()) == (130, '')


def test_interrupts_during_a_switch_of_trackers_are_quiet(domain: None) -> None:
    with (
        NodeProcess('nodes.tracker_node', {}, {'__node': 'other'}) as process,
        TrackerClient('/other', check=process.check) as client,
    ):
        assert client.start()
        client.target(client.publish(FRAME))
        request = InitTarget.Request(tracker='samn')
        request.box = messages.box_to_message(OrientedBox.from_box(BOX))
        client._init_target.wait_for_service(DEADLINE)
        client._init_target.call_async(request)
        time.sleep(0.3)
        for _ in range(3):
            process.interrupt()
            time.sleep(0.1)
        assert process.wait(DEADLINE) == 0
        assert 'Traceback' not in process.output()


def test_the_process_ends_on_interrupt_and_on_wrong_parameters(domain: None) -> None:
    with NodeProcess('nodes.tracker_node', {'frames.ring': 'many'}) as process:
        assert process.wait(DEADLINE) == 1
        assert 'frames.ring' in process.output()
        assert 'Traceback' not in process.output()
    with NodeProcess('nodes.tracker_node', {}, {'__node': 'other'}) as process:
        with TrackerClient('/other', check=process.check) as client:
            assert client.change(CONFIGURE)
            assert client.change(ACTIVATE)
            client.target(client.publish(FRAME))
            process.stop()
        assert process.code == 0
        assert 'Traceback' not in process.output()
