"""A live node against anything that DDS can bring: it answers, says why, and ends healthy.

pytest test/test_abuse.py --steps 2000 --seed 7    # a longer walk, another one
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from math import nan
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lifecycle_msgs.msg import Transition
from malformed import calibrations, images, prompts
from sensor_msgs.msg import CameraInfo, Image
from stage import (
    ACTIVATE,
    ACTIVE,
    BOX,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    FRAME,
    INACTIVE,
    SIZE,
    UNCONFIGURED,
    Stage,
    scene,
    staged,
)
from std_msgs.msg import Header

from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.nodes import messages
from memtrack_ros.session import State

pytestmark = pytest.mark.usefixtures('ros')

UNEXPECTED = 'the log of the node says more'


@pytest.fixture(scope='module')
def attacked(ros: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp('saved')
    with staged(
        f'-p memory.folder:={folder}',
        # One image is awaited after the other: none may be lost.
        '-p qos_overrides.NS/image.subscription.reliability:=reliable',
        '-p qos_overrides.NS/image.subscription.depth:=10',
    ) as stage:
        stage.calibrate = stage.create_publisher(CameraInfo, f'{stage.space}/camera_info', 10)
        stage.bring(CONFIGURE, ACTIVATE)
        yield stage


@settings(
    max_examples=300,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # what a live node was sent cannot be shrunk
    suppress_health_check=list(HealthCheck),
)
@given(sent=images() | prompts() | calibrations(), aware=st.booleans())
def test_whatever_is_sent_is_answered(attacked: Stage, sent: Any, aware: bool) -> None:
    """aware: with a target, which what was sent may not harm."""
    pipeline = attacked.tracker.pipeline
    if aware and pipeline.overview.state == State.IDLE:
        attacked.shown()
        assert attacked.init_target(box=BOX).success
    if isinstance(sent, Image):
        before = pipeline.processed
        attacked.wait_until(attacked.images.get_subscription_count, 'a subscriber')
        attacked.images.publish(sent)
        attacked.until(lambda: pipeline.processed > before, 'the answer')
    elif isinstance(sent, CameraInfo):
        attacked.calibrate.publish(sent)
        attacked.shown()
    else:
        answer = attacked.call(attacked._init_target, sent)
        assert answer.message
        assert UNEXPECTED not in answer.message
        assert answer.success == (answer.target_id > 0)
    assert not attacked.said('Traceback'), [log for log in attacked.logs if 'Traceback' in log]


def test_it_is_healthy_afterwards(attacked: Stage) -> None:
    healthy(attacked)


@pytest.fixture
def steps(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption('--steps'))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption('--seed'))


def test_a_random_walk_ends_healthy(attacked: Stage, steps: int, seed: int) -> None:
    """Calls and transitions in any order; every one is answered, as its state has it."""
    random = Random(seed)
    threads = threading.active_count()
    state = attacked.lifecycle()
    for step in range(steps):
        work = random.choices(list(WALK), [weight for weight, _ in WALK.values()])[0]
        where = f'seed {seed}, step {step}: {work} in state {state}'
        _, act = WALK[work]
        act(attacked, random, state, where)
        state = attacked.lifecycle()
        assert state in (UNCONFIGURED, INACTIVE, ACTIVE), where
        assert not attacked.said('Traceback'), where
    for transition in {UNCONFIGURED: [CONFIGURE, ACTIVATE], INACTIVE: [ACTIVATE]}.get(state, []):
        attacked.bring(transition)
    healthy(attacked)
    attacked.bring(DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE)
    healthy(attacked)
    attacked.until(lambda: threading.active_count() <= threads, 'the end of what was begun')


def healthy(stage: Stage) -> None:
    """The target is set, seen and followed, and the diagnosis is good."""
    info = CameraInfo(width=SIZE[0], height=SIZE[1])
    stage.calibrate.publish(info)
    assert stage.reset().success
    stage.shown()
    answer = stage.init_target(box=BOX)
    assert answer.success, answer.message
    for _ in range(3):
        target = stage.shown()
        assert (target.state, target.target_id) == (State.TRACKING, answer.target_id)
    before = len(stage.health)

    def well() -> bool:
        stage.shown()
        latest = stage.health[-1]
        return len(stage.health) > before + 1 and latest.level == DiagnosticStatus.OK

    stage.until(well, 'a good diagnosis')


# The steps of the walk: each is given the stage, what draws, the state, and what to say of it.

POSSIBLE = {
    UNCONFIGURED: {CONFIGURE},
    INACTIVE: {ACTIVATE, CLEANUP},
    ACTIVE: {DEACTIVATE},
}
TRANSITIONS = [CONFIGURE, ACTIVATE, DEACTIVATE, CLEANUP]


def transit(stage: Stage, random: Random, state: int, where: str) -> None:
    wanted = random.choice([*TRANSITIONS, *TRANSITIONS, Transition.TRANSITION_CREATE, 77, 255])
    assert stage.change(wanted) == (wanted in POSSIBLE[state]), f'{where}: {wanted}'


def prompt(stage: Stage, random: Random, state: int, where: str) -> None:
    tracker = random.choices(['', 'dmv', 'kcf'], [8, 1, 1])[0]
    kind = random.choice(['box', 'turned', 'point', 'mask', 'nothing', 'stale'])
    x, y, w, h = BOX
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[y : y + h, x : x + w] = 255
    answer = stage.init_target(
        tracker=tracker,
        **{
            'box': {'box': BOX},
            'turned': {'box': OrientedBox(x + w / 2, y + h / 2, w, h, random.uniform(-3, 3))},
            'point': {'point': (random.uniform(-9, 400), random.uniform(-9, 300))},
            'mask': {'mask': mask if random.random() < 0.7 else mask[:-1]},
            'nothing': {'box': (x, y, 0, random.choice([0, nan, -5]))},
            'stale': {'box': BOX, 'stamp': Time(sec=random.randrange(100))},
        }[kind],
    )
    answered(answer, where)
    if state != ACTIVE or kind in ('nothing', 'stale') or tracker == 'kcf':
        assert not answer.success, where


def reset(stage: Stage, random: Random, state: int, where: str) -> None:
    assert stage.reset().success == (state != UNCONFIGURED), where


def save(stage: Stage, random: Random, state: int, where: str) -> None:
    answer = stage.save_memory(random.choice(['a', 'b', '../c', '', 'x' * 300]))
    answered(answer, where)
    assert answer.success == Path(answer.path).is_file(), where


def load(stage: Stage, random: Random, state: int, where: str) -> None:
    answer = stage.load_memory(random.choice(['a', 'b', 'never', '/etc/passwd']))
    answered(answer, where)
    if state == UNCONFIGURED:
        assert not answer.success, where


def show(stage: Stage, random: Random, state: int, where: str) -> None:
    if state == ACTIVE:
        for _ in range(random.randrange(1, 4)):
            assert stage.shown(scene(*random.choice([SIZE, SIZE, SIZE, (640, 480)]))).image_width


def spoil(stage: Stage, random: Random, state: int, where: str) -> None:
    message = messages.bgr_to_image(FRAME, Header())
    name, value = random.choice(
        [('step', 3), ('encoding', 'nonsense'), ('width', 0), ('height', 2**31), ('data', b'123')]
    )
    setattr(message, name, value)
    if state == ACTIVE:
        assert stage.target(stage.send(stage.images, message)).state == State.ERROR, where


def change(stage: Stage, random: Random, state: int, where: str) -> None:
    name, value = random.choice(
        [
            ('tracker', random.choice(['stmtrack', 'dmv', 'nonsense'])),
            ('memory.folder', '/tmp'),
            ('frames.ring', random.choice([0, 5, 30])),
            ('presence.seen', random.choice([0.4, 0.5, 2.0])),
            ('nonsense', 1),
        ]
    )
    try:
        stage.set(name, value)
    except Exception as error:  # rclpy raises for what is not declared
        assert name == 'nonsense', (where, error)


def answered(answer: Any, where: str) -> None:
    assert answer.message, where
    assert UNEXPECTED not in answer.message, f'{where}: {answer.message}'


WALK = {
    'transit': (20, transit),
    'prompt': (20, prompt),
    'reset': (5, reset),
    'save': (8, save),
    'load': (8, load),
    'show': (20, show),
    'spoil': (12, spoil),
    'change': (7, change),
}
