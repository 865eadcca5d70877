"""How long a tracker takes for a frame, and whether that stays so as its memory fills."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import cycle, islice
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Prompt, Session
from memtrack_ros.session.presence import EVERYTHING
from memtrack_ros.trackers import AnyTracker

WIDTH, HEIGHT, SEED = 640, 480, 4
DISTINCT = 60  # frames that are drawn; they are shown to and fro
ROUND = 10  # frames of one tracker before it is the next one's turn
HEAD = (
    'tracker',
    'step ms',
    'remember ms',
    'frames/s',
    'first fifth',
    'last fifth',
    'writes',
    'bank MB',
)


class Course:
    """One tracker on the scene, timed."""

    def __init__(self, session: Session, frames: list[Pixels], box: NDArray[np.float64]) -> None:
        self.session = session
        self._frames = to_and_fro(frames)
        session.prompt(next(self._frames), Prompt('box', box))
        bank = session.tracker.bank.status()
        self.bank_bytes, self._written_before = bank.bytes, bank.writes

    @property
    def writes(self) -> int:
        """Into the bank since the prompt."""
        return self.session.tracker.bank.status().writes - self._written_before

    def run(self, count: int) -> NDArray[np.float64]:
        """Seconds of step and of remember for the next frames, (count, 2)."""
        times = np.empty((count, 2))
        for row, frame in zip(times, islice(self._frames, count), strict=True):
            begun = perf_counter()
            self.session.step(frame)
            self._wait()
            found = perf_counter()
            self.session.remember()
            self._wait()
            row[:] = found - begun, perf_counter() - found
        return times

    def _wait(self) -> None:
        if self.session.tracker.device.type == 'cuda':
            torch.cuda.synchronize()


def to_and_fro(frames: list[Pixels]) -> Iterator[Pixels]:
    """First to last and back, for ever."""
    return cycle(frames + frames[-2:0:-1])


def benchmark(trackers: Mapping[str, AnyTracker], frames: int, console: Console) -> None:
    """Time all trackers in turns on one drawn scene, and print a table in Markdown.

    Whatever is found counts as the target, and all of it is to be remembered: the most that can be
    asked. What a tracker itself writes of that, by the rules of its paper, is counted.
    """
    with Progress(console=console, transient=True) as progress:
        drawing = progress.add_task('drawing', total=DISTINCT)
        scene, pictures = drawn_scene(SEED, WIDTH, HEIGHT, DISTINCT), []
        first = scene.render(0)
        for number in range(DISTINCT):
            pictures.append(scene.render(number).image)
            progress.advance(drawing)
        courses = {
            name: Course(Session(tracker, EVERYTHING), pictures, first.box)
            for name, tracker in trackers.items()
        }
        timing = progress.add_task('timing', total=frames)
        rounds: dict[str, list[NDArray[np.float64]]] = {name: [] for name in trackers}
        for _ in range(0, frames, ROUND):
            for name, course in courses.items():
                rounds[name].append(course.run(ROUND))
            progress.advance(timing, ROUND)
    print(_table(courses, {name: np.concatenate(times) for name, times in rounds.items()}))


def _table(courses: dict[str, Course], times: dict[str, NDArray[np.float64]]) -> str:
    """Medians; the first and the last fifth apart, as the memory fills."""
    rows: list[tuple[str, ...]] = [HEAD, ('---', *['---:'] * (len(HEAD) - 1))]
    for name, each in times.items():
        whole = each.sum(1)
        fifth = len(whole) // 5
        step, remember = 1e3 * np.median(each, 0)
        rows.append(
            (
                name,
                f'{step:.1f}',
                f'{remember:.1f}',
                # Now and then a write takes longer: the mean is what a stream feels.
                f'{1 / whole.mean():.0f}',
                f'{1e3 * np.median(whole[:fifth]):.1f}',
                f'{1e3 * np.median(whole[-fifth:]):.1f}',
                f'{courses[name].writes} of {len(whole)}',
                f'{courses[name].bank_bytes / 1e6:.1f}',
            )
        )
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)
