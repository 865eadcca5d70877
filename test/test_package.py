"""What is installed beside the code says the same as the code."""

from __future__ import annotations

import ast
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def flat(tree: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Nested keys joined with dots, as ROS reads a parameter file."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, dict)
        leaves |= flat(value, f'{prefix}{key}.') if nested else {prefix + key: value}
    return leaves


@pytest.mark.parametrize(
    ('file', 'module'), [('tracker', 'parameters'), ('follow', 'follow_parameters')]
)
def test_parameter_file_holds_the_table_and_its_defaults(file: str, module: str) -> None:
    table = import_module(f'memtrack_ros.nodes.{module}').TABLE
    tree = yaml.safe_load((ROOT / 'config' / f'{file}.yaml').read_text())
    written = flat(tree['/**']['ros__parameters'])
    defaults = {parameter.name: parameter.default for parameter in table}
    assert written == defaults
    assert {name: type(value) for name, value in written.items()} == {
        name: type(value) for name, value in defaults.items()
    }


@pytest.mark.parametrize('kind', ['msg', 'srv'])
def test_installed_interfaces_are_those_of_the_sources(kind: str) -> None:
    module = pytest.importorskip(f'memtrack_ros.{kind}')
    for source in (ROOT / kind).glob(f'*.{kind}'):
        sections = [getattr(module, source.stem)]
        if kind == 'srv':
            sections = [sections[0].Request, sections[0].Response]
        for section, text in zip(sections, source.read_text().split('---\n'), strict=True):
            lines = (line.split('#')[0].split() for line in text.splitlines())
            names = [words[1] for words in lines if len(words) == 2 and '=' not in words[1]]
            assert list(section.get_fields_and_field_types()) == names


def test_every_interface_is_generated() -> None:
    cmake = (ROOT / 'CMakeLists.txt').read_text()
    for source in [*ROOT.glob('msg/*.msg'), *ROOT.glob('srv/*.srv')]:
        assert f'"{source.relative_to(ROOT)}"' in cmake


@pytest.mark.parametrize(
    ('question', 'answer'),
    [
        ('why does pip refuse on Ubuntu 24.04', r'externally-managed-environment.*virtual\s+env'),
        ('which Python starts a node', r'`\.venv` or `venv` beside the workspace'),
        ('nav2 waits for a bond', r'`bondpy` is installed.*`bond_timeout: 0\.0`'),
        ('configure takes longer than nav2 waits', r'raise its `service_timeout`'),
        ('which pixels a target has', r'rqt_image_view.*publish\s+mouse clicks'),
        ('what mono16 means', r'`mono16` and its like are not cut to their high byte'),
        ('are my images rectified', r'`rectified` \| `auto`.*topic `image_rect\*`'),
        ('when is a bearing invalid', r'no ray is imaged within half a pixel'),
    ],
)
def test_the_readme_answers(question: str, answer: str) -> None:
    readme = (ROOT / 'README.md').read_text()
    assert re.search(answer, readme, re.DOTALL), question


def test_every_ros_package_that_is_imported_is_declared() -> None:
    tree = ElementTree.parse(ROOT / 'package.xml')
    declared = {tag.text for tag in tree.iter() if tag.tag.endswith('depend')}
    sources = [*ROOT.glob('memtrack_ros/**/*.py'), *ROOT.glob('launch/*.py')]
    statements = re.compile(r'^ *(?:from|import) (\w+)', re.MULTILINE)
    imported = {name for path in sources for name in statements.findall(path.read_text())}
    of_ros = ('_msgs', '_interfaces', 'ament_index_python', 'launch', 'launch_ros', 'rclpy')
    assert {name for name in imported if name.endswith(of_ros)} <= declared


# What the code imports, as PyPI and rosdep call it; torch and safetensors come from pip alone.
LIBRARIES = {
    'PIL': ('pillow', 'python3-pil'),
    'cv2': ('opencv-python-headless', 'python3-opencv'),
    'numpy': ('numpy', 'python3-numpy'),
    'safetensors': ('safetensors', None),
    'torch': ('torch', None),
    'yaml': ('pyyaml', 'python3-yaml'),
}


def _modules(statement: ast.stmt) -> list[str]:
    """What an import statement takes from; nothing of others."""
    if isinstance(statement, ast.ImportFrom):
        return [statement.module or '']
    return [name.name for name in statement.names] if isinstance(statement, ast.Import) else []


def test_every_library_that_is_imported_is_declared() -> None:
    tree = ElementTree.parse(ROOT / 'package.xml')
    declared = {tag.text for tag in tree.iter() if tag.tag == 'exec_depend'}
    wanted = re.search(r'^RUN = (\[.*\])$', (ROOT / 'setup.py').read_text(), re.MULTILINE)
    assert wanted is not None
    installed = {re.split('[<>=]', name)[0] for name in ast.literal_eval(wanted[1])}
    imported = {
        name.split('.')[0]
        for path in ROOT.glob('memtrack_ros/**/*.py')
        for statement in ast.parse(path.read_text()).body
        for name in _modules(statement)
    }
    for name, (pypi, rosdep) in LIBRARIES.items():
        assert name in imported
        assert pypi in installed
        assert rosdep is None or rosdep in declared
    extras = {'aiohttp', 'got10k', 'matplotlib', 'rich', 'rosbags'}
    of_ros = re.compile(
        r'\w*(_msgs|_srvs|_interfaces|rclpy|ament_index_python|cv_bridge|memtrack_ros)'
    )
    rest = imported - sys.stdlib_module_names - LIBRARIES.keys() - extras
    assert [name for name in rest if not of_ros.fullmatch(name)] == []
