"""Doubles of `launch` and `launch_ros`, which come with an installed ROS 2 and not from PyPI.

They note what a launch file would start. What that does is for the real ones, where they are.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class Noted:
    """Whatever is made by a name of these packages, and with what."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments, self.options = arguments, options


class Context:
    """Of a launch: its arguments by name."""

    def __init__(self, **given: str) -> None:
        self.given = given


class Configuration(Noted):
    """The value of an argument."""

    def perform(self, context: Context) -> str:
        """What was given for it."""
        given: str = context.given[self.arguments[0]]
        return given


def kinds(*names: str) -> dict[str, type[Noted]]:
    """A kind of its own for each name."""
    return {name: type(name, (Noted,), {}) for name in names}


MODULES: dict[str, dict[str, Any]] = {
    'launch': {'LaunchContext': Context} | kinds('LaunchDescription'),
    'launch.actions': kinds(
        'DeclareLaunchArgument',
        'EmitEvent',
        'OpaqueFunction',
        'RegisterEventHandler',
        'SetEnvironmentVariable',
    ),
    'launch.event_handlers': kinds('OnProcessExit', 'OnProcessStart'),
    'launch.events': kinds('matches_action'),
    'launch.events.process': kinds('ProcessExited'),
    'launch.substitutions': {'LaunchConfiguration': Configuration},
    'launch_ros': {},
    'launch_ros.actions': kinds('LifecycleNode', 'Node'),
    'launch_ros.event_handlers': kinds('OnStateTransition'),
    'launch_ros.events': {},
    'launch_ros.events.lifecycle': kinds('ChangeState'),
    'launch_ros.parameter_descriptions': kinds('ParameterValue'),
}


def install(patch: pytest.MonkeyPatch) -> None:
    """Let them be imported until the patch is undone."""
    for name, contents in MODULES.items():
        module = ModuleType(name)
        vars(module).update(contents)
        patch.setitem(sys.modules, name, module)


def parameters(node: Noted) -> SimpleNamespace:
    """Of a node: the file of its parameters, by the argument that names it, and those beside it."""
    files, beside = [], {}
    for entry in node.options['parameters']:
        if isinstance(entry, dict):
            beside |= {
                name: value.arguments[0] if isinstance(value, Noted) else value
                for name, value in entry.items()
            }
        else:
            files.append(entry.arguments[0])
    return SimpleNamespace(files=files, beside=beside)
