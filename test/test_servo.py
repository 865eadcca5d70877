"""The control law that follows a target: signs, limits, and when it stands still."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import inf, nan, pi
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memtrack_ros.control import AXES, Axis, Measurement, Servo, ServoSettings, Velocity
from memtrack_ros.errors import ConfigurationError

PERIOD = 0.02
TIMEOUT = 0.5
AXIS = Axis(gain=2.0, dead_band=0.01, max_speed=1.0, max_acceleration=2.0)
STILL = Velocity()


def told(axes: str | dict[str, Axis] = 'uav', **others: Any) -> ServoSettings:
    if isinstance(axes, str):
        axes = dict.fromkeys(AXES[axes], AXIS)
    return ServoSettings(**{'axes': axes, 'timeout': TIMEOUT} | others)


def seen(right: float = 0.0, below: float = 0.0, **facts: Any) -> Measurement:
    return Measurement(
        **{'target_id': 1, 'tracking': True, 'stamp': 0.0, 'age': 0.0, 'size': 0.2} | facts,
        bearing=(right, below),
    )


def followed(servo: Servo, measurement: Measurement, seconds: float = 2.0) -> Velocity:
    """The velocity after this measurement was seen again and again for some seconds."""
    for step in range(round(seconds / PERIOD)):
        now = step * PERIOD
        servo.see(replace(measurement, stamp=now), now)
        servo.step(now)
    return servo.velocity


# -- signs, by REP 103: x forward, y left, z up, rotations right-handed


@pytest.mark.parametrize('axes', AXES)
def test_a_target_right_of_the_centre_turns_the_robot_right(axes: str) -> None:
    assert followed(Servo(told(axes)), seen(right=0.3)).yaw < 0
    assert followed(Servo(told(axes)), seen(right=-0.3)).yaw > 0


def test_a_target_below_pitches_the_gimbal_down_and_lets_the_uav_descend() -> None:
    assert followed(Servo(told('gimbal')), seen(below=0.3)).pitch > 0  # about y, which is left
    assert followed(Servo(told('gimbal')), seen(below=-0.3)).pitch < 0
    assert followed(Servo(told('uav')), seen(below=0.3)).vertical < 0
    assert followed(Servo(told('uav')), seen(below=-0.3)).vertical > 0


def test_a_target_further_away_than_wanted_is_approached() -> None:
    by_distance = told('ground', distance=2.0)
    assert followed(Servo(by_distance), seen(distance=3.0)).forward > 0
    assert followed(Servo(by_distance), seen(distance=1.0)).forward < 0
    by_size = told('ground', size=0.2)
    assert followed(Servo(by_size), seen(size=0.1)).forward > 0
    assert followed(Servo(by_size), seen(size=0.4)).forward < 0


@pytest.mark.parametrize('axes', AXES)
def test_only_the_velocities_of_the_axes_are_commanded(axes: str) -> None:
    moved = followed(Servo(told(axes, distance=1.0)), seen(0.5, 0.5, distance=4.0))
    assert {name for name, speed in moved._asdict().items() if speed} == set(AXES[axes])


# -- the law


def test_the_speed_is_the_gain_times_the_error_beyond_the_dead_band() -> None:
    assert followed(Servo(told()), seen(right=0.21)).yaw == pytest.approx(-2.0 * (0.21 - 0.01))
    assert followed(Servo(told()), seen(right=0.01, below=-0.01)) == STILL
    # Twice as far as wanted is an error of one whole.
    axes = {'forward': replace(AXIS, gain=0.4, dead_band=0.1)}
    far = followed(Servo(told(axes, distance=1.5)), seen(distance=3.0))
    assert far.forward == pytest.approx(0.4 * (1 - 0.1))


def test_the_target_is_kept_at_its_set_point() -> None:
    axes = {'yaw': replace(AXIS, set_point=0.2), 'pitch': replace(AXIS, set_point=-0.1)}
    assert followed(Servo(told(axes)), seen(right=0.2, below=-0.1)) == STILL
    assert followed(Servo(told(axes)), seen()).yaw == pytest.approx(2 * (0.2 - 0.01))


def test_the_apparent_size_is_kept_as_it_was_when_following_began() -> None:
    servo = Servo(told('ground'))
    servo.see(seen(size=0.5, tracking=False), 0.0)
    assert followed(servo, seen(size=0.3)).forward == 0
    assert followed(servo, seen(size=0.15)).forward > 0
    assert followed(Servo(told('ground')), seen(size=0.15)).forward == 0


def test_another_target_has_an_apparent_size_of_its_own() -> None:
    servo = Servo(told('ground'))
    followed(servo, seen(size=0.3))
    assert followed(servo, seen(size=0.1, target_id=2)).forward == 0


@pytest.mark.parametrize('distance', [nan, inf, 0.0, -1.0])
def test_without_a_distance_it_turns_but_does_not_drive(distance: float) -> None:
    moved = followed(Servo(told('ground', distance=1.0)), seen(right=0.3, distance=distance))
    assert moved.forward == 0
    assert moved.yaw < 0


@pytest.mark.parametrize('size', [nan, inf, 0.0, -0.1])
def test_without_a_size_it_turns_but_does_not_drive(size: float) -> None:
    servo = Servo(told('ground'))
    assert followed(servo, seen(right=0.3, size=size)).forward == 0
    assert servo.velocity.yaw < 0
    assert followed(servo, seen(size=0.3)).forward == 0  # and this one is its reference


def test_a_target_that_the_image_cuts_is_not_approached() -> None:
    """Half out of the image it has half its size, however near it is."""
    servo = Servo(told('ground', size=0.4))
    assert followed(servo, seen(size=0.2, cut=True)).forward == 0
    assert followed(servo, seen(size=0.8, cut=True)).forward < 0
    assert followed(Servo(told('ground', distance=1.0)), seen(distance=2, cut=True)).forward > 0


def run(
    feed_forward: float, rate: float, delay: float, lag: float = 0.0, seconds: float = 12.0
) -> list[float]:
    """The true bearing over time, of a target that goes round at `rate` rad/s to the right.

    Images are `delay` seconds old when they are heard, thirty a second; the robot takes on a
    commanded speed with a time constant of `lag` seconds.
    """
    axes = {'yaw': Axis(gain=2.0, dead_band=0.0, max_speed=2.0, max_acceleration=4.0)}
    servo = Servo(told(axes, feed_forward=feed_forward))
    tick, bearing, yaw = 1 / 150, 0.0, 0.0
    under_way: deque[Measurement] = deque()
    bearings = []
    for step in range(round(seconds / tick)):
        now = step * tick
        if step % 5 == 0:
            under_way.append(seen(right=bearing, stamp=now, age=delay))
        while under_way and under_way[0].stamp + delay <= now:
            servo.see(under_way.popleft(), now)
        if step % 3 == 0:
            servo.step(now)
        yaw += (servo.velocity.yaw - yaw) * (min(tick / lag, 1.0) if lag else 1.0)
        bearing += (rate + yaw) * tick
        bearings.append(bearing)
    return bearings


def test_a_target_that_goes_round_is_behind_by_its_rate_over_the_gain() -> None:
    """That of a proportional law on an integrator, whatever the delay."""
    for delay in (0.0, 0.1):
        assert run(0.0, 0.3, delay)[-1] == pytest.approx(0.3 / 2.0, rel=0.02)


@pytest.mark.parametrize('lag', [0.0, 0.15])
@pytest.mark.parametrize('delay', [0.03, 0.1, 0.2])
def test_the_feed_forward_makes_up_for_latency(delay: float, lag: float) -> None:
    settled = run(1.0, 0.3, delay, lag)[-150:]
    assert max(map(abs, settled)) < 0.02  # less than a seventh of what it is without
    # Half of it leaves half of the rate to the error, less what is foreseen of the delay.
    assert 0.02 < run(0.5, 0.3, delay, lag)[-1] < 0.3 / 2.0


@pytest.mark.parametrize('between', [5e-324, 2e-309, 1e-12, 1e-9])
def test_two_images_of_almost_one_time_make_no_rate_beyond_all_bounds(between: float) -> None:
    servo = Servo(told('gimbal'))
    servo.see(seen(0.0, 0.0, stamp=0.0), 0.0)
    servo.see(seen(0.0, 1.0, stamp=between), 0.0)
    servo.step(0.0)
    assert servo.step(PERIOD).pitch == pytest.approx(AXIS.max_acceleration * PERIOD)


def test_in_a_dry_run_the_robot_is_known_to_stand_still() -> None:
    """Otherwise its rate would be seen in a target that does not move, and wind up."""
    axes = {'yaw': replace(AXIS, max_acceleration=10.0)}
    servo = Servo(told(axes, feed_forward=1.0, obeyed=False))
    assert followed(servo, seen(right=0.21), 5.0).yaw == pytest.approx(-2 * (0.21 - 0.01))


# -- standing still


@pytest.mark.parametrize(
    'measurement',
    [
        seen(0.4, 0.4, tracking=False),
        seen(nan, 0.4),
        seen(0.4, nan),
        seen(inf, 0.0),
        seen(0.0, -inf),
        seen(pi, 0.0),
        seen(0.4, 0.4, age=TIMEOUT + 0.01),
        seen(0.4, 0.4, age=nan),
    ],
)
def test_it_brakes_from_one_step_to_the_next(measurement: Measurement) -> None:
    servo = Servo(told())
    before = followed(servo, seen(0.4, 0.4), 2.0)
    assert before.yaw == pytest.approx(-2 * 0.39)
    servo.see(measurement, 2.0)
    after = servo.step(2.0)
    assert servo.halted
    assert abs(after.yaw) == pytest.approx(abs(before.yaw) - AXIS.max_acceleration * PERIOD)
    assert abs(after.vertical) < abs(before.vertical)


def test_it_brakes_when_no_message_comes_any_more() -> None:
    servo = Servo(told())
    before = followed(servo, seen(0.4, 0.4, age=0.1), 2.0)
    last = 2.0 - PERIOD
    assert servo.step(last + TIMEOUT - 0.11) == before
    assert servo.step(last + TIMEOUT - 0.09) != before
    assert 'older than the timeout of 0.5 s' in servo.halted


def test_it_goes_on_when_the_target_is_seen_again() -> None:
    servo = Servo(told())
    followed(servo, seen(0.4, tracking=False))
    assert servo.velocity == STILL
    assert followed(servo, seen(0.4)).yaw < 0
    assert not servo.halted


def test_what_is_forgotten_is_not_followed() -> None:
    servo = Servo(told())
    followed(servo, seen(0.4, 0.4))
    servo.forget()
    for step in range(round(AXIS.max_speed / AXIS.max_acceleration / PERIOD) + 1):
        servo.step(2.0 + step * PERIOD)
    assert servo.velocity == STILL


def test_a_limit_that_is_lowered_on_the_way_is_braked_to() -> None:
    servo = Servo(told('gimbal'))
    before = followed(servo, seen(0.6))
    slower = replace(AXIS, max_speed=0.2)
    servo.settings = told({'yaw': slower, 'pitch': slower})
    servo.see(seen(0.6, stamp=2.0), 2.0)
    assert servo.step(2.0).yaw == pytest.approx(before.yaw + AXIS.max_acceleration * PERIOD)
    assert followed(servo, seen(0.6)).yaw == pytest.approx(-0.2)


# -- whatever comes

numbers = st.one_of(st.floats(-2.0, 2.0), st.floats(), st.just(nan))
sights = st.builds(
    Measurement,
    target_id=st.integers(0, 2),
    tracking=st.booleans(),
    stamp=st.one_of(st.floats(0, 5), st.floats()),
    age=st.one_of(st.floats(0, 0.2), st.floats()),
    bearing=st.tuples(numbers, numbers),
    size=numbers,
    cut=st.booleans(),
    distance=numbers,
)
usable = st.builds(
    seen,
    st.floats(-1.5, 1.5),
    st.floats(-1.5, 1.5),
    stamp=st.floats(0, 5),
    age=st.floats(0, 0.2),
    size=st.floats(0.01, 1.0),
    distance=st.floats(0.1, 20),
)
events = st.lists(
    st.tuples(st.floats(0.0, 0.3), st.one_of(st.none(), usable, sights)), min_size=1, max_size=40
)
laws = st.builds(
    told,
    st.sampled_from(list(AXES)),
    feed_forward=st.floats(0, 1),
    distance=st.sampled_from([0.0, 1.5]),
    size=st.sampled_from([0.0, 0.2]),
    obeyed=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(laws, events)
def test_the_limits_are_never_exceeded(law: ServoSettings, events: Any) -> None:
    servo, now, last = Servo(law), 0.0, STILL
    for elapsed, measurement in events:
        now += elapsed
        if measurement is not None:
            servo.see(measurement, now)
        velocity = servo.step(now)
        for name, speed, before in zip(Velocity._fields, velocity, last, strict=True):
            if name not in law.axes:
                assert speed == 0
                continue
            axis = law.axes[name]
            assert abs(speed) <= axis.max_speed  # which nan is not, either
            assert abs(speed - before) <= axis.max_acceleration * elapsed + 1e-9
        last = velocity


@settings(max_examples=100, deadline=None)
@given(laws, events, st.sampled_from(['lost', 'silence', 'forgotten']))
def test_after_a_loss_it_stands_still_within_the_time_it_takes_to_brake(
    law: ServoSettings, events: Any, loss: str
) -> None:
    servo, now = Servo(law), 0.0
    for elapsed, measurement in events:
        now += elapsed
        if measurement is not None:
            servo.see(measurement, now)
        servo.step(now)
    if loss == 'lost':
        servo.see(seen(0.5, 0.5, tracking=False), now)
    elif loss == 'forgotten':
        servo.forget()
    braking = AXIS.max_speed / AXIS.max_acceleration
    begin = now + (TIMEOUT if loss == 'silence' else 0.0)
    while now <= begin + braking + PERIOD:
        now += PERIOD
        servo.step(now)
    assert servo.velocity == STILL
    assert servo.halted


@settings(max_examples=100, deadline=None)
@given(laws, events)
def test_nothing_moves_before_the_target_was_surely_seen(law: ServoSettings, events: Any) -> None:
    servo, now = Servo(law), 0.0
    for elapsed, measurement in events:
        now += elapsed
        if measurement is not None:
            servo.see(replace(measurement, tracking=False), now)
        assert servo.step(now) == STILL


# -- what is refused


@pytest.mark.parametrize(
    ('make', 'sentence'),
    [
        (lambda: told({'yaw': replace(AXIS, max_speed=0.0)}), 'yaw.max_speed is 0: a limit'),
        (
            lambda: told({'pitch': replace(AXIS, max_acceleration=-1.0)}),
            'pitch.max_acceleration is -1: a limit is above 0',
        ),
        (lambda: told({'yaw': replace(AXIS, gain=nan)}), 'yaw.gain is nan'),
        (lambda: told({'yaw': replace(AXIS, gain=-2.0)}), 'yaw.gain is -2: give 0 or more'),
        (lambda: told({'yaw': replace(AXIS, max_speed=inf)}), 'yaw.max_speed is inf'),
        (
            lambda: told({'yaw': replace(AXIS, max_acceleration=0.1)}),
            'takes 10 s to brake by yaw.max_acceleration 0.1, more than 4',
        ),
        (lambda: told(timeout=0.0), 'timeout is 0'),
        (lambda: told(timeout=nan), 'timeout is nan'),
        (lambda: told(feed_forward=1.5), 'feed_forward is 1.5'),
        (lambda: told(distance=-1.0), 'forward.distance is -1'),
        (lambda: told(size=inf), 'forward.size is inf'),
    ],
)
def test_what_is_not_safe_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        make()
