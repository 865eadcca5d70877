"""One video with the box of its target in every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from memtrack_ros.data.files import Floats, Pixels, naming, read_image
from memtrack_ros.data.masks import Masks
from memtrack_ros.errors import SequenceError


@dataclass(frozen=True)
class Sequence:
    """One video with the box of its target in every frame, whatever layout it lay in.

    name is 'SET/NAME'. truth is float64 (frames, 4): x, y, w, h in pixels, pixel centres at
    integers and (0, 0) the top left one, the axis-aligned bounds where the truth is rotated, nan
    where the target is absent. masks has one a frame, None where the truth is only boxes. corners
    is float64 (frames, 8) x1, y1, ... x4, y4, the edges of the extent, where any truth is rotated,
    nan where absent. attributes are the benchmark's names of what is difficult in it; empty where
    unknown.
    """

    name: str
    frames: tuple[Path, ...]
    truth: Floats
    masks: Masks | None = None
    corners: Floats | None = None
    attributes: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, index: int) -> Pixels:
        """A frame as uint8 (height, width, 3) BGR. SequenceError when it cannot be read."""
        with naming(self.name):
            return read_image(self.frames[index], cv2.IMREAD_COLOR)

    def mask(self, index: int) -> Pixels:
        """The true mask of a frame as uint8 (height, width) 0/255.

        SequenceError when there is none or it cannot be read.
        """
        with naming(self.name):
            if self.masks is None:
                raise SequenceError('it has no masks')
            return self.masks[index]

    @property
    def scorable(self) -> bool:
        """Whether its truth has more than where the target is pointed at."""
        return int((~np.isnan(self.truth).any(1)).sum()) > 1

    def padded(self) -> Sequence:
        """That of a test split, whose truth ends with its first line, with none for the rest."""
        if len(self.truth) != 1:
            return self
        rest = np.full((len(self.frames) - 1, 4), np.nan)
        return replace(self, truth=np.concatenate([self.truth, rest]))

    def check(self) -> None:
        """SequenceError when the truth has no box, or truth or masks are not one a frame."""
        if np.isnan(self.truth).all():
            raise SequenceError('its truth has no box')
        frames, lines = len(self.frames), len(self.truth)
        if lines == 1 < frames:
            raise SequenceError(
                f'{frames} frames, but only the first has a truth: '
                'a test split, which only its benchmark can score'
            )
        for what, count in (('truth lines', lines), ('masks', len(self.masks or self.frames))):
            if count != frames:
                raise SequenceError(f'{frames} frames, but {count} {what}')
