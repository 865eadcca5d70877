"""What is done at configure so that no image waits for it: a first run, and a count of threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from memtrack_ros.nets.threads import compute_with, settled
from memtrack_ros.session import Group, Prompt
from memtrack_ros.trackers import Prior

_SIZE = 640, 480
_ROUNDS, _STEPS = 4, 3
_WORTH = 0.9
"""Share of the time with fewer threads that more of them may take: else they are not worth it."""


def warm_up(group: Group, threads: int) -> int:
    """Runs everything once on a blank image; returns the threads that are computed with now.

    threads: so many, 0: as many as measure fastest here and now, or one beside a GPU. They are the
    process's.
    """
    width, height = _SIZE
    blank = np.zeros((height, width, 3), np.uint8)
    box = np.array([width * 0.4, height * 0.4, width * 0.2, height * 0.2])
    if fixed := settled(threads, group.tracker.device):
        compute_with(fixed)
    group.prompt(1, blank, Prompt('box', box))
    group.step(blank)
    group.remember()
    if not fixed:
        compute_with(_fastest(lambda: group.tracker.find(blank, Prior(box))))
    group.reset()
    return torch.get_num_threads()


def _fastest(step: Callable[[], object]) -> int:
    """The threads that a step is fastest with, as far as more of them are worth it."""
    cores = len(os.sched_getaffinity(0))
    counts = [count for count in (1, 2, 4, 8, 16) if count <= cores]
    times: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(_ROUNDS if len(counts) > 1 else 0):
        for count in counts:
            compute_with(count)
            for _ in range(_STEPS):
                begun = time.perf_counter()
                step()
                times[count].append(time.perf_counter() - begun)
    best = counts[0]
    for count in counts[1:]:
        if median(times[count]) < _WORTH * median(times[best]):
            best = count
    return best
