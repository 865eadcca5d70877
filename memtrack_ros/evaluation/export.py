"""The passes that `run` kept, in the files that a benchmark's server or toolkit takes."""

from __future__ import annotations

from pathlib import Path

from memtrack_ros.data.results import FORMATS, SequenceAnswers
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation import passes


def export(kind: str, folder: Path, out: Path) -> int:
    """Write all passes in `folder` (passes/TRACKER, or a set in it) to `out`; how many there are.

    Raises SequenceError, with nothing written, when there are none, one is damaged or has a frame
    without an answer, two have one name, or `out` cannot be written or is there already.
    """
    files_of, write = FORMATS[kind]
    files: dict[str, str] = {}
    found = sorted(folder.rglob('*.csv'))
    for path in found:
        answers = passes.read(path)
        new = files_of(SequenceAnswers(path.stem, answers.boxes, answers.seconds))
        if new.keys() & files.keys():
            raise SequenceError(f'{folder}: two passes over a {path.stem}; name the set of one')
        files |= new
    if not files:
        raise SequenceError(f'{folder}: no passes in it; name passes/TRACKER of a run')
    try:
        write(out, files)
    except OSError as error:
        raise SequenceError(f'{out} cannot be written ({error}); give another name') from error
    return len(found)
