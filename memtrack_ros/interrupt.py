"""Ctrl-C, whenever it comes: a process ends with code 0 or 130, and without a traceback."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from memtrack_ros.errors import MemtrackError

_INTERRUPTED = 130
_PATIENCE = 30.0
_SIGNALS = signal.SIGINT, signal.SIGTERM


def end_at_once() -> None:
    """Lets Ctrl-C end this process on the spot: for as long as it imports, with nothing to undo."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def held_back() -> Iterator[None]:
    """Holds Ctrl-C back; processes started meanwhile hear it when they call `end_at_once`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_by(end: Callable[[], None]) -> None:
    """Lets SIGINT and SIGTERM end this process by `end()`, which may be called more than once."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: end())


def exit_code(work: Callable[[], int]) -> int:
    """The exit code of a command: its work's, 2 after an error, 130 after Ctrl-C.

    An error is said in a sentence. SIGINT, SIGTERM or SIGHUP end the work as errors do, its
    children with it; signals that follow out of impatience are passed over.
    """
    _end_by_raising()
    try:
        return work()
    except (MemtrackError, TimeoutError) as error:
        print(f'memtrack_ros: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        ignore()  # as it leaves, Python gives Ctrl-C its deadly meaning back


def _end_by_raising() -> None:
    """Lets SIGINT, SIGTERM or SIGHUP raise KeyboardInterrupt, or SystemExit, in the main thread."""
    undone = 0.0

    def leave(number: int, _: object) -> None:
        nonlocal undone
        if time.monotonic() < undone:
            return
        undone = time.monotonic() + _PATIENCE
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    for number in (*_SIGNALS, signal.SIGHUP):
        signal.signal(number, leave)


def ignore() -> None:
    """Lets no signal disturb the end."""
    for number in (*_SIGNALS, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
