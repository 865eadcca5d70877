"""Trackers compared over a folder of sequences: resumable, side by side where there are cores."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from memtrack_ros import interrupt
from memtrack_ros.data import sequences as data
from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation import passes, report
from memtrack_ros.evaluation.runner import Follower, one_pass
from memtrack_ros.nets.threads import compute_with

THREADS = 2  # of a job, at most
VISIBLE = 'CUDA_VISIBLE_DEVICES'
PASSES = 'passes'  # folder of TRACKER/SET/NAME.csv


class Entrant(NamedTuple):
    """A tracker that takes part: its name, what its answers depend on, and how it is made."""

    name: str
    origin: str
    make: Callable[[], Follower]


class Task(NamedTuple):
    """One entrant's pass over one sequence, and the file that will keep it."""

    entrant: Entrant
    sequence: data.Sequence
    by_mask: bool
    file: Path

    @property
    def key(self) -> tuple[str, str]:
        """The names of the entrant and of the sequence."""
        return self.entrant.name, self.sequence.name

    @property
    def origin(self) -> str:
        """What the answers depend on; other truth or frames make it another."""
        truth = hashlib.sha256(self.sequence.truth.tobytes())
        for frame in self.sequence.frames:
            truth.update(frame.name.encode())
        prompt = 'mask' if self.by_mask else 'box'
        return f'{self.entrant.origin}, prompt {prompt}, truth {truth.hexdigest()[:12]}'


# What came of a task: its answers, or why the sequence cannot be used.
Result = tuple[Task, passes.Pass | SequenceError]


def compare(
    entrants: Sequence[Entrant],
    folder: Path,
    out: Path,
    *,
    split: str | None = None,
    by_mask: bool = False,
    jobs: int = 1,
    command: str,
) -> None:
    """Run each entrant over each sequence in the folder, show the tables and write them to `out`.

    Only those of a `split`, if there is one: see `data.splits`.

    Passes that `out` already holds are not run again. Malformed sequences, and those whose first
    truth is no prompt, are named and skipped; those of a test split are run, but not scored.
    `command` is what the report says that it was made with. Raises SequenceError when no sequence
    can be run.
    """
    console = Console()
    faults: list[SequenceError] = []
    sequences = read_sequences(folder, faults, split=split, test_splits=True)
    tasks = [
        Task(entrant, sequence, by_mask, out / PASSES / entrant.name / f'{sequence.name}.csv')
        for sequence in sequences
        for entrant in entrants
    ]
    answers = {
        task.key: kept
        for task in tasks
        if (kept := passes.load(task.file, task.origin)) is not None
    }
    due = [task for task in tasks if task.key not in answers]
    broken: dict[str, SequenceError] = {}
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        whole = progress.add_task('passes', total=len(tasks), completed=len(tasks) - len(due))
        frames = progress.add_task('frames', total=sum(len(task.sequence) for task in due))
        run = one_by_one if jobs == 1 else partial(side_by_side, jobs=jobs)
        for task, result in run(due, lambda count: progress.advance(frames, count)):
            if isinstance(result, SequenceError):
                broken[task.sequence.name] = result
            else:
                answers[task.key] = result
            progress.advance(whole)
    whole_ones = [s for s in sequences if s.name not in broken and s.scorable]
    faults += broken.values()
    untold = [s for s in sequences if s.name not in broken and not s.scorable]
    if untold:
        console.print(
            f'{len(untold)} sequences of a test split, which only its benchmark can score: their '
            f'passes lie in {out / PASSES}, export writes them for it',
            highlight=False,
        )
    if not whole_ones:
        report.show_faults(console, faults)
        if untold:
            return
        raise SequenceError(f'{folder}: none of its sequences can be scored')
    outcome = report.Outcome(
        whole_ones,
        {
            entrant.name: {s.name: answers[entrant.name, s.name] for s in whole_ones}
            for entrant in entrants
        },
        faults,
        command,
    )
    report.show(console, outcome)
    report.write(out, outcome, console)


def one_by_one(tasks: Sequence[Task], advance: Callable[[int], None]) -> Iterator[Result]:
    """Run the tasks in this process."""
    made: dict[str, Follower] = {}
    for task in tasks:
        yield task, run_task(task, made, advance)


def side_by_side(
    tasks: Sequence[Task], advance: Callable[[int], None], *, jobs: int
) -> Iterator[Result]:
    """Run the tasks in `jobs` processes of their own, each on the next GPU where there are any."""
    context = multiprocessing.get_context('spawn')
    done: SimpleQueue[int] = context.SimpleQueue()
    turns: SimpleQueue[int] = context.SimpleQueue()
    for turn in range(jobs):
        turns.put(turn)
    with ProcessPoolExecutor(jobs, context, _prepare, (done, turns)) as pool:
        with interrupt.held_back():  # processes that still import would end with a traceback
            due = {pool.submit(_run_there, task): task for task in tasks}
        try:
            while due:
                finished, _ = wait(due, 0.2, FIRST_COMPLETED)
                while not done.empty():
                    advance(done.get())
                for future in finished:
                    yield due.pop(future), future.result()
        finally:  # the queues stay until the last of the processes is gone, which may yet import
            for process in multiprocessing.active_children():
                process.terminate()


def run_task(
    task: Task, made: dict[str, Follower], advance: Callable[[int], None]
) -> passes.Pass | SequenceError:
    """Run one pass and keep it, too, in its file; the error where the sequence cannot be used.

    Followers are taken from `made`, by name, or made and put there.
    """
    if task.entrant.name not in made:
        made[task.entrant.name] = task.entrant.make()
    follower = made[task.entrant.name]
    try:
        answers = one_pass(follower, task.sequence, task.by_mask, lambda: advance(1))
    except SequenceError as error:
        return error
    answers.save(task.file, task.origin)
    return answers


_made: dict[str, Follower] = {}  # of a process of its own
_done: SimpleQueue[int]


def _prepare(done: SimpleQueue[int], turns: SimpleQueue[int]) -> None:
    """Take a turn: the number of a job, and with it a GPU."""
    global _done
    _done = done
    interrupt.end_at_once()  # by Ctrl-C, which all processes hear; what is kept is whole
    turn = turns.get()
    compute_with(min(THREADS, torch.get_num_threads()))
    if gpus := torch.cuda.device_count():
        os.environ[VISIBLE] = visible_gpus(gpus)[turn % gpus]


def visible_gpus(count: int) -> list[str]:
    """The names by which CUDA knows the `count` GPUs that the caller lets be seen."""
    chosen = os.environ.get(VISIBLE)
    if chosen is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in chosen.split(',')]


def _run_there(task: Task) -> passes.Pass | SequenceError:
    return run_task(task, _made, _done.put)
