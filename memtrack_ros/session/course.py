"""Where a target was last seen, how it moves, and where it is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import Given, outside

DRAG = 0.9  # share of its speed that an unseen target keeps from frame to frame
LARGEST_FRAME = 2**16  # pixels of a side
SMALLEST_BOX = 0.01  # pixels of a side, in a frame that became much smaller
SPEED_MEMORY = 0.7  # share of the old speed in the running mean


@dataclass
class Course(Stateful):
    """Where the target was last seen and how it moves.

    Box in pixels of a frame of `width` x `height`; speed (2,) in pixels a frame.
    """

    kept: ClassVar[tuple[str, ...]] = ('box', 'width', 'height', 'speed')

    box: Floats
    width: int
    height: int
    speed: Floats

    def faults(self, given: Given) -> Iterator[str]:
        """The box has an area and lies in its frame, or not far beside."""
        for side in ('width', 'height'):
            yield from outside(given, side, 1, LARGEST_FRAME)
        yield from outside(given, 'speed', -LARGEST_FRAME, LARGEST_FRAME)
        box, frame = given['box'], np.array([given['width'], given['height']])
        beside = np.abs(boxes.centre(box) - frame / 2) > 1.5 * frame
        if (beside | (box[2:] < SMALLEST_BOX) | (box[2:] > 4 * frame)).any():
            yield f'box is {box.tolist()}, which is none in {frame[0]} x {frame[1]} pixels'

    def seen(self, box: Floats) -> None:
        """Take in a box that shows the target."""
        moved = boxes.centre(box) - boxes.centre(self.box)
        self.speed = SPEED_MEMORY * self.speed + (1 - SPEED_MEMORY) * moved
        self.box = box

    def coast(self) -> None:
        """Predict one frame: straight on, slowing down, the centre staying inside the image."""
        self.speed = DRAG * self.speed
        centre = np.clip(boxes.centre(self.box) + self.speed, 0, [self.width - 1, self.height - 1])
        self.box = boxes.from_centre(centre, self.box[2:])

    def fit(self, frame: Pixels) -> None:
        """Bring box and speed to the size of `frame`, should the resolution have changed."""
        height, width = frame.shape[:2]
        if (width, height) != (self.width, self.height):
            scale = np.array([width / self.width, height / self.height])
            self.box = boxes.from_centre(
                (boxes.centre(self.box) + 0.5) * scale - 0.5, self.box[2:] * scale
            )
            self.speed = self.speed * scale
            self.width, self.height = width, height


def search_box(course: Course, turn: int) -> Floats:
    """Where to look for a lost target this `turn`.

    Every other time where it was last, else at the next place of a grid: places two target sizes
    apart, row by row, one a frame.
    """
    if turn % 2:
        return course.box
    spacing = 2 * boxes.scale(course.box)
    columns, rows = (max(1, round(extent / spacing)) for extent in (course.width, course.height))
    row, column = divmod(turn // 2 % (columns * rows), columns)
    centre = (np.array([column, row]) + 0.5) / [columns, rows] * [course.width, course.height]
    return boxes.from_centre(centre, course.box[2:])
