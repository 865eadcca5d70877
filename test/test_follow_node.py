"""The follow node, live: what comes out of the messages that it hears, and when it stands still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import count
from math import atan, inf, isnan, nan, pi, tan
from typing import Any

import pytest
from geometry_msgs.msg import Point, TwistStamped
from memtrack_ros.msg import TrackedTarget
from rcl_interfaces.msg import Log
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile

from memtrack_ros.control import AXES, Axis, Velocity
from memtrack_ros.nodes import follow_parameters
from memtrack_ros.nodes.follow_node import FollowNode, measured, twist
from memtrack_ros.tools.client import TrackerClient
from memtrack_ros.tools.processes import NodeProcess

pytestmark = pytest.mark.usefixtures('ros')

DEADLINE = 60
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
SPACES = count(1)
ROI = 300.0, 220.0, 40.0, 40.0
"""In the middle of an image of 640 by 480."""


def seen(**facts: Any) -> TrackedTarget:
    """A target that is tracked in the middle of an image, but for these facts."""
    given = {
        'target_id': 1, 'state': TrackedTarget.TRACKING, 'roi': ROI, 'image_width': 640,
        'image_height': 480, 'bearing_valid': True, 'image_age': 0.01,
    }  # fmt: skip
    return TrackedTarget(**{**given, **facts})


# -- what a message says


def test_a_sight_is_what_the_message_says() -> None:
    target = seen(bearing_x=0.25, bearing_y=-0.5, target_id=7)
    target.header.stamp.sec, target.header.stamp.nanosec = 12, 500_000_000
    measurement = measured(target, 0.1, 0.0)
    assert (measurement.target_id, measurement.tracking, measurement.stamp, measurement.age) == (
        7,
        True,
        12.5,
        0.1,
    )
    assert measurement.bearing == (0.25, -0.5)
    assert measurement.size == 40 / 640
    assert not measurement.cut
    assert isnan(measurement.distance)
    target.position, target.position_valid = Point(x=2.0, y=3.0, z=6.0), True
    assert measured(target, 0.1, 0.0).distance == 7


def test_only_tracking_is_acted_on() -> None:
    """Whatever states are still to come."""
    for state in range(256):
        measurement = measured(seen(state=state), 0.0, 0.0)
        assert measurement.tracking == (state == TrackedTarget.TRACKING)
        assert bool(measurement.fault()) != measurement.tracking


@pytest.mark.parametrize(
    ('roi', 'right', 'below'),
    [
        ((300.0, 220.0, 40.0, 40.0), 0.0, 0.0),
        ((620.0, 220.0, 40.0, 40.0), 0.5, 0.0),  # its centre is on the right border
        ((300.0, 440.0, 40.0, 80.0), 0.0, atan(0.75 * tan(0.5))),  # on the lower one, 4:3
        ((-20.0, 220.0, 40.0, 40.0), -0.5, 0.0),
    ],
)
def test_a_field_of_view_gives_the_bearing_of_the_middle_of_the_roi(
    roi: tuple[float, ...], right: float, below: float
) -> None:
    target = seen(roi=roi, bearing_valid=False, bearing_x=nan, bearing_y=nan)
    assert measured(target, 0.0, 1.0).bearing == pytest.approx((right, below), abs=1e-6)
    assert measured(target, 0.0, 0.0).fault() == 'the target has no valid bearing'
    known = seen(roi=roi, bearing_x=0.125, bearing_y=0.25)
    assert measured(known, 0.0, 1.0).bearing == (0.125, 0.25)


@pytest.mark.parametrize(
    'facts',
    [
        {'roi': (nan,) * 4},
        {'roi': (inf, 0.0, 10.0, 10.0)},
        {'image_width': 0},
        {'image_height': 0},
        {'bearing_valid': True, 'bearing_x': nan},
        {'bearing_valid': True, 'bearing_y': inf},
        {'bearing_valid': True, 'bearing_x': pi / 2 + 0.1},
    ],
)
def test_nonsense_is_not_acted_on(facts: dict[str, Any]) -> None:
    assert measured(seen(**{'bearing_valid': False, **facts}), 0.0, 1.0).fault()


@pytest.mark.parametrize(
    ('roi', 'cut'),
    [
        ((1.0, 1.0, 638.0, 478.0), False),
        ((0.0, 100.0, 50.0, 50.0), True),
        ((-3.0, 100.0, 50.0, 50.0), True),
        ((100.0, 0.0, 50.0, 50.0), True),
        ((590.0, 100.0, 50.0, 50.0), True),
        ((100.0, 430.0, 50.0, 50.0), True),
    ],
)
def test_a_target_at_the_border_is_cut(roi: tuple[float, ...], cut: bool) -> None:
    assert measured(seen(roi=roi), 0.0, 0.0).cut is cut


def test_a_twist_is_by_rep_103() -> None:
    made = twist(Velocity(yaw=1.0, pitch=2.0, vertical=3.0, forward=4.0))
    assert (made.linear.x, made.linear.y, made.linear.z) == (4, 0, 3)
    assert (made.angular.x, made.angular.y, made.angular.z) == (0, 2, 1)


# -- parameters


@contextmanager
def made(**given: Any) -> Iterator[FollowNode]:
    """A node with these parameters in a namespace of its own."""
    overrides = [Parameter(name.replace('__', '.'), value=value) for name, value in given.items()]
    node = FollowNode(namespace=f'/robot{next(SPACES)}', parameter_overrides=overrides)
    try:
        yield node
    finally:
        node.release()
        node.destroy_node()


def refused(node: Node, name: str, value: Any) -> str:
    """Why a parameter cannot be set; empty when it was."""
    return str(node.set_parameters([Parameter(name, value=value)])[0].reason)


def test_every_parameter_is_described() -> None:
    with made() as node:
        for row in follow_parameters.TABLE:
            descriptor = node.describe_parameter(row.name)
            assert descriptor.description.endswith('.')
            assert row.unit in descriptor.additional_constraints
            if isinstance(row.default, float):
                ranges = descriptor.floating_point_range
                assert ranges or 'above 0 and at most' in descriptor.additional_constraints


def test_every_axis_has_its_parameters() -> None:
    rows = {row.name for row in follow_parameters.TABLE}
    for name in {name for names in AXES.values() for name in names}:
        needed = {field.name for field in fields(Axis)} - {'set_point'}
        assert {f'{name}.{field}' for field in needed} <= rows
        assert (f'{name}.set_point' in rows) == (name != 'forward')


@pytest.mark.parametrize(
    ('given', 'sentence'),
    [
        ({'axes': 'boat'}, "axes 'boat' is unknown: choose one of gimbal, ground, uav"),
        ({'axes': ''}, "axes '' is unknown"),
        ({'yaw__max_speed': 0.0}, 'yaw.max_speed is 0 rad/s: give more than 0 and at most 20'),
        ({'pitch__max_acceleration': -1.0}, 'pitch.max_acceleration is -1 rad/s^2: give more'),
        ({'forward__max_speed': -0.5}, 'forward.max_speed is -0.5 m/s: give more than 0'),
        ({'vertical__max_acceleration': 0.0}, 'vertical.max_acceleration is 0 m/s^2: give more'),
        ({'yaw__max_speed': nan}, 'yaw.max_speed is nan: give a finite number'),
        ({'yaw__max_speed': 1000.0}, 'yaw.max_speed is 1000 rad/s: give more than 0 and at most'),
        ({'timeout': 0.0}, 'timeout is 0 s: give more than 0 and at most 10'),
        ({'timeout': -1.0}, 'timeout is -1 s'),
        ({'yaw__max_acceleration': 0.1}, 'takes 10 s to brake by yaw.max_acceleration 0.1'),
    ],
)
def test_what_is_not_safe_is_refused_at_configure_and_afterwards(
    given: dict[str, Any], sentence: str
) -> None:
    with made(**given) as node:
        assert node.trigger_configure() == FAILURE
        assert sentence in node.fault
        assert '\n' not in node.fault
    with made() as node:
        ((name, value),) = given.items()
        name = name.replace('__', '.')
        for configured in (False, True):
            if configured:
                assert node.trigger_configure() == SUCCESS
            assert sentence in refused(node, name, value)


def test_what_is_out_of_its_range_ends_the_node() -> None:
    for given in ({'rate': 1.0}, {'feed_forward': 1.5}, {'yaw__gain': -1.0}, {'fallback_fov': 4.0}):
        with pytest.raises(ParameterException, match=next(iter(given)).replace('__', '.')):
            FollowNode(parameter_overrides=[
                Parameter(name.replace('__', '.'), value=value) for name, value in given.items()
            ])  # fmt: skip


def test_what_configure_read_stays_until_cleanup() -> None:
    with made() as node:
        changes = {'axes': 'uav', 'rate': 50.0, 'dry_run': True, 'frame_id': 'gimbal'}
        assert node.trigger_configure() == SUCCESS
        for name, value in changes.items():
            assert f'{name} is read when the node is configured' in refused(node, name, value)
        assert not refused(node, 'yaw.gain', 3.0)
        assert node.trigger_cleanup() == SUCCESS
        for name, value in changes.items():
            assert not refused(node, name, value)
        assert node.trigger_configure() == SUCCESS


# -- live


class Robot(Node):
    """Hears commands, and says where the target is."""

    def __init__(self, space: str) -> None:
        super().__init__('robot', namespace=space)
        self.commands: list[TwistStamped] = []
        self.previews: list[TwistStamped] = []
        self.logs: list[str] = []
        follow = f'{space}/follow'
        self.create_subscription(TwistStamped, f'{follow}/cmd_vel', self.commands.append, 1000)
        preview = f'{follow}/cmd_vel_preview'
        self.create_subscription(TwistStamped, preview, self.previews.append, 1000)
        self.create_subscription(Log, '/rosout', self._hear, QoSProfile(depth=1000))
        self._targets = self.create_publisher(TrackedTarget, f'{space}/memtrack/target', 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def close(self) -> None:
        self._executor.shutdown()
        self.destroy_node()

    def also(self, node: Node) -> None:
        """Runs another node as well."""
        self._executor.add_node(node)

    def _hear(self, log: Log) -> None:
        if log.name == f'{self.get_namespace()[1:]}.follow':
            self.logs.append(log.msg)

    def until(
        self, ready: Callable[[], Any], target: TrackedTarget | None = None, what: str = ''
    ) -> None:
        """Waits; says meanwhile, thirty times a second, that this is the target."""
        end, due = time.monotonic() + DEADLINE, 0.0
        while not ready():
            now = time.monotonic()
            assert now < end, (what, self.logs)
            if target is not None and now >= due:
                target.header.stamp = self.get_clock().now().to_msg()
                self._targets.publish(target)
                due = now + 1 / 30
            self._executor.spin_once(0.005)

    def turns(self) -> float:
        """The newest yaw rate."""
        return self.commands[-1].twist.angular.z if self.commands else 0.0

    def drain(self) -> None:
        """Takes what has come."""
        quiet = time.monotonic() + 0.3
        self.until(lambda: time.monotonic() > quiet)

    def rests(self, commands: list[TwistStamped] | None = None, count: int = 5) -> bool:
        """Whether as many commands, the newest, are zero."""
        last = (self.commands if commands is None else commands)[-count:]
        return len(last) == count and all(command.twist == twist(Velocity()) for command in last)


@contextmanager
def following(**given: Any) -> Iterator[tuple[FollowNode, Robot]]:
    """The active node and its robot, in one thread."""
    with made(**given) as node:
        robot = Robot(node.get_namespace())
        try:
            robot.also(node)
            assert node.trigger_configure() == SUCCESS
            assert node.trigger_activate() == SUCCESS
            robot.until(robot._targets.get_subscription_count, what='the node listens')
            yield node, robot
        finally:
            robot.close()


def test_it_stands_still_turns_to_the_target_and_stands_still() -> None:
    with following(frame_id='gimbal') as (node, robot):
        robot.until(lambda: len(robot.commands) > 10)
        hidden = seen(bearing_x=0.4, state=TrackedTarget.OCCLUDED)
        before = len(robot.commands)
        robot.until(lambda: len(robot.commands) > before + 20, hidden)
        assert robot.rests(count=len(robot.commands))  # never before the first TRACKING
        assert {command.header.frame_id for command in robot.commands} == {'gimbal'}
        stamps = [command.header.stamp for command in robot.commands]
        assert all(stamp.sec > 0 for stamp in stamps)

        robot.until(lambda: robot.turns() < -0.3, seen(bearing_x=0.4), 'turning right')
        assert 'following the target' in robot.logs[-1]
        robot.until(robot.rests, hidden, 'rest while it is hidden')
        robot.until(lambda: robot.turns() > 0.3, seen(bearing_x=-0.4), 'turning left')
        robot.until(robot.rests, None, 'rest without messages')
        assert any('older than the timeout of 0.5 s' in log for log in robot.logs)
        robot.until(lambda: robot.turns() < -0.3, seen(bearing_x=0.4), 'turning again')
        robot.until(robot.rests, seen(bearing_x=nan), 'rest without a bearing')
        assert not robot.previews
        limit = node.get_parameter('yaw.max_speed').value
        assert max(abs(command.twist.angular.z) for command in robot.commands) <= limit


@pytest.mark.parametrize('end', ['deactivate', 'shutdown'])
def test_it_comes_to_rest_before_it_ends(end: str) -> None:
    with following(yaw__max_acceleration=2.0) as (node, robot):
        # However much it turns, the target is where it was: so it turns as fast as it may.
        robot.until(lambda: robot.turns() == -1.0, seen(bearing_x=0.6))
        robot.commands.clear()
        assert getattr(node, f'trigger_{end}')() == SUCCESS
        robot.drain()
        rates = [-command.twist.angular.z for command in robot.commands]
        assert rates == sorted(rates, reverse=True)  # braking, not at once
        assert rates[0] > 0.3
        assert rates[-1] == 0
        robot.commands.clear()
        quiet = time.monotonic() + 0.5
        robot.until(lambda: time.monotonic() > quiet, seen(bearing_x=0.6))
        assert not robot.commands
        if end == 'deactivate':
            assert node.trigger_activate() == SUCCESS
            robot.until(lambda: len(robot.commands) > 10)
            assert robot.rests(count=len(robot.commands))
            robot.until(lambda: robot.turns() < -0.3, seen(bearing_x=0.6))


def test_a_dry_run_commands_nothing() -> None:
    with following(dry_run=True, axes='ground') as (node, robot):
        robot.until(
            lambda: robot.previews and robot.previews[-1].twist.angular.z < -0.3,
            seen(bearing_x=0.4),
        )
        node.trigger_deactivate()
        robot.drain()
        assert not robot.commands
        assert not robot.count_publishers(f'{node.get_namespace()}/follow/cmd_vel')


def test_without_a_bearing_it_says_so_once_and_takes_a_given_field_of_view() -> None:
    unknown = seen(
        roi=(500.0, 220.0, 40.0, 40.0), bearing_valid=False, bearing_x=nan, bearing_y=nan
    )
    with following() as (node, robot):
        before = len(robot.commands)
        robot.until(lambda: len(robot.commands) > before + 20, unknown)
        assert robot.rests(count=len(robot.commands))
        said = [log for log in robot.logs if 'calibrate the camera' in log]
        assert len(said) == 1
        assert 'fallback_fov' in said[0]
        assert not refused(node, 'fallback_fov', 1.2)
        robot.until(lambda: robot.turns() < -0.1, unknown, 'turning right')


def test_gains_and_limits_may_change_on_the_way() -> None:
    with following(feed_forward=0.0) as (node, robot):
        robot.until(lambda: robot.turns() == pytest.approx(-1.5 * 0.09), seen(bearing_x=0.1))
        assert not refused(node, 'yaw.gain', 3.0)
        robot.until(lambda: robot.turns() == pytest.approx(-3 * 0.09), seen(bearing_x=0.1))
        assert not refused(node, 'yaw.max_speed', 0.2)
        robot.until(lambda: robot.turns() == pytest.approx(-0.2), seen(bearing_x=0.1))


@pytest.mark.parametrize('age', [5.0, nan])
def test_an_old_image_is_not_acted_on_however_new_its_message(age: float) -> None:
    with following() as (_, robot):
        before = len(robot.commands)
        old = seen(bearing_x=0.4, image_age=age)
        robot.until(lambda: len(robot.commands) > before + 20, old)
        assert robot.rests(count=len(robot.commands))


def test_interrupted_the_process_brakes_before_it_ends() -> None:
    space = f'/robot{next(SPACES)}'
    robot = Robot(space)
    try:
        with NodeProcess('nodes.follow_node', {}, {'__ns': space}) as process:
            with TrackerClient(f'{space}/follow') as conductor:
                conductor.check = process.check
                assert conductor.start(), process.output()
            robot.until(robot._targets.get_subscription_count, what='the node listens')
            robot.until(lambda: robot.turns() < -0.5, seen(bearing_x=0.6))
            process.interrupt()
            robot.until(lambda: process.code is not None)
            robot.drain()
            assert process.code == 0, process.output()
            assert robot.turns() == 0
    finally:
        robot.close()
