"""How long trackers take for a frame, where that goes, and whether it stays so as memory fills.

All run in turns, a few frames each, and every number is a median of all turns: what else the
machine does meets all of them alike. So do OpenCV's trackers beside them.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from memtrack_ros.evaluation.stages import REST, STAGES, Clock, timed
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.scenes import drawn_scene, to_and_fro
from memtrack_ros.session import Prompt, Session
from memtrack_ros.session.presence import EVERYTHING
from memtrack_ros.trackers import AnyTracker
from memtrack_ros.trackers.observation import Observation, Prior
from memtrack_ros.wire.images import compressed_to_bgr

SIZES = ((640, 480), (1920, 1080))
SEED = 4
DISTINCT = 30  # frames that are drawn; they are shown to and fro
TURN = 6  # frames of one tracker before it is the next one's turn; it may write every second one
SETTLING = 2  # frames before them that are not counted: the caches are another's
CLOCKS: dict[str, Clock] = {'wall': perf_counter, 'cpu': process_time}
FILLS = ('one', 'half', 'full')
IDLE_WRITES = 100  # in which a memory does not grow: it is as full as it gets of this scene

Medians = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What is measured: rounds of turns at each fill, and frames that a memory is aged by.

    The clock is the wall's, or counts the CPU time of this process: with one thread, that leaves
    out the turns of others, though not what they cost in cache.
    """

    rounds: int = 20
    aged: int = 0
    sizes: tuple[tuple[int, int], ...] = SIZES
    clock: str = 'wall'


@dataclass
class Times:
    """Seconds of what was done, by name."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, seconds: float) -> None:
        """One more."""
        self.seconds[name].append(seconds)

    def medians(self) -> Medians:
        """Milliseconds by name."""
        return {name: round(1e3 * float(np.median(all_)), 3) for name, all_ in self.seconds.items()}


class TimedTracker:
    """One tracker on the scene."""

    def __init__(
        self,
        tracker: AnyTracker,
        frames: list[Pixels],
        box: NDArray[np.float64],
        clock: Clock = perf_counter,
    ) -> None:
        self._clock = clock
        self.tracker, self.session = tracker, Session(tracker, EVERYTHING)
        self._frames, self._box = to_and_fro(frames), box
        self._first = next(self._frames)
        self.times: dict[str, Times] = defaultdict(Times)
        self.stages = Times()
        self.writes = self.asked = 0
        self.session.prompt(self._first, Prompt('box', box))
        seen: list[Observation] = [tracker.locate(frame, Prior(box)) for frame in frames]
        self._seen = cycle(seen)
        self._state = tracker.state()

    def fill(self, fill: str) -> None:
        """Write until the memory is so full, or grows no more: what was seen in all frames."""
        bank = self.tracker.bank
        wanted = {'one': 0.0, 'half': 0.5, 'full': 1.0}[fill] * bank.capacity
        idle, before = 0, bank.entries
        while bank.entries < wanted and idle < IDLE_WRITES:
            self._write()
            idle = 0 if bank.entries > before else idle + 1
            before = max(before, bank.entries)
        self._state = self.tracker.state()

    def age(self, frames: int) -> None:
        """Let so many frames be remembered."""
        for _ in range(frames):
            self._write()
        self._state = self.tracker.state()

    def turn(self, fill: str) -> None:
        """A few frames at this fill; what they write is undone before.

        The `whole` is the mean of a turn, in which some frames are written and others are not.
        """
        self.tracker.restore(self._state)
        times, bank = self.times[fill], self.tracker.bank
        whole = 0.0
        for number in range(SETTLING + TURN):
            frame = next(self._frames)
            seconds = {'locate': self._timed(self.tracker.locate, frame, Prior(self._box))}
            seconds['step'] = self._timed(self.session.step, frame)
            writes = bank.writes
            remembering = self._timed(self.session.remember)
            seconds['remember'] = remembering
            if bank.writes > writes:
                seconds['remember that wrote'] = remembering
            if number >= SETTLING:
                whole += seconds['step'] + remembering
                self.writes, self.asked = self.writes + (bank.writes > writes), self.asked + 1
                for name, one in seconds.items():
                    times.add(name, one)
        times.add('whole', whole / TURN)

    def turn_by_stages(self) -> None:
        """The same, each stage of a step for itself."""
        self.tracker.restore(self._state)
        with timed(self._clock) as watch:
            for number in range(SETTLING + TURN):
                frame = next(self._frames)
                watch.clear()
                whole = self._timed(self.session.step, frame)
                spent = dict(watch.seconds)
                self.session.remember()
                if number >= SETTLING:
                    for stage in STAGES:
                        self.stages.add(stage, spent.get(stage, 0.0))
                    self.stages.add(REST, whole - sum(spent.values()))

    def _write(self) -> None:
        self.tracker.remember(self._first, next(self._seen))

    def _timed(self, work: Callable[..., Any], *arguments: Any) -> float:
        begun = self._clock()
        work(*arguments)
        if self.tracker.device.type == 'cuda':
            torch.cuda.synchronize()
        return self._clock() - begun


class Compressed:
    """A frame as a camera driver compresses it."""

    format = 'bgr8; jpeg compressed bgr8'

    def __init__(self, frame: Pixels) -> None:
        self.data = cv2.imencode('.jpg', frame)[1].tobytes()


def benchmark(
    make: Mapping[str, Callable[[], AnyTracker]],
    peers: Mapping[str, Any],
    plan: Plan,
    console: Console,
) -> dict[str, Any]:
    """What all of them take, as results.json has it: milliseconds, bytes.

    Whatever is found counts as the target, and all of it is to be remembered: the most that can be
    asked. What a tracker itself writes of that, by the rules of its paper, is counted.
    """
    clock = CLOCKS[plan.clock]
    results: dict[str, Any] = {
        'machine': machine(),
        'clock': plan.clock,
        'trackers': {},
        'peers': {},
        'decode': {},
    }
    for name in make:
        results['trackers'][name] = {'sizes': {}}
    for name in peers:
        results['peers'][name] = {'sizes': {}}
    with Progress(console=console, transient=True) as progress:
        for width, height in plan.sizes:
            size = f'{width}x{height}'
            frames, box = _drawn(width, height, progress)
            results['decode'][size] = _decoding(frames, clock)
            courses = {
                name: TimedTracker(tracker(), frames, box, clock) for name, tracker in make.items()
            }
            fills = [*FILLS, *[f'after {plan.aged}'] * bool(plan.aged)]
            task = progress.add_task(size, total=len(fills) * plan.rounds)
            peer_times = {name: Times() for name in peers}
            shown = to_and_fro(frames)
            for peer in peers.values():
                peer.start(next(shown), box, None)
            for fill in fills:
                for course in courses.values():
                    course.age(plan.aged) if fill.startswith('after') else course.fill(fill)
                for _ in range(plan.rounds):
                    for course in courses.values():
                        course.turn(fill)
                        if fill == 'full':
                            course.turn_by_stages()
                    for name, peer in peers.items():
                        for _ in range(TURN):
                            frame = next(shown)
                            begun = clock()
                            peer.follow(frame)
                            peer_times[name].add('whole', clock() - begun)
                    progress.advance(task)
            for name, course in courses.items():
                entry = results['trackers'][name]
                entry['sizes'][size] = {
                    'fills': {fill: times.medians() for fill, times in course.times.items()},
                    'stages': course.stages.medians(),
                }
                entry['wrote'] = f'{course.writes} of {course.asked}'
                entry['bank_bytes'] = course.tracker.bank.bytes
                entry['precision'] = str(course.tracker.precision).removeprefix('torch.')
            for name, times in peer_times.items():
                results['peers'][name]['sizes'][size] = times.medians()
    return results


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        'cpu': _cpu(),
        'cores': len(os.sched_getaffinity(0)),
        'threads': torch.get_num_threads(),
        'load': round(os.getloadavg()[0], 1),
        'gpu': torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        'torch': torch.__version__,
        'opencv': cv2.__version__,
        'python': platform.python_version(),
    }


def _cpu() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    pairs = (line.partition(':') for line in lines)
    named = {key.strip(): value.strip() for key, _, value in pairs}
    if not named.get('model name'):
        return platform.processor() or platform.machine()
    family, model = named.get('cpu family', '?'), named.get('model', '?')
    return f'{named["model name"]} (family {family}, model {model})'


START = """
import json, re, sys, time
from pathlib import Path
import numpy as np
from memtrack_ros import trackers
from memtrack_ros.session import Prompt, Session
frame = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
def resident():
    return int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1])
before = resident()
begun = time.perf_counter()
tracker, variant, weights, device = sys.argv[1:]
weights = Path(weights) if weights else None
session = Session(trackers.create(tracker, variant, weights, device))
session.prompt(frame, Prompt('box', np.array([280.0, 200.0, 80.0, 80.0])))
session.step(frame)
seconds = time.perf_counter() - begun
session.remember()
after = resident()
print(json.dumps({'first_estimate_s': round(seconds, 2),
                  'resident_bytes': 1024 * after, 'resident_before_bytes': 1024 * before}))
"""


def starting(name: str, variant: str, weights: Path | None, device: str) -> dict[str, float]:
    """Of a tracker in a process of its own: seconds to the first estimate, resident bytes."""
    command = [sys.executable, '-c', START, name, variant, str(weights or ''), device]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def live(name: str, variant: str, size: tuple[int, int], seconds: float) -> dict[str, Any] | None:
    """The whole node in a process of its own, before a camera of 30 Hz; None without ROS."""
    command = [sys.executable, '-m', 'memtrack_ros.tools.live', '--tracker', name]
    command += ['--variant', variant, '--seconds', f'{seconds:g}', '--size', f'{size[0]}x{size[1]}']
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _drawn(width: int, height: int, progress: Progress) -> tuple[list[Pixels], NDArray[np.float64]]:
    task = progress.add_task(f'drawing {width}x{height}', total=DISTINCT)
    scene, frames = drawn_scene(SEED, width, height, DISTINCT), []
    for number in range(DISTINCT):
        frames.append(scene.render(number).image)
        progress.advance(task)
    return frames, scene.render(0).box


def _decoding(frames: list[Pixels], clock: Clock) -> Medians:
    times = Times()
    for frame in frames:
        image: Any = Compressed(frame)
        begun = clock()
        compressed_to_bgr(image)
        times.add('jpeg', clock() - begun)
    return times.medians()
