"""Ctrl-C ends a command line quietly, whenever it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from processes import await_import

from memtrack_ros.scenes import drawn_scene

DEADLINE = 120


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    """A command in a process group of its own, as a shell starts it."""
    # A shell's background jobs ignore it, and so would the process that is started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, '-m', f'memtrack_ros.{module}', *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='without /proc imports are not seen')
@pytest.mark.parametrize('module', ['evaluation', 'training', 'weights'])
def test_an_interrupt_while_it_imports_is_quiet(module: str) -> None:
    process = start(module, '--help')
    await_import(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (130, '')


@pytest.mark.parametrize('jobs', [1, 2])
def test_an_interrupted_run_ends_quietly_with_all_its_processes(jobs: int, tmp_path: Path) -> None:
    first = drawn_scene(9, width=160, height=120).render(0)
    for name, frames in (('1 short', 2), ('2 long', 2000)):
        folder = tmp_path / 'SET' / name
        (folder / 'img').mkdir(parents=True)
        for number in range(frames):
            cv2.imwrite(str(folder / 'img' / f'{number + 1:06}.jpg'), first.image)
        np.savetxt(folder / 'groundtruth.txt', np.tile(first.box, (frames, 1)), '%.2f', ',')
    given = ['--trackers', '', '--peers', 'mil', '--jobs', jobs]
    process = start('evaluation', 'run', '--sequences', tmp_path, *given, '--out', tmp_path / 'out')
    assert process.stdout
    passes = tmp_path / 'out' / 'passes'
    while not list(passes.rglob('*.csv')):  # it is in the midst of the others
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=DEADLINE)
    assert 'Traceback' not in output, output
    assert process.returncode == 130, output
