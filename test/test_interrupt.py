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
    process = run_in_the_midst(tmp_path, jobs)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=DEADLINE)
    assert 'Traceback' not in output, output
    assert process.returncode == 130, output


def test_a_run_told_to_end_ends_its_processes_though_they_were_not_told(tmp_path: Path) -> None:
    process = run_in_the_midst(tmp_path, jobs=2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=DEADLINE)
    assert 'Traceback' not in output, output
    assert process.returncode == 128 + signal.SIGTERM, output
    assert [kept.stem for kept in tmp_path.rglob('passes/**/*.csv')] == ['1 short']


def run_in_the_midst(folder: Path, jobs: int) -> subprocess.Popen[str]:
    """A run over a short and a long sequence that has answered the short one."""
    first = drawn_scene(9, width=160, height=120).render(0)
    for name, frames in (('1 short', 2), ('2 long', 2000)):
        sequence = folder / 'SET' / name
        (sequence / 'img').mkdir(parents=True)
        for number in range(frames):
            cv2.imwrite(str(sequence / 'img' / f'{number + 1:06}.jpg'), first.image)
        np.savetxt(sequence / 'groundtruth.txt', np.tile(first.box, (frames, 1)), '%.2f', ',')
    given = ['--trackers', '', '--peers', 'mil', '--jobs', jobs]
    process = start('evaluation', 'run', '--sequences', folder, *given, '--out', folder / 'out')
    while not list((folder / 'out' / 'passes').rglob('*.csv')):
        assert process.poll() is None
        time.sleep(0.05)
    return process
