"""The lifecycle node `follow`: a tracked target in, velocities that keep it in view out.

configure    parameters are judged, the topic of the commands is made
activate     commands are published at a fixed rate: zero, until the target is surely seen
deactivate   it comes to rest within its limits, then publishes no more
cleanup, shutdown, error    the same, if it was active
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import sys
import time
from contextlib import ExitStack
from math import atan, dist, nan, sqrt, tan
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped, Vector3
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecyclePublisher
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from std_msgs.msg import Header

from memtrack_ros.control import Measurement, Servo, Velocity
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.nodes import follow_parameters, running
from memtrack_ros.nodes.follow_parameters import Following
from memtrack_ros.nodes.managed import ManagedNode

_DELIVERY = Duration(seconds=0.5)
_TARGET = 'memtrack/target'


class FollowNode(ManagedNode):
    """See the module; topics and parameters are in the README's tables."""

    def __init__(self, **options: Any) -> None:
        """Raises rclpy's ParameterException for a parameter of a wrong type or out of its range."""
        super().__init__('follow', **options)
        self._following: Following | None = None
        self._commands: LifecyclePublisher | None = None
        self._servo: Servo | None = None
        self._halted: str | None = None
        """Why it stood still when this was last told."""
        self._said_no_bearing = False
        follow_parameters.declare(self)
        self.add_on_set_parameters_callback(self._judge_parameters)

    def configure(self) -> ExitStack:
        """Judges the parameters and makes the topic of the commands."""
        following = follow_parameters.following(self)
        follow_parameters.settings(self)
        with ExitStack() as made:
            topic = '~/cmd_vel_preview' if following.dry_run else '~/cmd_vel'
            self._commands = self.publisher(TwistStamped, topic, 1, made)
            self._following = following
            made.callback(setattr, self, '_following', None)
            return made.pop_all()

    def activate(self) -> ExitStack:
        """Subscribes to the target, and commands at a fixed rate."""
        following = self._following
        assert following is not None
        period = 1 / following.rate
        with ExitStack() as made:
            servo = self._servo = Servo(follow_parameters.settings(self))
            self._halted = None
            made.callback(self._come_to_rest, servo, period)
            made.callback(setattr, self, '_servo', None)
            # Old messages are of no use: what is lost on its way is not sent again.
            targets = self.create_subscription(
                TrackedTarget,
                _TARGET,
                self._see,
                QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            made.callback(self.destroy_subscription, targets)
            # A clock that runs when simulated time stands still: it has to be able to brake.
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            timer = self.create_timer(period, self._command, clock=steady)
            made.callback(self.destroy_timer, timer)
            self.get_logger().info(
                f'active: {", ".join(servo.settings.axes)} once the target on '
                f'{targets.topic_name} is TRACKING'
            )
            return made.pop_all()

    def _see(self, target: TrackedTarget) -> None:
        if (servo := self._servo) is None:  # an executor may keep a destroyed subscription a while
            return
        fov = self.get_parameter('fallback_fov').value
        measurement = measured(target, self._age(target), fov)
        if measurement.tracking and not target.bearing_valid and not self._said_no_bearing:
            self._said_no_bearing = True
            self.get_logger().warning(
                f'the target has no bearing: the fallback_fov of {fov:g} rad gives it instead'
                if fov
                else 'the target has no bearing and is not followed: calibrate the camera '
                '(camera_info), or give its horizontal field of view as fallback_fov'
            )
        servo.see(measurement, time.monotonic())

    def _age(self, target: TrackedTarget) -> float:
        """Seconds since the image was taken, by the tracker and, later, by the clock here."""
        stamp = _seconds(target)
        here = self.get_clock().now().nanoseconds / 1e9 - stamp if stamp else 0.0
        return float(max(target.image_age, here))  # nan stays nan

    def _command(self) -> None:
        if (servo := self._servo) is not None:
            self._send(servo.step(time.monotonic()))
            if servo.halted != self._halted:
                self._halted = servo.halted
                self.get_logger().info(
                    f'at rest: {servo.halted}' if servo.halted else 'following the target'
                )

    def _come_to_rest(self, servo: Servo, period: float) -> None:
        """Brakes within the limits; the last command is zero, and has arrived where it can."""
        servo.forget()
        while self._send(servo.step(time.monotonic())) != Velocity():
            time.sleep(period)
        assert self._commands is not None
        self._commands.wait_for_all_acked(_DELIVERY)

    def _send(self, velocity: Velocity) -> Velocity:
        commands, following = self._commands, self._following
        assert commands is not None and following is not None
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=following.frame_id)
        commands.publish(TwistStamped(header=header, twist=twist(velocity)))
        return velocity

    def _judge_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        configured = self._following is not None
        reason = follow_parameters.refusal(self, changes, configured)
        if not reason and self._servo is not None:
            self._servo.settings = follow_parameters.settings(self, changes)
        return SetParametersResult(successful=not reason, reason=reason)


def measured(target: TrackedTarget, age: float, fov: float) -> Measurement:
    """What a message says, for the servo.

    age: seconds since the image was taken. fov: the horizontal field of view in rad by which a
    target without a bearing has one, as of a camera without distortion; 0: it has none.
    """
    x, y, width, height = map(float, target.roi)
    bearing = nan, nan
    if target.bearing_valid:
        bearing = target.bearing_x, target.bearing_y
    elif fov and target.image_width and target.image_height:
        focal = target.image_width / 2 / tan(fov / 2)
        bearing = (
            atan((x + width / 2 - target.image_width / 2) / focal),
            atan((y + height / 2 - target.image_height / 2) / focal),
        )
    there = width > 0 and height > 0 and target.image_width > 0
    place = target.position
    return Measurement(
        target_id=target.target_id,
        tracking=target.state == TrackedTarget.TRACKING,
        stamp=_seconds(target),
        age=age,
        bearing=bearing,
        size=sqrt(width * height) / target.image_width if there else nan,
        cut=min(x, y, target.image_width - x - width, target.image_height - y - height) <= 0,
        distance=dist((place.x, place.y, place.z), (0, 0, 0)) if target.position_valid else nan,
    )


def twist(velocity: Velocity) -> Twist:
    """A velocity as REP 103 has it: x forward, y left, z up, rotations right-handed."""
    return Twist(
        linear=Vector3(x=velocity.forward, z=velocity.vertical),
        angular=Vector3(y=velocity.pitch, z=velocity.yaw),
    )


def _seconds(target: TrackedTarget) -> float:
    stamp = target.header.stamp
    return float(stamp.sec + stamp.nanosec / 1e9)


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is interrupted; returns the exit code."""
    return running.run('follow', lambda _: FollowNode(), args)


if __name__ == '__main__':
    sys.exit(main())
