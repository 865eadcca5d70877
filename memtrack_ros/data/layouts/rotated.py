"""Truth of boxes that may be rotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from memtrack_ros.data.files import Floats, checked, read_numbers
from memtrack_ros.geometry import boxes


def read_rotated(path: Path) -> tuple[Floats, Floats | None]:
    """The boxes (lines, 4) of a file of lines x,y,w,h or x1,y1,...,x4,y4, and the corners.

    Rotated ones give their bounds. Corners are (lines, 8), None where no line has eight numbers.
    A line with nan is an absent target. SequenceError at a line that is no box.
    """
    rows = read_numbers(path, 4, 8)
    truth = np.full((len(rows), 4), np.nan)
    corners = np.full((len(rows), 8), np.nan)
    for index, row in enumerate(rows):
        if np.isnan(row).any():
            continue
        if len(row) == 8:
            corners[index] = row
            truth[index] = boxes.bounds(row)
        else:
            x, y, w, h = truth[index] = row
            corners[index] = x, y, x + w, y, x + w, y + h, x, y + h
    return checked(path, truth), corners if any(len(row) == 8 for row in rows) else None
