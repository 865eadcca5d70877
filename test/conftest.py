"""Fixtures that several tests share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope='session')
def domain() -> None:
    """A ROS domain of its own on this machine, for this process and those it starts."""
    from memtrack_ros.nodes import processes

    processes.isolate()
