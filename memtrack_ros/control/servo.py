"""Image-based visual servoing: a proportional law on bearing and range, with a feed-forward.

An error is an angle of the image, which needs no depth; so the robot turns as fast as the error is
large, and as the target itself goes round (S. Hutchinson, G. D. Hager, P. I. Corke, "A tutorial on
visual servo control", IEEE Transactions on Robotics and Automation 12(5), 1996, section V).

Signs are those of REP 103: x forward, y left, z up, rotations right-handed. So yaw is positive to
the left and pitch positive nose down, while bearings are positive to the right and below.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import copysign, expm1, isfinite, nan, pi
from typing import NamedTuple

from memtrack_ros.control.settings import Axis, ServoSettings

SMOOTHING = 0.15
"""Seconds over which the target's angular rate is averaged."""
GAP = 0.5
"""Seconds between two images beyond which the one says nothing of the rate in the other."""
LONGEST_STEP = 0.1
"""Seconds. After a longer pause the velocity changes as if it had been this one."""
HISTORY = 1000
"""Commands that are remembered: more than a second of them at the highest rate."""

# The sign of the velocity that a positive bearing asks for.
_SIGN = {'yaw': -1, 'pitch': 1, 'vertical': -1}
_BEARING = {'yaw': 0, 'pitch': 1, 'vertical': 1}
_TURNS = 'yaw', 'pitch'
_UNSEEN = 'no target was seen yet'


class Velocity(NamedTuple):
    """Of the robot or of its gimbal, in its own frame: rad/s and m/s, signs as in REP 103."""

    yaw: float = 0.0
    """Positive to the left."""
    pitch: float = 0.0
    """Positive nose down."""
    vertical: float = 0.0
    """Positive up."""
    forward: float = 0.0


@dataclass(frozen=True)
class Measurement:
    """What one image says of the target; what is not known is nan."""

    target_id: int
    tracking: bool
    """Whether it is surely seen: the state is TRACKING and nothing else."""
    stamp: float
    """Seconds; when the image was taken."""
    age: float
    """Seconds from then until this was heard."""
    bearing: tuple[float, float] = (nan, nan)
    """Angles from the optical axis: radians right, below."""
    size: float = nan
    """Apparent size: sqrt(width height) of the target over the width of the image."""
    cut: bool = False
    """The target reaches the border of the image, and so may be larger than it seems."""
    distance: float = nan
    """Metres."""

    def fault(self) -> str:
        """Why nothing can be done by it; empty when something can."""
        if not self.tracking:
            return 'the target is not surely seen'
        if not all(abs(angle) < pi / 2 for angle in self.bearing):
            return 'the target has no valid bearing'
        if not (isfinite(self.age) and isfinite(self.stamp)):
            return 'the age of its image is not known: its stamp is missing or of a time to come'
        return ''


class Servo:
    """Turns measurements of a target into velocities that keep it in view.

    It stands still until the target is seen for the first time, and comes to rest, braking within
    max_acceleration, whenever it is not surely seen or the newest image is older than the timeout.

    Times are seconds of one clock that only goes forward.
    """

    def __init__(self, settings: ServoSettings) -> None:
        self.settings = settings
        self.velocity = Velocity()
        self.halted = _UNSEEN
        """Why it stands still or brakes; empty while it follows."""
        self._measurement: Measurement | None = None
        self._seen = 0.0
        """When that measurement came."""
        self._stepped: float | None = None
        self._commands: deque[tuple[float, Velocity]] = deque(maxlen=HISTORY)
        """Each with the time from which on it held."""
        self._rates = [0.0, 0.0]
        """How fast the target's bearings would change if the camera stood still."""
        self._reference = nan
        """The apparent size to keep."""

    def see(self, measurement: Measurement, now: float) -> None:
        """Takes the newest measurement in place of the one before."""
        last, self._measurement = self._measurement, measurement
        if last is not None and last.target_id != measurement.target_id:
            last = None  # of another target
        if last is None:
            self._reference = nan
        usable = not measurement.fault()
        if usable and last is not None and not last.fault():
            self._estimate_rates(last, measurement, now)
        else:
            self._rates = [0.0, 0.0]
        whole = usable and not measurement.cut and measurement.size > 0
        if whole and not isfinite(self._reference):
            self._reference = measurement.size
        self._seen = now

    def forget(self) -> None:
        """Comes to rest, until the target is seen again."""
        self._measurement = None

    def step(self, now: float) -> Velocity:
        """The velocity to command from now on until the next step."""
        elapsed = 0.0 if self._stepped is None else now - self._stepped
        elapsed = min(max(elapsed, 0.0), LONGEST_STEP)
        self._stepped = now
        self.halted = self._fault(now)
        wanted = Velocity() if self.halted else self._wanted(now)
        self.velocity = Velocity(
            **{
                name: _nearer(getattr(self.velocity, name), getattr(wanted, name), axis, elapsed)
                for name, axis in self.settings.axes.items()
            }
        )
        self._commands.append((now, self.velocity if self.settings.obeyed else Velocity()))
        return self.velocity

    def _fault(self, now: float) -> str:
        """Why nothing may be done now; empty when something may."""
        if self._measurement is None:
            return _UNSEEN
        if fault := self._measurement.fault():
            return fault
        if self._age(self._measurement, now) > self.settings.timeout:
            return f'the newest image is older than the timeout of {self.settings.timeout:g} s'
        return ''

    def _age(self, measurement: Measurement, now: float) -> float:
        return max(measurement.age, 0.0) + max(now - self._seen, 0.0)

    def _wanted(self, now: float) -> Velocity:
        """The velocity without regard to the limits."""
        measurement = self._measurement
        assert measurement is not None
        wanted = {}
        for name, axis in self.settings.axes.items():
            if name == 'forward':
                wanted[name] = self._approach(measurement, axis)
                continue
            bearing = measurement.bearing[_BEARING[name]]
            rate = 0.0
            if name in _TURNS:
                rate = self.settings.feed_forward * self._rates[_BEARING[name]]
                bearing += self._since(measurement, name, now)
            speed = axis.gain * _beyond(bearing - axis.set_point, axis.dead_band) + rate
            wanted[name] = _SIGN[name] * speed
        return Velocity(**wanted)

    def _since(self, measurement: Measurement, name: str, now: float) -> float:
        """How far the bearing went since the image was taken, as far as that is made up for."""
        age = self._age(measurement, now)
        moved = age * self._rates[_BEARING[name]] + self._turned(name, now - age, now)
        return self.settings.feed_forward * moved

    def _approach(self, measurement: Measurement, axis: Axis) -> float:
        """Forward speed; zero where range is not known, and none towards a target that is cut."""
        by_distance = self.settings.distance > 0
        if by_distance:
            further = measurement.distance / self.settings.distance
        else:
            size = self.settings.size or self._reference
            further = size / measurement.size if measurement.size > 0 else nan
        if not isfinite(further) or further <= 0:
            return 0.0
        speed = axis.gain * _beyond(further - 1, axis.dead_band)
        return min(speed, 0.0) if measurement.cut and not by_distance else speed

    def _estimate_rates(self, last: Measurement, measurement: Measurement, now: float) -> None:
        """Follows the target's own angular rates, by what the bearings did beside the camera."""
        elapsed = measurement.stamp - last.stamp
        if not 0 < elapsed <= GAP:
            self._rates = [0.0, 0.0] if elapsed else self._rates
            return
        taken = now - max(measurement.age, 0.0)
        weight = -expm1(-elapsed / SMOOTHING)
        share = weight / elapsed  # finite however short the time is, unlike a rate over it
        for name in _TURNS:
            if name in self.settings.axes:
                index = _BEARING[name]
                moved = measurement.bearing[index] - last.bearing[index]
                own = self._turned(name, taken - elapsed, taken)
                rate = (1 - weight) * self._rates[index] + share * (moved - own)
                limit = self.settings.axes[name].max_speed
                self._rates[index] = min(max(rate, -limit), limit)

    def _turned(self, name: str, begin: float, end: float) -> float:
        """How far the bearing of what stands still went by the commands of that time."""
        turned, until = 0.0, end
        for since, velocity in reversed(self._commands):
            lasted = max(until - max(since, begin), 0.0)
            turned -= _SIGN[name] * lasted * getattr(velocity, name)
            until = min(until, since)
            if until <= begin:
                break
        return turned


def _beyond(error: float, dead_band: float) -> float:
    """What of an error is beyond the dead band."""
    return copysign(max(abs(error) - dead_band, 0.0), error)


def _nearer(speed: float, wanted: float, axis: Axis, elapsed: float) -> float:
    """The speed after `elapsed` seconds on the way to the wanted one, within both limits.

    A speed above a limit that was lowered meanwhile is braked like any other.
    """
    wanted = min(max(wanted, -axis.max_speed), axis.max_speed)
    change = axis.max_acceleration * elapsed
    return speed + min(max(wanted - speed, -change), change)
