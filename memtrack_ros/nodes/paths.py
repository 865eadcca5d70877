"""Paths that parameters hold."""

from __future__ import annotations

from pathlib import Path

from memtrack_ros.errors import ConfigurationError


def expanded(name: str, text: str) -> Path:
    """The path that the parameter of this name holds, with ~ and ~user made whole.

    Raises ConfigurationError: it is empty, or in a home that there is not.
    """
    if not text:
        raise ConfigurationError(f'{name} is empty: give a path')
    path = Path(text)
    if not text.startswith('~'):
        return path
    home = Path(path.parts[0])
    try:
        known = home.expanduser().is_dir()
    except RuntimeError:
        known = False
    if not known:
        raise ConfigurationError(
            f'{name} {text!r} begins with {home}, which is no home here: write the path out'
        )
    return path.expanduser()
