"""What a memory holds and what of it was read, drawn as a contact sheet."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.session.thumbnails import SIDE, Thumbnails, Tile

COLUMNS, ROWS = 3, 4
_GAP = 6  # pixels
_BAND = 22  # height of what stands below a picture
_BAR = 4  # height of a bar
_GROUND, _EMPTY, _FAINT = (27, 23, 20), (47, 40, 35), (173, 163, 154)  # BGR
_INK, _READ, _OUTLINE = (237, 234, 232), (80, 220, 60), (0, 230, 255)


def draw(thumbnails: Thumbnails, reads: Mapping[int, float]) -> NDArray[np.uint8]:
    """A sheet, uint8 (H, W, 3) BGR, of what was read most, in the order of its numbers.

    reads: by number, how much of the last read came from it, in 0..1. Below a picture stand number
    and share, this as a bar, too. What was not read is dimmed; of that the newest is shown.
    """

    def foremost(number: int) -> tuple[float, int]:
        return reads.get(number, 0.0), number

    held = sorted(reads.keys() | thumbnails.tiles.keys(), key=foremost, reverse=True)
    numbers = sorted(held[: COLUMNS * ROWS])
    rows = -(-len(numbers) // COLUMNS)
    height, width = (
        count * (side + _GAP) + _GAP for count, side in ((rows, SIDE + _BAND), (COLUMNS, SIDE))
    )
    sheet: NDArray[np.uint8] = np.full((height, width, 3), _GROUND, np.uint8)
    for place, number in enumerate(numbers):
        row, column = divmod(place, COLUMNS)
        y, x = _GAP + row * (SIDE + _BAND + _GAP), _GAP + column * (SIDE + _GAP)
        share = reads.get(number, 0.0)
        picture = _picture(thumbnails.tiles.get(number))
        sheet[y : y + SIDE, x : x + SIDE] = picture if share else picture // 3
        _write(sheet, f'{number}', x, y, _FAINT, end=False)
        _write(sheet, f'{share:.0%}', x + SIDE, y, _INK if share else _FAINT, end=True)
        bar = sheet[y + SIDE + _BAND - _BAR : y + SIDE + _BAND, x : x + SIDE]
        bar[:] = _EMPTY
        bar[:, : round(share * SIDE)] = _READ
    return sheet


def _picture(tile: Tile | None) -> NDArray[np.uint8]:
    """A thumbnail with the target's outline; an even ground where there is none."""
    if tile is None:
        return np.full((SIDE, SIDE, 3), _EMPTY, np.uint8)
    shown = np.ascontiguousarray(tile.round(), np.uint8)
    picture, mask = np.ascontiguousarray(shown[..., :3]), (shown[..., 3] > 127).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, outlines, -1, _OUTLINE, 1, cv2.LINE_AA)
    return picture


def _write(
    sheet: NDArray[np.uint8], text: str, x: int, y: int, ink: tuple[int, int, int], *, end: bool
) -> None:
    """Below the picture at y, from x or up to its end there."""
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    place = x - width * end, y + SIDE + _BAND - _BAR - 5
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, ink, 1, cv2.LINE_AA)
