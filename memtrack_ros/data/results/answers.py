"""What a tracker answered to one sequence, and how it stands in a text file."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from memtrack_ros.data.files import Floats
from memtrack_ros.errors import SequenceError


class SequenceAnswers(NamedTuple):
    """Of a sequence called `name` in its benchmark.

    `boxes` float64 (frames, 4): x, y, w, h in pixels, pixel centres at integers and (0, 0) the top
    left one; `seconds` (frames,) that each took, nan where none was asked for.
    """

    name: str
    boxes: Floats
    seconds: Floats


def lines(rows: Floats, digits: int) -> str:
    """Numbers (lines, columns) apart by commas, as the toolkits read and write them."""
    return ''.join(','.join(f'{value:.{digits}f}' for value in row) + '\n' for row in rows.tolist())


def box_lines(answers: SequenceAnswers, boxes: Floats) -> str:
    """The boxes of all frames. SequenceError where a frame has none: no server takes a gap."""
    if (gaps := np.isnan(boxes).any(1)).any():
        raise SequenceError(
            f'{answers.name}: frame {int(gaps.argmax()) + 1} has no answer, but its benchmark '
            'wants one of every frame'
        )
    return lines(boxes, 3)


def second_lines(answers: SequenceAnswers) -> str:
    """The seconds of all frames; 0, which no toolkit counts, where none was asked for."""
    return lines(np.nan_to_num(answers.seconds)[:, None], 8)
