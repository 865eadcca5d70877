"""All checks as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from memtrack_ros.evaluation.parity import cmedfl, correlation_filter, memtrack, samn, stmtrack
from memtrack_ros.evaluation.parity.reference import Check, Reference

# What can be compared: the trackers with a published implementation, and the filter of two of them.
SUBJECTS: dict[str, Callable[[Reference], Iterator[Check]]] = {
    'cmedfl': cmedfl.checks,
    'filter': correlation_filter.checks,
    'memtrack': memtrack.checks,
    'samn': samn.checks,
    'stmtrack': stmtrack.checks,
}


def parity(reference: Reference, subjects: list[str], console: Console) -> bool:
    """Run all checks of `subjects`, show them as they come, and say whether every one held."""
    # Narrow enough for 80 columns, names and numbers whole.
    table = Table(box=SIMPLE, show_edge=False, padding=0)
    for title in ('subject', 'array', 'shape', 'error', 'limit', 'verdict'):
        table.add_column(title, no_wrap=True)
    failed = 0
    columns = SpinnerColumn(), TextColumn('{task.description}'), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        for subject in subjects:
            task = progress.add_task(subject)
            for one in SUBJECTS[subject](reference):
                progress.update(task, description=f'{subject}: {one.array}')
                failed += not one.holds
                table.add_row(
                    subject,
                    one.array,
                    'x'.join(map(str, one.shape)) or 'number',
                    f'{one.error:.1e}' if one.error else '0',
                    f'{one.tolerance:.0e}' if one.tolerance else 'exact',
                    'holds' if one.holds else '[red]MISSED[/]',
                )
            progress.remove_task(task)
    console.print(table)
    count = table.row_count
    console.print(
        f'{count - failed} of {count} arrays hold' + (f', {failed} MISSED' * bool(failed))
    )
    return not failed
