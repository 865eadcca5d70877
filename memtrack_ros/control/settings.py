"""What a servo is told before it begins. Whatever could make it unsafe is refused here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite

from memtrack_ros.errors import ConfigurationError

AXES = {
    'gimbal': ('yaw', 'pitch'),
    'ground': ('yaw', 'forward'),
    'uav': ('yaw', 'vertical', 'forward'),
}
"""Which velocities are commanded, by what is to move."""

MOST_BRAKING = 4.0
"""Seconds from the greatest speed to standstill, at most."""


@dataclass(frozen=True)
class Axis:
    """How one velocity follows its error; speeds are rad/s or m/s.

    The error is an angle in rad for yaw, pitch and vertical. For forward it is the share by which
    the target is further away than wanted: 1 at double the distance, -.5 at half of it.
    """

    gain: float
    """Speed by error."""
    dead_band: float
    """An error up to this one asks for nothing; a larger one counts from here on."""
    max_speed: float
    max_acceleration: float
    set_point: float = 0.0
    """Where the target is to be seen: rad right of the optical axis, for yaw, else below it."""

    def check(self, name: str) -> None:
        """Raises ConfigurationError: a number that is not finite, a limit that is none."""
        for field in fields(self):
            if not isfinite(value := getattr(self, field.name)):
                raise ConfigurationError(f'{name}.{field.name} is {value}: give a finite number')
        for limit in ('max_speed', 'max_acceleration'):
            if (value := getattr(self, limit)) <= 0:
                raise ConfigurationError(
                    f'{name}.{limit} is {value:g}: a limit is above 0; to leave an axis at rest '
                    f'set {name}.gain to 0'
                )
        for name_of, value in (('gain', self.gain), ('dead_band', self.dead_band)):
            if value < 0:
                raise ConfigurationError(
                    f'{name}.{name_of} is {value:g}: give 0 or more, below 0 it would drive away'
                )
        if (braking := self.max_speed / self.max_acceleration) > MOST_BRAKING:
            raise ConfigurationError(
                f'{name}.max_speed {self.max_speed:g} takes {braking:.3g} s to brake by '
                f'{name}.max_acceleration {self.max_acceleration:g}, more than {MOST_BRAKING:g}: '
                'lower the one or raise the other'
            )


@dataclass(frozen=True)
class ServoSettings:
    """What a servo is told.

    Raises ConfigurationError where a limit is not above zero or a number not finite, and where
    braking would take more than MOST_BRAKING seconds.
    """

    axes: Mapping[str, Axis]
    """The velocities that are commanded, each by its name in Velocity; the others stay zero."""
    timeout: float
    """Seconds. Nothing is done by an image that is older."""
    feed_forward: float = 0.0
    """0..1: the share of the target's own angular rate, and of what it does in the age of its
    image, that is made up for."""
    distance: float = 0.0
    """Metres to keep from the target; 0: the distance at which it has its apparent size."""
    size: float = 0.0
    """Apparent size to keep, see Measurement; 0: the one it has when following it begins."""
    obeyed: bool = True
    """Whether the robot does what is commanded; in a dry run it does not."""

    def __post_init__(self) -> None:
        for name, axis in self.axes.items():
            axis.check(name)
        if not (isfinite(self.timeout) and self.timeout > 0):
            raise ConfigurationError(
                f'timeout is {self.timeout:g}: give the seconds, above 0, after which to stop'
            )
        if not 0 <= self.feed_forward <= 1:
            raise ConfigurationError(
                f'feed_forward is {self.feed_forward:g}: give a share from 0 to 1'
            )
        for name in ('distance', 'size'):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise ConfigurationError(f'forward.{name} is {value:g}: give 0 or more')
