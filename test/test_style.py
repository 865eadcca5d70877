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
