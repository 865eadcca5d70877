"""Fixtures that several tests share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking import Maker, Video

from memtrack_ros.scenes import drawn_scene


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--steps', type=int, default=500, help='length of the random walk')
    parser.addoption('--seed', type=int, default=1, help='which random walk')
    parser.addoption('--long', action='store_true', help='run what takes minutes, too')


@pytest.hookimpl(tryfirst=True)  # xdist, which reads the groups, would come before
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side run files, but of those with live nodes, which keep time, one at a time."""
    if not config.getoption('--long'):
        for item in items:
            if item.get_closest_marker('long'):
                item.add_marker(pytest.mark.skip(reason='takes minutes: pytest --long'))
    live = {item.path for item in items if 'domain' in getattr(item, 'fixturenames', ())}
    for item in items:
        group = 'live nodes' if item.path in live else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope='session')
def domain() -> None:
    """A ROS domain of its own on this machine, for this process and those it starts."""
    from memtrack_ros.tools import processes

    processes.isolate()


@pytest.fixture(scope='module')
def ros(domain: None) -> Iterator[None]:
    """ROS in this process."""
    import rclpy

    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture(scope='session')
def sequences() -> Path:
    """The folder of real sequences that are there to develop against."""
    data = os.environ.get('MEMTRACK_DATA')
    if not data:
        pytest.skip('needs real sequences: set MEMTRACK_DATA to the folder of sequences/')
    return Path(data, 'sequences')


@pytest.fixture(scope='session')
def make() -> Iterator[Maker]:
    """Makes trackers of every kind; the weights that it has to make up go with the session."""
    with tempfile.TemporaryDirectory() as folder:
        yield Maker(Path(folder))


@pytest.fixture(scope='session')
def video() -> Video:
    """A drawn one, so narrow around its target that whoever searches for it looks beyond."""
    scene = drawn_scene(9, width=160, height=120)
    left, top, right, bottom = 50, 40, 120, 100
    drawn = [scene.render(number) for number in range(64)]
    frames = [frame.image[top:bottom, left:right].copy() for frame in drawn]
    box = drawn[0].box - [left, top, 0, 0]
    return Video(frames, box, drawn[0].mask[top:bottom, left:right].copy())
