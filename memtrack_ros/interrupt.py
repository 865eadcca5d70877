"""Ctrl-C, whenever it comes: a process ends with code 0 or 130, and without a traceback."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

INTERRUPTED = 130
_PATIENCE = 30.0
_SIGNALS = signal.SIGINT, signal.SIGTERM


def end_at_once() -> None:
    """Lets Ctrl-C end this process on the spot: for as long as it imports, with nothing to undo."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))


def end_by(end: Callable[[], None]) -> None:
    """Lets SIGINT and SIGTERM end this process by `end()`, which may be called more than once."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: end())


def end_by_raising() -> None:
    """Lets SIGINT, SIGTERM or SIGHUP end this process as errors do, its children with it.

    Raises KeyboardInterrupt, or SystemExit, in the main thread. Signals that follow it out of
    impatience, before what was begun can have been undone, are passed over.
    """
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
