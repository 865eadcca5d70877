"""What the way to a viewer carries: how large and how fine a picture may be."""

from __future__ import annotations

from typing import NamedTuple


class Level(NamedTuple):
    """The longest side of pictures in pixels, and the quality of their JPEGs."""

    side: int
    quality: int


LEVELS = Level(1280, 85), Level(960, 80), Level(640, 75), Level(480, 65), Level(320, 55)
IN_FLIGHT = 2
"""Pictures that are under way at a time."""
PATIENCE = 10.0
"""Seconds after which a viewer that confirms nothing is gone."""
_SLOW, _FAST = 0.25, 0.1  # seconds from sending to confirmation
_CALM = 20  # pictures in a row that were fast, before they become larger


class Link:
    """One viewer. It confirms every picture, so that none is sent that would only wait."""

    def __init__(self) -> None:
        self._level = 1
        self._calm = 0
        self._number = 0
        self._sent: dict[int, float] = {}

    @property
    def level(self) -> Level:
        """Of the next picture."""
        return LEVELS[self._level]

    @property
    def free(self) -> bool:
        """Whether another picture may be sent now."""
        return len(self._sent) < IN_FLIGHT

    def send(self, now: float) -> int:
        """The number of a picture that is sent now (seconds)."""
        self._number += 1
        self._sent[self._number] = now
        return self._number

    def confirm(self, number: int, now: float) -> None:
        """A picture has been shown; numbers that were not sent mean nothing."""
        if number not in self._sent:
            return
        took = now - self._sent[number]
        for sent in [sent for sent in self._sent if sent <= number]:
            del self._sent[sent]
        self._calm = self._calm + 1 if took < _FAST else 0
        if took > _SLOW and self._level < len(LEVELS) - 1:
            self._level += 1
        elif self._calm >= _CALM and self._level:
            self._level -= 1
            self._calm = 0

    def silent(self, now: float) -> bool:
        """Whether it has not confirmed anything for too long."""
        return any(now - sent > PATIENCE for sent in self._sent.values())
