"""The rules of the code: style, types, and imports that only go down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    'command',
    ['ruff check --output-format concise', 'mypy', 'lint-imports --config setup.cfg --no-cache'],
)
def test_rules(command: str) -> None:
    tool, *arguments = command.split()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    executable = shutil.which(tool, path=path)
    if executable is None:
        pytest.skip(f'{tool} is not installed: pip install ".[test]"')
    checked = subprocess.run(
        [executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_types_say_what_things_are() -> None:
    """Trackers are generic in what they observe: nobody has to ask, and be wrong."""
    asked = [
        path.relative_to(ROOT)
        for path in (ROOT / 'memtrack_ros').rglob('*.py')
        if 'assert isinstance(' in path.read_text()
    ]
    assert asked == []
