"""Tables of parameters: a node declares each row, and refuses with a reason what cannot be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter as Value

from memtrack_ros.errors import ConfigurationError


@dataclass(frozen=True)
class Parameter:
    """One row of a table. The default says the type."""

    name: str
    default: str | int | float
    sentence: str
    unit: str = ''
    range: tuple[float, float] | None = None
    above_zero: float | None = None
    """Above 0 and at most this."""
    choices: tuple[str, ...] = ()
    at_configure: bool = False
    """Read when the node is configured: refused afterwards, until it is cleaned up."""
    read_only: bool = False
    """Given when the node is started, and never changed."""

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows; rclpy keeps type and range by it."""
        limits = []
        if self.choices:
            limits.append(f'one of {", ".join(self.choices)}')
        if self.above_zero is not None:
            limits.append(f'above 0 and at most {self.above_zero:g}')
        if self.unit:
            limits.append(f'in {self.unit}')
        if self.at_configure:
            limits.append('read when the node is configured')
        if self.read_only:
            limits.append('given when the node is started')
        descriptor = ParameterDescriptor(description=self.sentence, read_only=self.read_only)
        descriptor.additional_constraints = '; '.join(limits)
        descriptor.dynamic_typing = 'true' in self.choices  # YAML makes a bool of that word
        if self.range is not None:
            low, high = self.range
            if isinstance(self.default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=low, to_value=high)
                ]
        return descriptor

    def fault(self, value: Any) -> str:
        """Why the value cannot be; empty when it can."""
        if self.choices and word(value) not in self.choices:
            return f'{self.name} {value!r} is unknown: choose one of {", ".join(self.choices)}'
        if isinstance(value, float) and not isfinite(value):
            return f'{self.name} is {value}: give a finite number'
        if self.above_zero is not None and not 0 < value <= self.above_zero:
            return (
                f'{self.name} is {value:g} {self.unit}: '
                f'give more than 0 and at most {self.above_zero:g}'
            )
        return ''


def word(value: object) -> str:
    """A choice as it is written: true and false may come as such."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def declare(node: Node, table: Iterable[Parameter]) -> None:
    """Declares every row.

    Choices and what has to be above zero are checked when the node is configured, so that a wrong
    one given at launch fails this transition and not the process. rclpy raises for a value of
    another type or out of its range.
    """
    for row in table:
        node.declare_parameter(row.name, row.default, row.descriptor())


def values(node: Node, table: Iterable[Parameter], changes: Iterable[Value] = ()) -> dict[str, Any]:
    """Every row's value, with changes; raises ConfigurationError for one that cannot be."""
    found = {row.name: node.get_parameter(row.name).value for row in table}
    found |= {change.name: change.value for change in changes if change.name in found}
    for row in table:
        if fault := row.fault(found[row.name]):
            raise ConfigurationError(fault)
    return found


def refusal(
    node: Node, table: Iterable[Parameter], changes: Iterable[Value], configured: bool
) -> str:
    """Why one of these changes cannot be made; empty when all can, as far as each goes alone."""
    rows = {row.name: row for row in table}
    for change in changes:
        row = rows.get(change.name)
        if row is None:
            continue
        if fault := row.fault(change.value):
            return fault
        if row.at_configure and configured and change.value != node.get_parameter(row.name).value:
            return (
                f'{row.name} is read when the node is configured: '
                'clean up, set it, then configure again'
            )
    return ''
