"""What a memory holds, as small pictures for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.memory import Bank

SIDE = 96  # pixels
ROOM = 1.8  # side of what is shown over the longer side of the target's box
MOST = 128  # pictures, of a bank that holds cells of more frames: 4.7 MB

Tile = NDArray[Any]


@dataclass(frozen=True)
class Thumbnails:
    """The target as it was written, by the numbers of what a bank holds.

    Pictures (SIDE, SIDE, 4) 0..255: BGR, and the target's mask. What was not seen being written, as
    in a memory that was restored, has none. Of more than MOST the oldest but the first goes.
    """

    tiles: Mapping[int, Tile] = field(default_factory=dict)

    def after(self, bank: Bank, frame: Pixels, box: Floats, mask: Pixels) -> Thumbnails:
        """Those of the bank after it was written what was found in `frame`."""
        extent = ROOM * float(box[2:].max())
        window = Window.around(boxes.centre(box), extent / SIDE, SIDE)
        tile = cv2.merge([cut(frame, window, 0), cut(mask, window, 0)])
        numbers = bank.held()
        held = zip(numbers.tolist(), bank.renewed(numbers).tolist(), strict=True)
        tiles = {
            number: blended(self.tiles.get(number), tile, share)
            for number, share in sorted(held)
            if share or number in self.tiles
        }
        if len(tiles) > MOST:
            del tiles[list(tiles)[1]]
        return Thumbnails(tiles)


def blended(before: Tile | None, tile: Tile, share: float) -> Tile:
    """A picture of which this share is new; what was not seen before is black."""
    if share == 1:
        return tile
    if before is None:
        before = np.zeros_like(tile)
    if share == 0:
        return before
    return cv2.addWeighted(before, 1 - share, tile, share, 0, dtype=cv2.CV_32F)
