"""A layer: one object in some of the scenes, how it moves, and what windows see of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.motion import Path
from memtrack_ros.scenes.warp import Warp, pixels


@dataclass(frozen=True)
class Layer:
    """One object in each of n scenes, of the B that there are.

    `scenes` (n,) says which, `path` how it moves, `half` (n,) its half extent in the world, `waves`
    (n, 4) wave number and phase of its bending along y, then along x.
    """

    scenes: Tensor
    path: Path
    half: Tensor
    waves: Tensor

    def warp(self, times: Tensor, windows: Tensor) -> Warp:
        """The warp of its canvas at `times` (B, T), seen through windows (B, T, 3)."""
        poses = self.path.at(times[self.scenes])
        return Warp(poses, self.half, self.waves, windows[self.scenes])

    def flow(
        self, times: Tensor, windows: Tensor, height: int, width: int, moves: Tensor | None
    ) -> Tensor:
        """How far its surface moves from frame to frame, (n, T - 1, 2: x, y, H, W) in pixels.

        `moves` (n, T, 2, side, side) is what the surface moves on its canvas meanwhile, in halves
        of it.
        """
        now = self.warp(times[:, :-1], windows[:, :-1])
        then = self.warp(times[:, 1:], windows[:, 1:])
        y, x = pixels(height, width, height, width, times.device)
        u, v = now.to_canvas(x, y)
        if moves is not None:
            moved = F.grid_sample(
                moves[:, :-1].flatten(0, 1),
                torch.stack([u, v], -1).flatten(0, 1),
                mode='nearest',
                align_corners=False,
            ).view(*u.shape[:2], 2, height, width)
            u, v = u + moved[:, :, 0], v + moved[:, :, 1]
        there_x, there_y = then.to_window(u, v)
        return torch.stack([there_x - x, there_y - y], 2)


def seen(canvas: Tensor, warp: Warp, height: int, width: int) -> Tensor:
    """What windows see of canvases (n, T, C, side, side): (n, T, C, height, width)."""
    grid = warp.grid(height, width)
    sampled = F.grid_sample(canvas.flatten(0, 1), grid, align_corners=False)
    return sampled.view(*canvas.shape[:3], height, width)
