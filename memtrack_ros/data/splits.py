"""Which sequences of a folder belong to a split: lists of names, the benchmarks' or one's own."""

from __future__ import annotations

from pathlib import Path

from memtrack_ros.data.files import read_lines
from memtrack_ros.data.otb_lists import OTB
from memtrack_ros.errors import SequenceError


def read_split(folder: Path, split: str) -> frozenset[str]:
    """The names of a split: one of `OTB`, or a list of a name a line.

    That is a file's path, or NAME for NAME.txt in the folder, a folder in it, or the ImageSets of
    either: DAVIS has 2017/val, and 480p/val which lists frames, LaSOT testing_set. SequenceError
    when there is none, or several.
    """
    if split in OTB:
        return OTB[split]
    if Path(split).is_file():
        return _names(Path(split))
    roots = [folder, *sorted(path for path in folder.glob('*') if path.is_dir())]
    places = {root / part / f'{split}.txt' for root in roots for part in ('', 'ImageSets')}
    found = [path for path in places if path.is_file()]
    if len(found) != 1:
        raise SequenceError(
            f'{folder}: {len(found)} lists of a split {split!r}; name a file of names, one of '
            f'{", ".join(OTB)}, or NAME of the one NAME.txt in it or in its ImageSets'
        )
    return _names(found[0])


def listed(name: str, names: frozenset[str]) -> bool:
    """Whether a sequence SET/NAME, or SET/NAME.1 of several targets, is among the names."""
    own = name.rpartition('/')[2]
    base, _, number = own.rpartition('.')
    return own in names or (number.isdecimal() and base in names)


def missing(names: frozenset[str], found: list[str]) -> list[str]:
    """The listed names, sorted, of which none was found."""
    return sorted(n for n in names if not any(listed(one, frozenset((n,))) for one in found))


def _names(path: Path) -> frozenset[str]:
    names = frozenset(_name(line.split()[0]) for line in read_lines(path) if line.strip())
    if not names:
        raise SequenceError(f'{path}: no names in it')
    return names


def _name(word: str) -> str:
    """Of a sequence, or of that whose folder holds the frame that is listed."""
    return Path(word).parent.name if word.endswith('.jpg') else word
