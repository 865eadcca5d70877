"""Sequences of any layout that `layouts` knows, told by what lies in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memtrack_ros.data.files import naming
from memtrack_ros.data.layouts import LAYOUTS, NAMES, Video
from memtrack_ros.data.sequence import Sequence
from memtrack_ros.data.splits import listed, missing, read_split
from memtrack_ros.errors import SequenceError

__all__ = ['Sequence', 'Video', 'find_videos', 'read_sequence', 'read_sequences', 'read_video']

# A folder of benchmarks, one of them, a class of it, a sequence.
_DEPTH = 3


def read_sequence(folder: Path) -> Sequence:
    """The one sequence in a folder.

    SequenceError names it and what is wrong; also when there is none, or more than one.
    """
    sequences = read_sequences(folder)
    if len(sequences) > 1:
        raise SequenceError(f'{folder}: {len(sequences)} sequences in it, not one')
    return sequences[0]


def read_sequences(
    folder: Path,
    faults: list[SequenceError] | None = None,
    *,
    split: str | None = None,
    test_splits: bool = False,
) -> list[Sequence]:
    """All sequences in a folder, sorted by name; the folder may be a sequence, a set, several sets.

    A malformed one (missing frames, frames, truth and masks that differ in number, no or unreadable
    truth) is skipped and its error added to faults; without that list it is raised. Images are
    not read (but masks are where they are the truth): what is wrong in one is found when it is
    asked for. SequenceError when there is no sequence at all, malformed or not.

    Only those of a `split`, if there is one: see `read_split`; some of it that are not there are a
    fault. Those of `test_splits`, which have but their first box, are among them if asked for, else
    malformed.
    """
    sequences: dict[str, Sequence] = {}
    for video in _videos_of(folder, split, faults):
        try:
            for sequence in read_video(video, test_splits=test_splits):
                if sequence.name in sequences:
                    raise SequenceError(f'{sequence.name}: two sequences have this name')
                sequences[sequence.name] = sequence
        except SequenceError as error:
            if faults is None:
                raise
            faults.append(error)
    return [sequences[name] for name in sorted(sequences)]


def _videos_of(folder: Path, split: str | None, faults: list[SequenceError] | None) -> list[Video]:
    videos = find_videos(folder)
    if split is None:
        return videos
    names = read_split(folder, split)
    if lost := missing(names, [video.name for video in videos]):
        error = SequenceError(
            f'{folder}: {len(lost)} of the {len(names)} sequences of {split} are not in it, the '
            f'first is {lost[0]}'
        )
        if faults is None:
            raise error
        faults.append(error)
    return [video for video in videos if listed(video.name, names)]


def find_videos(folder: Path) -> list[Video]:
    """What videos a folder as `read_sequences` takes it holds: none of them is read yet.

    SequenceError when it holds none.
    """
    found = list(_find(folder.resolve(), _DEPTH))
    if not found:
        raise SequenceError(f'{folder}: no sequence in it; the layouts known are {NAMES}')
    return found


def read_video(video: Video, *, test_splits: bool = False) -> list[Sequence]:
    """The sequences of a video that was found, one a target; of `test_splits`, too, if asked for.

    SequenceError names it and what is wrong.
    """
    with naming(video.name):
        sequences = video.read()
        if test_splits:
            sequences = [sequence.padded() for sequence in sequences]
        for sequence in sequences:
            sequence.check()
    return sequences


def _find(folder: Path, depth: int) -> Iterator[Video]:
    """What the first layout that knows the folder finds in it, or else in the folders in it."""
    for layout in LAYOUTS:
        if found := layout(folder):
            yield from found
            return
    if depth and folder.is_dir():
        for child in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield from _find(child, depth - 1)
