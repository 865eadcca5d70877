"""A device whose memory is full is said in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from memtrack_ros.errors import TrackingError

P = ParamSpec('P')
T = TypeVar('T')


def within_room(method: Callable[P, T]) -> Callable[P, T]:
    """A method of what has a `tracker`: TrackingError where its device has no room for the work.

    What was allocated for it is free again, and the next frame may be a good one.
    """

    @wraps(method)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return method(*arguments, **named)
        except torch.cuda.OutOfMemoryError as error:
            owner: Any = arguments[0]
            raise TrackingError(
                f'The memory of {owner.tracker.device} is full, so that the frame was left out: '
                'free some of it, or set device to cpu or another one.'
            ) from error.with_traceback(None)

    return run
