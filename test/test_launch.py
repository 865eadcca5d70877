"""The launch file: what it starts, and what it refuses beforehand.

By itself with doubles of `launch`, and by the real `ros2 launch` where there is one.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import launch_double
import pytest

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / 'launch' / 'tracker.launch.py'
DEADLINE = 120


def test_what_the_launch_file_needs_is_declared() -> None:
    text = LAUNCH.read_text()
    needed = set(re.findall(r'^from (launch\w*|rclpy|ament_index_python)', text, re.MULTILINE))
    needed |= set(re.findall(r"package='(\w+)'", text)) | {'ros2launch'}
    tree = ElementTree.parse(ROOT / 'package.xml')
    assert needed <= {tag.text for tag in tree.iter() if tag.tag.endswith('depend')}


def overlay(prefix: Path, patch: pytest.MonkeyPatch) -> Path:
    """A `prefix` in which this checkout is installed, as long as the patch lasts."""
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / 'memtrack_ros').touch()
    (prefix / 'share' / 'memtrack_ros').symlink_to(ROOT)
    (prefix / 'lib').mkdir()
    (prefix / 'lib' / 'memtrack_ros').symlink_to(ROOT / 'scripts')
    around = os.environ.get('AMENT_PREFIX_PATH', sys.prefix)
    patch.setenv('AMENT_PREFIX_PATH', f'{prefix}:{around}')
    return prefix


@pytest.fixture(scope='module')
def ros2(domain: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The command that launches this checkout's file and nodes; skips where it cannot."""
    for module in ('launch', 'launch_ros', 'ros2launch'):
        pytest.importorskip(module, reason=f'{module} comes with an installed ROS 2, not from PyPI')
    command = shutil.which('ros2', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    if command is None:
        pytest.skip('needs the command ros2')
    with pytest.MonkeyPatch.context() as patch:
        prefix = overlay(tmp_path_factory.mktemp('prefix'), patch)
        patch.setenv('PATH', f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
        patch.setenv('PYTHONPATH', f'{ROOT}:{os.environ.get("PYTHONPATH", "")}')
        patch.setenv('ROS_LOG_DIR', str(prefix / 'log'))
        patch.delenv('_ROS_WHEELS_BOOTSTRAP_COMPLETE', raising=False)
        yield [command, 'launch', str(LAUNCH)]


REFUSED = pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['params_file:=/nowhere.yaml'], 'params_file:=/nowhere.yaml is not there'),
        (['follow_params_file:=/nowhere.yaml'], 'follow_params_file:=/nowhere.yaml is not there'),
        (['follow:=perhaps'], 'follow:=perhaps is neither true nor false'),
        (['follow:=true', 'cmd_vel:=/base/1x'], 'token must not start with a number'),
        (['image:=/camera/1x'], 'token must not start with a number'),
        (['image:=/camera/'], 'must not end with a forward slash'),
        (['namespace:=a b'], 'must not contain characters other than'),
        (['rviz:=perhaps'], 'rviz:=perhaps is neither true nor false'),
        (['video:=scene', 'loop:=never'], 'loop:=never is neither true nor false'),
        (['video:=scene', 'rate:=fast'], 'rate:=fast is no number'),
        (['video:=scene', 'image_transport:=compressed'], 'a video is published raw'),
    ],
)


class Launch:
    """The launch file with doubles of what it is made of."""

    def __init__(self) -> None:
        self.file = runpy.run_path(str(LAUNCH))

    def __call__(self, part: str, *arguments: str) -> list[Any]:
        """What a part of it starts with arguments, NAME:=VALUE, and the others as they are."""
        given = {name: default for name, (default, _) in self.file['ARGUMENTS'].items()}
        given |= dict(argument.split(':=') for argument in arguments)
        started: list[Any] = self.file[part](launch_double.Context(**given))
        return started


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """With its arguments as they are unless given."""
    launch_double.install(monkeypatch)
    overlay(tmp_path / 'prefix', monkeypatch)
    return Launch()


@REFUSED
def test_what_cannot_be_is_refused(launch: Launch, arguments: list[str], sentence: str) -> None:
    with pytest.raises(launch.file['WrongArgument'], match=re.escape(sentence)):
        launch('check', *arguments)
    assert launch('check') == []


def test_only_what_is_given_wins_over_the_parameter_file(launch: Launch) -> None:
    everything = {
        'tracker': 'dmv',
        'variant': 'paper',
        'weights': '/w.safetensors',
        'settings': 'got10k',
        'device': 'cpu',
        'image_transport': 'compressed',
    }
    for given in ({}, everything, {'device': 'cuda:1'}):
        words = [f'{name}:={value}' for name, value in given.items()]
        *_, node = launch('tracker', *words)
        told = launch_double.parameters(node)
        assert told.files == ['params_file']
        assert told.beside == given
        (page,) = launch('page', 'page:=true', *words)
        transport = {k: v for k, v in given.items() if k == 'image_transport'}
        assert launch_double.parameters(page).beside == transport


def test_a_video_is_shown_as_it_is_told(launch: Launch) -> None:
    assert launch('camera') == []
    *_, node = launch('camera', 'video:=scene', 'loop:=false', 'rate:=7', 'image:=/front/image')
    assert launch_double.parameters(node).beside == {'source': 'scene', 'loop': False, 'rate': 7.0}
    assert ('camera_info', '/front/camera_info') in node.options['remappings']


def test_what_nobody_asks_for_is_not_started(launch: Launch) -> None:
    assert [launch(part) for part in ('follow', 'page', 'camera', 'rviz')] == [[]] * 4
    (alone,) = launch('tracker', 'autostart:=false')
    assert alone.options['executable'] == 'tracker_node'
    assert len(launch('tracker')) == 3  # and what configures and activates it
    *_, follow = launch('follow', 'follow:=true', 'cmd_vel:=/base/cmd_vel')
    assert follow.options['remappings'] == [('~/cmd_vel', '/base/cmd_vel')]


@REFUSED
def test_what_cannot_be_launched_is_said_before_anything_starts(
    ros2: list[str], arguments: list[str], sentence: str
) -> None:
    ended = subprocess.run(
        [*ros2, *arguments], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    output = ended.stdout + ended.stderr
    assert ended.returncode == 1, output
    assert sentence in output
    assert 'Traceback' not in output
    assert 'process started' not in output


def test_rviz_is_refused_where_it_is_not_installed(ros2: list[str]) -> None:
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix

    try:
        get_package_prefix('rviz2')
        pytest.skip('rviz2 is installed here')
    except PackageNotFoundError:
        pass
    test_what_cannot_be_launched_is_said_before_anything_starts(
        ros2, ['rviz:=true'], 'rviz:=true needs the package rviz2'
    )


def test_a_bad_video_ends_the_whole_launch(ros2: list[str]) -> None:
    ended = subprocess.run(
        [*ros2, 'video:=/nowhere/film.mp4', 'autostart:=false'],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout
    assert 'the video /nowhere/film.mp4 is not there' in ended.stdout
    assert 'Traceback' not in ended.stdout + ended.stderr


def test_arguments_reach_the_nodes(ros2: list[str], ros: None) -> None:
    from rcl_interfaces.srv import GetParameters

    from memtrack_ros.tools.client import TrackerClient

    given = {'tracker': 'dmv', 'variant': 'paper', 'weights': '/w.safetensors', 'device': 'cpu'}
    launch = subprocess.Popen(
        [
            *ros2,
            *(f'{name}:={value}' for name, value in given.items()),
            'autostart:=false',
            'follow:=true',
            'cmd_vel:=/base/cmd_vel',
            'video:=scene',
            'loop:=false',
            'rate:=7',
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(launch.stdout or []))
    reader.start()
    try:
        with TrackerClient() as client:
            for node, names, values in (
                ('memtrack', list(given), list(given.values())),
                ('follow', ['axes', 'timeout'], ['gimbal', 0.5]),
                ('camera', ['loop', 'rate', 'source'], [False, 7.0, 'scene']),
            ):
                service = client.create_client(GetParameters, f'/{node}/get_parameters')
                answer = client.call(service, GetParameters.Request(names=names), DEADLINE)
                kinds = {1: 'bool_value', 3: 'double_value', 4: 'string_value'}
                assert [getattr(v, kinds[v.type]) for v in answer.values] == values
    finally:
        launch.send_signal(signal.SIGINT)
        code = launch.wait(DEADLINE)
        reader.join()
    assert code == 0, ''.join(said)
    assert 'Traceback' not in ''.join(said)
