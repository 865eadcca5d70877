"""PyTorch checkpoints: written whole, read without running what is in them, or refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from memtrack_ros.errors import ConfigurationError, MemtrackError

REASON = 120  # characters of what a library says


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state to `path`; replaces the one before in one step."""
    partial = path.with_suffix('.partial')
    torch.save(dict(state), partial)
    partial.replace(path)


@contextmanager
def opened_checkpoint(
    path: Path, kind: str, remedy: str, device: torch.device | str = 'cpu'
) -> Iterator[dict[str, Any]]:
    """What `torch.save` wrote to `path`, on the device, while it is taken over.

    Raises ConfigurationError, which says that it is none of this `kind`, and the `remedy`, when the
    file is missing, damaged or holds more than tensors, and for whatever fails within: a key that
    it lacks, a shape that does not fit.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f'it holds a {type(state).__name__}, not a table')
        yield state
    except MemtrackError:
        raise
    except Exception as error:  # torch, zipfile and pickle raise what they like
        raise ConfigurationError(
            f'{path} is damaged or no {kind} ({reason(error)}); {remedy}.'
        ) from error


def reason(error: Exception) -> str:
    """The kind of an error and the beginning of what it says, in one line."""
    said = ' '.join(str(error).split())[:REASON].partition('. ')[0]
    return f'{type(error).__name__}: {said}' if said else type(error).__name__
