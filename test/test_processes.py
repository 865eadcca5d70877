"""Processes of tests and demos keep out of each other's way."""

from __future__ import annotations

import os

import pytest

from memtrack_ros.tools import processes


def test_no_domain_is_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that start together find the same ports free: it took 1 of 101 by chance."""
    monkeypatch.setattr(processes, '_claims', [])
    monkeypatch.setattr(os, 'environ', dict(os.environ))
    taken = []
    for _ in range(40):
        processes.isolate()
        taken.append(os.environ['ROS_DOMAIN_ID'])
    assert len(set(taken)) == len(taken)


def test_a_file_of_tests_stays_with_one_worker(request: pytest.FixtureRequest) -> None:
    if os.environ.get('PYTEST_XDIST_WORKER') is None:
        pytest.skip('needs several workers: pytest -n 2 --dist loadgroup')
    assert request.node.nodeid.endswith('@test_processes')
