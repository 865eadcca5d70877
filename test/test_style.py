"""The rules of the code: style, types, and imports that only go down."""

from __future__ import annotations

import ast
import os
import re
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


def places(pattern: str) -> list[Path]:
    """The files of the package in which the pattern stands, from its root."""
    found = re.compile(pattern, re.MULTILINE)
    package = ROOT / 'memtrack_ros'
    files = sorted(package.rglob('*.py'))
    return [path.relative_to(package) for path in files if found.search(path.read_text())]


def test_types_say_what_things_are() -> None:
    """Trackers are generic in what they observe: nobody has to ask, and be wrong."""
    assert places(r'assert isinstance\(') == []


def test_one_place_makes_a_target_message() -> None:
    assert places(r'TrackedTarget\(') == [Path('nodes/messages.py')]


def test_one_way_leads_from_a_prompt_to_a_start() -> None:
    assert places(r'self\.(begin|refine)\(') == [Path('trackers/tracker.py')]
    assert places(r' border_colour\(') == [Path('trackers/search.py'), Path('trackers/tracker.py')]
    assert places(r'\.search == ') == [Path('trackers/observation.py')]


def test_memory_is_given_back_where_a_node_lets_go_of_it() -> None:
    """Not where somebody counts trackers."""
    assert places(r'gc\.') == [Path('nodes/managed.py'), Path('nodes/tracker_node.py')]
    assert places(r'_free_memory\(') == [Path('nodes/tracker_node.py')]


def test_what_goes_in_and_out_of_a_session_stands_there() -> None:
    kinds = r'^class (State|Prompt|Estimate|Judgement|Presence|Session)\b'
    assert {path.parent for path in places(kinds)} == {Path('session')}


def test_a_class_name_means_one_thing() -> None:
    """Whoever reads it need not ask which one is meant."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / 'memtrack_ros').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(places) > 300
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_figures_of_speed_stand_in_one_place() -> None:
    """What `evaluation benchmark` measures, a page beside it of GPUs, and nothing that ages."""
    pages = [
        ROOT / 'README.md',
        *(ROOT / 'docs').glob('*.md'),
        *(ROOT / 'memtrack_ros').rglob('*.md'),
    ]
    figures = r'\d (?:frames/s|fps|ms a (?:step|frame))'
    said = {page.name: re.findall(figures, page.read_text()) for page in pages}
    said['trackers.md'].remove('0 frames/s')  # of a camera
    assert {page: found for page, found in said.items() if found} == {}
