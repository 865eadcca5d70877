"""GOT-10k: a zip of NAME/NAME_001.txt and NAME/NAME_time.txt, as its toolkit packs them.

Boxes x,y,w,h number pixels from 1; the toolkit would write repetitions as NAME_002.txt ...
"""

from __future__ import annotations

from memtrack_ros.data.files import to_one
from memtrack_ros.data.results.answers import SequenceAnswers, box_lines, second_lines


def got10k_files(answers: SequenceAnswers) -> dict[str, str]:
    """The files of a sequence, by path."""
    name = answers.name
    return {
        f'{name}/{name}_001.txt': box_lines(answers, to_one(answers.boxes)),
        f'{name}/{name}_time.txt': second_lines(answers),
    }
