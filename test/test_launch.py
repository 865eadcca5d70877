"""The launch file, by the real `ros2 launch`: what it starts, and what it refuses beforehand."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

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


@pytest.fixture(scope='module')
def ros2(domain: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The command that launches this checkout's file and nodes; skips where it cannot."""
    for module in ('launch', 'launch_ros', 'ros2launch'):
        pytest.importorskip(module, reason=f'{module} comes with an installed ROS 2, not from PyPI')
    command = shutil.which('ros2', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    if command is None:
        pytest.skip('needs the command ros2')
    prefix = tmp_path_factory.mktemp('prefix')
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / 'memtrack_ros').touch()
    (prefix / 'share' / 'memtrack_ros').symlink_to(ROOT)
    (prefix / 'lib').mkdir()
    (prefix / 'lib' / 'memtrack_ros').symlink_to(ROOT / 'scripts')
    with pytest.MonkeyPatch.context() as patch:
        around = os.environ.get('AMENT_PREFIX_PATH', sys.prefix)
        patch.setenv('AMENT_PREFIX_PATH', f'{prefix}:{around}')
        patch.setenv('PATH', f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
        patch.setenv('PYTHONPATH', f'{ROOT}:{os.environ.get("PYTHONPATH", "")}')
        patch.setenv('ROS_LOG_DIR', str(prefix / 'log'))
        patch.delenv('_ROS_WHEELS_BOOTSTRAP_COMPLETE', raising=False)
        yield [command, 'launch', str(LAUNCH)]


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['params_file:=/nowhere.yaml'], 'params_file:=/nowhere.yaml is not there'),
        (['image:=/camera/1x'], 'token must not start with a number'),
        (['image:=/camera/'], 'must not end with a forward slash'),
        (['namespace:=a b'], 'must not contain characters other than'),
        (['rviz:=perhaps'], 'rviz:=perhaps is neither true nor false'),
        (['video:=scene', 'loop:=never'], 'loop:=never is neither true nor false'),
        (['video:=scene', 'rate:=fast'], 'rate:=fast is no number'),
        (['video:=scene', 'image_transport:=compressed'], 'a video is published raw'),
    ],
)
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
