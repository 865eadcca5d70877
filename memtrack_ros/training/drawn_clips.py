"""Training clips of drawn scenes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.scene import Scenes
from memtrack_ros.scenes.textures import chance, uniform
from memtrack_ros.training.clips import SEEN, Clips
from memtrack_ros.training.framing import framing, moments, strange


@dataclass(frozen=True)
class DrawnClips:
    """Clips of drawn scenes, with the pieces of `imagery` where there is any.

    The target of a share `partial` of them is a part of an object.
    """

    imagery: Imagery | None
    partial: float = 0.0

    def draw(
        self,
        generator: torch.Generator,
        count: int,
        side: int,
        length: int,
        strength: float,
    ) -> Clips:
        """As ClipSource: each clip is of a scene of its own, at `strength`."""
        scenes = Scenes(generator, count, strength, self.imagery, self.partial)
        times = moments(generator, count, length) + uniform(generator, 0, 500, count, 1)
        place = scenes.target_place(times)
        windows = framing(generator, count, length).windows(place, side)
        clip = scenes.render(times, windows, side, side)

        other = strange(generator, count, length)
        crops = torch.where(other[..., None, None, None], clip.pictures.roll(1, 0), clip.pictures)
        masks = torch.where(other[..., None, None], 0.0, clip.target)
        inside = image_area(generator, count, length, side)
        crops = torch.where(inside[:, :, None], crops, crops[:, :1].mean((3, 4), keepdim=True))
        left = (masks * inside).sum((2, 3)) / masks.sum((2, 3)).clamp_min(1)
        masks = masks * inside
        boxes, filled = boxes_of(masks > 0.5)
        present = filled & (clip.visibility * left > SEEN) & ~other
        exact = torch.ones_like(present)
        return Clips(crops * 255, masks * present[..., None, None], boxes, present, exact)


def image_area(generator: torch.Generator, count: int, length: int, side: int) -> Tensor:
    """Pixels (B, T, S, S) of crops that lie inside the image: in half of the clips not all do.

    What is beyond has one colour, and must not be taken for the ground that an object, the image,
    stands on.
    """
    near = chance(generator, 0.5, count, 1, 1) & chance(generator, 0.5, count, 1, 4)
    depth = side * torch.where(near, uniform(generator, -0.1, 0.45, count, length, 4), -1.0)
    axis = torch.arange(side, device=generator.device)
    left, top, right, bottom = depth[..., None].unbind(2)
    columns = (axis >= left) & (axis < side - right)
    rows = (axis >= top) & (axis < side - bottom)
    return rows[..., None] & columns[..., None, :]
