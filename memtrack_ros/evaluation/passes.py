"""What a tracker said on one pass over a sequence, frame by frame, and the file that keeps it."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from memtrack_ros.errors import SequenceError
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.trackers import AnyTracker, Chosen

COLUMNS = ('frame', 'x', 'y', 'w', 'h', 'confidence', 'seconds', 'j', 'f')


@dataclass(frozen=True)
class Pass:
    """All answers of one pass over a sequence of n frames.

    boxes float64 (n, 4): x, y, w, h in pixels; nan before the prompt, the truth itself in its
    frame, the last one where none was given. Of (n,) each: confidence in 0..1, nan where none was
    said; seconds that the answer took, nan where none was asked for; j and f, region and boundary
    score of the mask, nan where none is scored.
    """

    boxes: Floats
    confidence: Floats
    seconds: Floats
    j: Floats
    f: Floats

    def save(self, path: Path, origin: str) -> None:
        """Write a table that says in its first line what it depends on, `origin`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        table = np.column_stack([np.arange(1, len(self.boxes) + 1), *astuple(self)])
        header = f'# {origin}\n{",".join(COLUMNS)}\n'
        rows = ''.join(f'{int(row[0])},{",".join(map(repr, row[1:].tolist()))}\n' for row in table)
        partial = path.with_suffix('.partial')
        partial.write_text(header + rows)
        partial.replace(path)


def origin_of(tracker: AnyTracker, settings: Chosen) -> str:
    """What the answers of a tracker that was made with these settings depend on."""
    parts = [tracker.name, tracker.variant, tracker.weights[:12], str(settings)]
    return ' '.join(filter(None, parts))


def load(path: Path, origin: str) -> Pass | None:
    """The pass that a file keeps; None where there is none of this `origin`."""
    if not path.is_file():
        return None
    with path.open() as file:
        if file.readline() != f'# {origin}\n':
            return None
    return read(path)


def read(path: Path) -> Pass:
    """The pass that a file keeps, of whatever origin. SequenceError where it keeps none."""
    try:
        _, head, *rows = path.read_text().splitlines()
        if head != ','.join(COLUMNS) or not rows:
            raise ValueError('it has another head, or no rows')
        table = np.loadtxt(rows, delimiter=',', ndmin=2)
        if table.shape[1] != len(COLUMNS):
            raise ValueError(f'{table.shape[1]} columns, not {len(COLUMNS)}')
    except (OSError, ValueError) as error:
        raise SequenceError(f'{path} is no pass of a run ({error}); remove it') from error
    return Pass(table[:, 1:5], *table[:, 5:].T)
