"""What tests of processes share."""

from __future__ import annotations

import time
from pathlib import Path

from memtrack_ros.tools.processes import NodeProcess

DEADLINE = 120


def await_import(process: int, library: str = 'libtorch_cpu') -> None:
    """Waits until a process has begun to load a library: it is in the midst of its imports."""
    maps = Path('/proc', str(process), 'maps')
    end = time.monotonic() + DEADLINE
    while library not in maps.read_text():
        assert time.monotonic() < end, f'{library} is not imported'
        time.sleep(0.002)


def await_output(process: NodeProcess, text: str) -> None:
    """Waits until a node has written something."""
    end = time.monotonic() + DEADLINE
    while text not in process.output():
        assert process.code is None and time.monotonic() < end, process.output()
        time.sleep(0.02)
