"""The live node before a camera, and what is done before its first image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.nodes.warm_up import warm_up
from memtrack_ros.session import Group


@pytest.fixture
def group() -> Group:
    return Group(trackers.create('memtrack', device='cpu'))


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_image_is_answered_or_dropped() -> None:
    command = [sys.executable, '-m', 'memtrack_ros.tools.live', '--tracker', 'memtrack']
    command += ['--seconds', '2', '--size', '160x120', '--threads', '1']
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['published'] == 60
    assert found['answered'] + found['dropped'] == 60
    assert found['answered'] > 0
    assert found['image_to_target_ms'] > found['processing_ms'] > 0


def test_a_tracker_that_is_none_is_said() -> None:
    command = [sys.executable, '-m', 'memtrack_ros.tools.live', '--tracker', 'nobody']
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 2
    assert 'does not start' in done.stderr


def test_as_many_threads_compute_as_are_asked_for(group: Group) -> None:
    assert warm_up(group, 1) == torch.get_num_threads() == 1
    assert len(group) == 0 and group.memory.entries == 0


def test_unasked_no_more_threads_compute_than_there_are_cores(group: Group) -> None:
    assert 1 <= warm_up(group, 0) <= len(os.sched_getaffinity(0))
    assert len(group) == 0
