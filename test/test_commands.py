"""The executables: they find the Python that has torch, or say how."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 120


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with the scripts installed, and a Python without torch in bare/."""
    folder = tmp_path / 'ws' / 'install' / 'memtrack_ros' / 'lib'
    shutil.copytree(ROOT / 'scripts', folder / 'memtrack_ros')
    venv.create(tmp_path / 'bare', with_pip=False)
    return tmp_path


def run(workspace: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a script with the Python without torch, and a parameter that cannot be."""
    path = workspace / 'ws' / 'install' / 'memtrack_ros' / 'lib' / 'memtrack_ros' / script
    around = {key: value for key, value in os.environ.items() if key != 'VIRTUAL_ENV'}
    around.pop('_ROS_WHEELS_BOOTSTRAP_COMPLETE', None)
    wrong = 'frames.ring:=many' if script == 'tracker_node' else 'rate:=many'
    return subprocess.run(
        [workspace / 'bare' / 'bin' / 'python', path, '--ros-args', '-p', wrong],
        env={**around, 'PYTHONPATH': str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def test_a_python_without_torch_says_how(workspace: Path) -> None:
    ended = run(workspace, 'tracker_node')
    assert ended.returncode == 1
    assert ended.stderr.startswith(f'memtrack_ros: {workspace}/bare/bin/python has no ')
    assert 'pip install torch safetensors' in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize('script', ['tracker_node', 'camera_node'])
@pytest.mark.parametrize('way', ['active', '.venv', 'venv'])
def test_the_virtual_environment_with_torch_is_found(
    workspace: Path, script: str, way: str
) -> None:
    environment = {}
    if way == 'active':
        environment['VIRTUAL_ENV'] = sys.prefix
    else:
        (workspace / 'ws' / way).symlink_to(sys.prefix)
    ended = run(workspace, script, **environment)
    assert ended.returncode == 1, ended.stderr
    name = 'frames.ring' if script == 'tracker_node' else 'rate'
    assert name in ended.stderr
    assert 'Traceback' not in ended.stderr
