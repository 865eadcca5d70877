"""LaSOT: NAME.txt, x,y,w,h a line, pixels numbered from 1.

Its toolkit looks for them in tracking_results/TRACKER_tracking_result.
"""

from __future__ import annotations

from memtrack_ros.data.files import to_one
from memtrack_ros.data.results.answers import SequenceAnswers, box_lines


def lasot_files(answers: SequenceAnswers) -> dict[str, str]:
    """The file of a sequence, by path."""
    return {f'{answers.name}.txt': box_lines(answers, to_one(answers.boxes))}
