"""A video of a layout, not yet read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from memtrack_ros.data.sequence import Sequence


@dataclass(frozen=True)
class Video:
    """Its name; read gives its sequences, one a target.

    Its SequenceError says what is wrong without the name.
    """

    name: str
    read: Callable[[], list[Sequence]]


def named(folder: Path) -> str:
    """The name of the sequence in a folder: SET/NAME."""
    return f'{folder.parent.name}/{folder.name}'
