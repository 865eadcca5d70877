"""The executables. Each runs its module as `python -m` does, in a Python that has what it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from runpy import run_module

from memtrack_ros import interrupt


def tracker() -> None:
    """The tracker node."""
    _run('memtrack_ros.nodes.tracker_node')


def camera() -> None:
    """The camera node."""
    _run('memtrack_ros.camera.camera_node')


def follow() -> None:
    """The follow node."""
    _run('memtrack_ros.nodes.follow_node')


def page() -> None:
    """The operator's page."""
    _run('memtrack_ros.page.page_node')


def demo() -> None:
    """The demo."""
    _run('memtrack_ros.tools.demo')


def _run(module: str) -> None:
    interrupt.end_at_once()
    if find_spec('torch') is None:
        _go_where_torch_is()
    try:
        run_module(module, run_name='__main__', alter_sys=True)
    except ModuleNotFoundError as error:
        version = '.'.join(map(str, sys.version_info[:2]))
        sys.exit(
            f'memtrack_ros: {sys.executable} has no {error.name}, and no virtual environment for '
            f'Python {version} with PyTorch is active or lies beside the workspace: make one, and '
            'pip install torch safetensors there (README.md says how)'
        )


def _go_where_torch_is() -> None:
    """Starts this program again with the Python of a virtual environment that has torch.

    `ros2 run` and `ros2 launch` start the system's Python where no environment is active.
    """
    packages = Path('lib', f'python{sys.version_info[0]}.{sys.version_info[1]}', 'site-packages')
    for environment in _environments():
        python = environment / 'bin' / 'python3'
        if (environment / packages / 'torch').is_dir() and python.is_file():
            os.execv(python, [str(python), *sys.argv])


def _environments() -> Iterator[Path]:
    """Where a virtual environment may be: the active one, then those around the installation."""
    if active := os.environ.get('VIRTUAL_ENV'):
        yield Path(active)
    for folder in Path(sys.argv[0]).absolute().parents:
        yield from (folder, folder / '.venv', folder / 'venv')
