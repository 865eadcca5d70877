"""The follow node's parameters: one table. The keys of config/follow.yaml are the names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from rclpy.node import Node
from rclpy.parameter import Parameter as Value

from memtrack_ros.control import AXES, Axis, ServoSettings
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nodes import table
from memtrack_ros.nodes.table import Parameter

_ANGLES = -1.5, 1.5
_FASTEST, _HARDEST = 20.0, 200.0


def _axis(name: str, moved: str, speed: str, axis: Axis, error: str) -> Iterator[Parameter]:
    """Rows of one velocity, with the values of `axis` for defaults."""
    per_error = f'{speed} per {error}'
    yield Parameter(
        f'{name}.gain', axis.gain, f'{moved} by the error.', unit=per_error, range=(0.0, 100.0)
    )
    yield Parameter(
        f'{name}.dead_band',
        axis.dead_band,
        'An error up to this one asks for nothing; a larger one counts from here on.',
        unit=error,
        range=(0.0, 1.0),
    )
    yield Parameter(f'{name}.max_speed', axis.max_speed, 'Limit.', unit=speed, above_zero=_FASTEST)
    yield Parameter(
        f'{name}.max_acceleration',
        axis.max_acceleration,
        f'Limit, of braking too, which takes {name}.max_speed over this.',
        unit=f'{speed}^2',
        above_zero=_HARDEST,
    )


def _set_point(name: str, direction: str) -> Parameter:
    return Parameter(
        f'{name}.set_point',
        0.0,
        f'Where the target is to be seen: the angle {direction} the optical axis.',
        unit='rad',
        range=_ANGLES,
    )


TABLE = (
    Parameter(
        'axes',
        'gimbal',
        'What moves: gimbal (yaw, pitch), ground (yaw, forward), uav (yaw, vertical, forward).',
        choices=tuple(AXES),
        at_configure=True,
    ),
    Parameter(
        'rate', 30.0, 'Commands per second.', unit='Hz', range=(10.0, 200.0), at_configure=True
    ),
    Parameter(
        'timeout',
        0.5,
        'Nothing is done by an image that was taken longer ago.',
        unit='s',
        above_zero=10.0,
    ),
    Parameter(
        'dry_run',
        False,
        'Publish on ~/cmd_vel_preview and not on ~/cmd_vel.',
        at_configure=True,
    ),
    Parameter(
        'frame_id',
        'base_link',
        'Frame of the commands: x forward, y left, z up.',
        at_configure=True,
    ),
    Parameter(
        'fallback_fov',
        0.0,
        'Horizontal field of view of a camera that is not calibrated; 0: then it is not followed.',
        unit='rad',
        range=(0.0, 3.1),
    ),
    Parameter(
        'feed_forward',
        0.8,
        "Share of the target's own angular rate, and of what it does in the age of its image, "
        'that is made up for.',
        range=(0.0, 1.0),
    ),
    *_axis('yaw', 'Rate', 'rad/s', Axis(1.5, 0.01, 1.0, 2.0), 'rad'),
    _set_point('yaw', 'right of'),
    *_axis('pitch', 'Rate', 'rad/s', Axis(1.5, 0.01, 1.0, 2.0), 'rad'),
    _set_point('pitch', 'below'),
    *_axis('vertical', 'Speed', 'm/s', Axis(1.0, 0.02, 0.5, 0.5), 'rad'),
    _set_point('vertical', 'below'),
    *_axis('forward', 'Speed', 'm/s', Axis(0.5, 0.1, 0.5, 0.5), 'share of the wanted distance'),
    Parameter(
        'forward.distance',
        0.0,
        'Distance to keep, by the position; 0: keep the apparent size instead.',
        unit='m',
        range=(0.0, 1000.0),
    ),
    Parameter(
        'forward.size',
        0.0,
        'Apparent size to keep: sqrt(width height) of the target over the width of the image; '
        '0: the one it has when following it begins.',
        range=(0.0, 1.0),
    ),
)


@dataclass(frozen=True)
class Following:
    """What the node reads when it is configured."""

    rate: float
    dry_run: bool
    frame_id: str


def declare(node: Node) -> None:
    """Declares the table; raises as table.declare does."""
    table.declare(node, TABLE)


def following(node: Node) -> Following:
    """The values to configure with; raises ConfigurationError for one that cannot be."""
    value = table.values(node, TABLE)
    return Following(value['rate'], value['dry_run'], value['frame_id'])


def settings(node: Node, changes: Iterable[Value] = ()) -> ServoSettings:
    """What the servo is told, with changes; raises ConfigurationError for what cannot be."""
    value = table.values(node, TABLE, changes)

    def axis(name: str) -> Axis:
        given = {
            field.name: value[f'{name}.{field.name}']
            for field in fields(Axis)
            if f'{name}.{field.name}' in value
        }
        return Axis(**given)

    return ServoSettings(
        axes={name: axis(name) for name in AXES[value['axes']]},
        timeout=value['timeout'],
        feed_forward=value['feed_forward'],
        distance=value['forward.distance'],
        size=value['forward.size'],
        obeyed=not value['dry_run'],
    )


def refusal(node: Node, changes: list[Value], configured: bool) -> str:
    """Why these changes cannot be made; empty when they can."""
    if fault := table.refusal(node, TABLE, changes, configured):
        return fault
    try:
        settings(node, changes)
    except ConfigurationError as error:
        return str(error)
    return ''
