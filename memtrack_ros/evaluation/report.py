"""What came out of a run: results.json, results.md and a table on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation.metrics import METRICS, PROTOCOL, Scores, mean

# The scores by tracker, by sequence.
Results = dict[str, dict[str, Scores]]


def write(folder: Path, results: Results, faults: Sequence[SequenceError] = ()) -> None:
    """Writes results.json and results.md into the folder; faults are the sequences left out."""
    folder.mkdir(parents=True, exist_ok=True)
    trackers = {
        name: {'summary': mean(list(rows.values())), 'sequences': rows}
        for name, rows in results.items()
    }
    content = json.dumps({'protocol': PROTOCOL, 'trackers': trackers}, indent=2)
    (folder / 'results.json').write_text(content + '\n')
    (folder / 'results.md').write_text(_markdown(results, faults))


def show(console: Console, results: Results, faults: Sequence[SequenceError] = ()) -> None:
    """Prints the tables and the faults."""
    for name, rows in results.items():
        head, *body = _cells(rows)
        # Narrow enough for 80 columns: heads wrap at spaces, names never.
        table = Table(title=name, box=SIMPLE, padding=0, show_edge=False)
        table.add_column(head[0], no_wrap=True)
        for key in head[1:]:
            table.add_column(key.replace('_', ' '), justify='right')
        for row in body[:-1]:
            table.add_row(*row)
        table.add_section()
        table.add_row(*body[-1], style='bold')
        console.print(table)
    for fault in faults:
        console.print(f'skipped: {fault}', style='yellow', markup=False, highlight=False)


def _markdown(results: Results, faults: Iterable[SequenceError]) -> str:
    blocks = ['# Results', PROTOCOL]
    for name, rows in results.items():
        head, *body = _cells(rows)
        rule = ['---', *['---:'] * (len(head) - 1)]
        lines = [f'| {" | ".join(row)} |' for row in (head, rule, *body)]
        blocks += [f'## {name}', '\n'.join(lines)]
    skipped = [f'- {fault}' for fault in faults]
    if skipped:
        blocks += ['## Skipped', '\n'.join(skipped)]
    return '\n\n'.join(blocks) + '\n'


def _cells(rows: dict[str, Scores]) -> list[list[str]]:
    """A head, a line a sequence and the means; metrics that no sequence has are left out."""
    summary = mean(list(rows.values()))
    shown = [key for key in METRICS if summary[key] is not None]
    lines = [*rows.items(), ('mean', summary)]
    return [['sequence', *shown]] + [
        [name, *(_cell(key, row[key]) for key in shown)] for name, row in lines
    ]


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return '-'
    return f'{value:.0f}' if key == 'frames' else f'{value:.1f}' if key == 'fps' else f'{value:.3f}'
