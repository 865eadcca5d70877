"""OTB: NAME.txt, x,y,w,h a line, pixels numbered from 1; times/NAME_time.txt, seconds a line.

So the got10k toolkit, which evaluates OTB too, lays them in results/OTB2015/TRACKER.
"""

from __future__ import annotations

from memtrack_ros.data.files import to_one
from memtrack_ros.data.results.answers import SequenceAnswers, box_lines, second_lines


def otb_files(answers: SequenceAnswers) -> dict[str, str]:
    """The files of a sequence, by path."""
    return {
        f'{answers.name}.txt': box_lines(answers, to_one(answers.boxes)),
        f'times/{answers.name}_time.txt': second_lines(answers),
    }
