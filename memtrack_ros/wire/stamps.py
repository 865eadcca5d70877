"""Stamps of images as times."""

from __future__ import annotations

from typing import Protocol


class Stamp(Protocol):
    """A builtin_interfaces/Time."""

    sec: int
    nanosec: int


def seconds(stamp: Stamp) -> float | None:
    """The stamp in seconds; None for one of zero, which says nothing."""
    if not stamp.sec and not stamp.nanosec:
        return None
    return stamp.sec + stamp.nanosec / 1e9
