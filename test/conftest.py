"""Fixtures that several tests share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracking import Maker, Video

from memtrack_ros.scenes import drawn_scene


@pytest.fixture(scope='session')
def domain() -> None:
    """A ROS domain of its own on this machine, for this process and those it starts."""
    from memtrack_ros.nodes import processes

    processes.isolate()


@pytest.fixture(scope='module')
def ros(domain: None) -> Iterator[None]:
    """ROS in this process."""
    import rclpy

    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture(scope='session')
def make() -> Iterator[Maker]:
    """Makes trackers of every kind; the weights that it has to make up go with the session."""
    with tempfile.TemporaryDirectory() as folder:
        yield Maker(Path(folder))


@pytest.fixture(scope='session')
def video() -> Video:
    """A small drawn one."""
    scene = drawn_scene(9, width=160, height=120)
    first, *later = (scene.render(number) for number in range(64))
    return Video([first.image, *(frame.image for frame in later)], first.box, first.mask)
