"""Followers compared over a folder of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation import report
from memtrack_ros.evaluation.runner import Follower, one_pass, scores


def compare(followers: Mapping[str, Follower], folder: Path, out: Path) -> None:
    """Runs each follower over each sequence in the folder, shows the tables and writes them to out.

    Malformed sequences are named and skipped. Raises SequenceError when none can be scored.
    """
    console = Console()
    faults: list[SequenceError] = []
    sequences = read_sequences(folder, faults)
    results: report.Results = {name: {} for name in followers}
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        whole = progress.add_task('sequences', total=len(sequences))
        current = progress.add_task('')
        for sequence in sequences:
            try:
                rows = {}
                for name, follower in followers.items():
                    label = f'{name} on {sequence.name}'
                    progress.reset(current, total=len(sequence), description=label)
                    answers = []
                    for answer in one_pass(follower, sequence):
                        answers.append(answer)
                        progress.advance(current)
                    rows[name] = scores(answers, sequence)
            except SequenceError as error:
                faults.append(error)
            else:
                for name, row in rows.items():
                    results[name][sequence.name] = row
            progress.advance(whole)
        progress.remove_task(current)
    report.show(console, results, faults)
    if not all(results.values()):
        raise SequenceError(f'{folder}: none of its sequences can be scored')
    report.write(out, results, faults)
    console.print(f'written: {out}/results.json, results.md', highlight=False)
