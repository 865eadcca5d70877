"""What is left to look at: a video of pictures and a sheet of moments."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from memtrack_ros.errors import MemtrackError
from memtrack_ros.wire.images import Frame

_WAITING = 64
_TILE_WIDTH = 320
_GROUND = (28, 26, 24)
_INK = (235, 235, 235)
_FAINT = (150, 150, 150)


class Film:
    """A video file (MPEG-4), written by a thread of its own, in the size of the first picture."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self._rate = rate
        self._pictures: queue.Queue[tuple[Frame, int] | None] = queue.Queue(_WAITING)
        self._opened = True
        self._thread = threading.Thread(target=self._write, name='film', daemon=True)
        self._thread.start()

    def add(self, picture: Frame, times: int = 1) -> None:
        """Appends a picture, uint8 (height, width, 3) BGR, to be seen for so many frames."""
        self._pictures.put((picture, times))

    def close(self) -> None:
        """Finishes the file. Raises MemtrackError when it could not be written."""
        self._pictures.put(None)
        self._thread.join()
        if not self._opened:
            raise MemtrackError(
                f'{self.path} cannot be written: see whether the folder can, and OpenCV has MPEG-4'
            )

    def _write(self) -> None:
        writer = None
        size = 0, 0
        while (item := self._pictures.get()) is not None:
            picture, times = item
            if writer is None:
                size = picture.shape[1], picture.shape[0]
                fourcc = cv2.VideoWriter.fourcc(*'mp4v')
                writer = cv2.VideoWriter(str(self.path), fourcc, self._rate, size)
                self._opened = writer.isOpened()
            if picture.shape[1::-1] != size:
                picture = np.asarray(cv2.resize(picture, size), np.uint8)
            for _ in range(times):
                writer.write(picture)
        if writer is not None:
            writer.release()


class EvenThumbnails:
    """Small pictures of moments spread evenly over a stream of unknown length, a bounded number."""

    def __init__(self, most: int = 120) -> None:
        self._most = most
        self._every = 1
        self._count = 0
        self._kept: list[tuple[int, Frame]] = []

    def add(self, stamp: int, picture: Frame) -> None:
        """Keeps a small copy of every n-th picture; n doubles whenever there are too many."""
        if self._count % self._every == 0:
            height = round(picture.shape[0] * _TILE_WIDTH / picture.shape[1])
            small = cv2.resize(picture, (_TILE_WIDTH, height), interpolation=cv2.INTER_AREA)
            self._kept.append((stamp, np.asarray(small, np.uint8)))
            if len(self._kept) > self._most:
                self._kept = self._kept[::2]
                self._every *= 2
        self._count += 1

    def spread(self, count: int, since: int) -> list[tuple[int, Frame]]:
        """At most `count` (stamp, picture), evenly spread from stamp `since` to the last."""
        kept = [moment for moment in self._kept if moment[0] >= since]
        if not kept:
            return []
        indices = np.unique(np.linspace(0, len(kept) - 1, count).round().astype(int))
        return [kept[index] for index in indices]


class Tile(NamedTuple):
    """A tile of the sheet and what is written below it."""

    picture: Frame
    caption: str


class Strip(NamedTuple):
    """A row of the sheet: what is written above it, and its tiles."""

    title: str
    tiles: list[Tile]


def contact_sheet(title: str, strips: list[Strip]) -> Frame:
    """One picture, uint8 BGR, of the strips below each other."""
    gap, line = 8, 24
    columns = max(len(strip.tiles) for strip in strips)
    tall = max(tile.picture.shape[0] for strip in strips for tile in strip.tiles)
    row = line + tall + line + gap
    sheet = np.full(
        (2 * line + len(strips) * row + gap, columns * (_TILE_WIDTH + gap) + gap, 3),
        _GROUND,
        np.uint8,
    )
    _write(sheet, title, gap, line, 0.6, _INK)
    for number, strip in enumerate(strips):
        top = 2 * line + number * row
        _write(sheet, strip.title, gap, top + line - 8, 0.5, _INK)
        for column, (picture, caption) in enumerate(strip.tiles):
            left = gap + column * (_TILE_WIDTH + gap)
            height, width = picture.shape[:2]
            sheet[top + line : top + line + height, left : left + width] = picture
            _write(sheet, caption, left, top + line + tall + 16, 0.42, _FAINT)
    return sheet


def _write(
    sheet: Frame, text: str, x: int, y: int, scale: float, ink: tuple[int, int, int]
) -> None:
    cv2.putText(sheet, text, (x, y), cv2.FONT_HERSHEY_DUPLEX, scale, ink, 1, cv2.LINE_AA)
