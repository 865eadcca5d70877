"""The table of parameters: what is declared, what is refused and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nodes import parameters
from memtrack_ros.nodes.paths import expanded
from memtrack_ros.nodes.tracker_node import TrackerNode
from memtrack_ros.session import Presence

CONFIG = Path(__file__).resolve().parents[1] / 'config' / 'tracker.yaml'


@pytest.fixture(scope='module', autouse=True)
def ros(domain: None) -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture
def node() -> Iterator[TrackerNode]:
    made = TrackerNode()
    yield made
    made.release()
    made.destroy_node()


def set_one(node: TrackerNode, name: str, value: Any) -> str:
    """Sets a parameter; the reason why not, or nothing."""
    result = node.set_parameters([Parameter(name, value=value)])[0]
    return '' if result.successful else str(result.reason)


def test_every_row_is_declared_and_described(node: TrackerNode) -> None:
    for row in parameters.TABLE:
        assert node.get_parameter(row.name).value == row.default
        descriptor = node.describe_parameter(row.name)
        assert descriptor.description.endswith('.')
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == [row.range] * (row.range is not None)
        assert all(choice in descriptor.additional_constraints for choice in row.choices)
        assert row.unit in descriptor.additional_constraints


def test_the_defaults_of_presence_are_those_of_the_session(node: TrackerNode) -> None:
    names = {row.name for row in parameters.TABLE if row.name.startswith('presence.')}
    assert names == {f'presence.{field.name}' for field in fields(Presence)}
    assert parameters.presence(node) == Presence()


def test_what_each_tracker_remembers_from_is_as_described(node: TrackerNode) -> None:
    by_confidence: dict[float, list[str]] = {}
    for name in trackers.NAMES:
        remembered = trackers.create(name, device='cpu').remembered
        by_confidence.setdefault(remembered, []).append(name)
    described = node.describe_parameter('presence.remembered').description
    commented = ' '.join(CONFIG.read_text().replace('#', ' ').split())
    for confidence, names in by_confidence.items():
        words = f'{confidence:g} for {" and ".join(names)}'.removeprefix('0')
        assert words in described
        assert words in commented


def test_the_shipped_configuration_names_every_parameter_with_its_default() -> None:
    def flat(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
        rows: dict[str, Any] = {}
        for key, value in tree.items():
            nested = isinstance(value, dict)
            rows |= flat(value, f'{prefix}{key}.') if nested else {f'{prefix}{key}': value}
        return rows

    (given,) = yaml.safe_load(CONFIG.read_text()).values()
    assert flat(given['ros__parameters']) == {row.name: row.default for row in parameters.TABLE}


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('tracker', 'kcf', "tracker 'kcf' is unknown: choose one of stmtrack"),
        ('variant', 'huge', "variant 'huge' is unknown: choose one of compact, paper"),
        ('image_transport', 'theora', 'choose one of raw, compressed'),
        ('rectified', 'maybe', "rectified 'maybe' is unknown: choose one of auto, true, false"),
        ('rectified', 1, 'rectified 1 is unknown: choose one of auto, true, false'),
        ('frames.ring', 0, 'frames.ring'),
        ('frames.ring', 2.5, 'type'),
        ('memory.max_bytes', 1000, 'memory.max_bytes'),
        ('presence.remembered', -2.0, 'presence.remembered'),
        ('presence.seen', 1.5, 'presence.seen'),
        ('presence.seen', 0.1, 'presence.unseen 0.15 is above presence.seen 0.1'),
        ('presence.unseen', 0.7, 'presence.unseen 0.7 is above presence.seen 0.5'),
        ('presence.lost_seconds', -1.0, 'presence.lost_seconds'),
        ('device', 3, 'type'),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(
    node: TrackerNode, name: str, value: Any, reason: str
) -> None:
    before = node.get_parameter(name).value
    assert reason in set_one(node, name, value)
    assert node.get_parameter(name).value == before


@pytest.mark.parametrize(
    ('value', 'rectified'),
    [('auto', None), (True, True), (False, False), ('true', True), ('false', False)],
)
def test_rectified_may_be_a_word_or_what_yaml_makes_of_it(
    node: TrackerNode, value: Any, rectified: bool | None
) -> None:
    assert not set_one(node, 'rectified', value)
    assert parameters.settings(node).rectified is rectified


def test_thresholds_may_cross_the_old_ones_when_set_together(node: TrackerNode) -> None:
    pair = [Parameter('presence.seen', value=0.2), Parameter('presence.unseen', value=0.1)]
    assert node.set_parameters_atomically(pair).successful
    assert (parameters.presence(node).seen, parameters.presence(node).unseen) == (0.2, 0.1)


def test_what_configure_read_cannot_be_changed_until_cleanup(node: TrackerNode) -> None:
    changes: dict[str, Any] = {'device': 'cpu', 'frames.ring': 5, 'image_transport': 'compressed'}
    changes |= {'weights': '/some/file', 'memory.max_bytes': 2**29, 'variant': 'paper'}
    changes |= {'rectified': True}
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    for name, value in changes.items():
        before = node.get_parameter(name).value
        assert f'{name} is read when the node is configured: clean up' in set_one(node, name, value)
        assert not set_one(node, name, before)
    assert not set_one(node, 'presence.seen', 0.6)
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    for name, value in changes.items():
        assert not set_one(node, name, value)


@pytest.mark.parametrize('argument', ['frames.ring:=many', 'presence.seen:=7.0', 'device:=3'])
def test_a_wrong_type_or_range_at_launch_ends_the_node(argument: str) -> None:
    with pytest.raises(ParameterException, match=argument.partition(':=')[0]):
        TrackerNode(cli_args=['--ros-args', '-p', argument])


def test_paths_are_made_whole_or_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    assert expanded('memory.folder', '~/a') == tmp_path / 'a'
    assert expanded('memory.folder', '/b/~') == Path('/b/~')
    with pytest.raises(ConfigurationError, match='memory.folder is empty: give a path'):
        expanded('memory.folder', '')
    with pytest.raises(ConfigurationError, match="weights '~nosuchuser/x' begins with ~nosuchuser"):
        expanded('weights', '~nosuchuser/x')
    monkeypatch.setenv('HOME', '/nowhere')
    with pytest.raises(ConfigurationError, match="'~/a' begins with ~, which is no home here"):
        expanded('memory.folder', '~/a')


def test_the_folder_of_snapshots_is_given_at_the_start(node: TrackerNode, tmp_path: Path) -> None:
    assert node.describe_parameter('memory.folder').read_only
    assert 'read-only' in set_one(node, 'memory.folder', str(tmp_path))
    assert node.get_parameter('memory.folder').value == '~/.ros/memtrack'
