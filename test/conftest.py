"""Fixtures that several tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


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
