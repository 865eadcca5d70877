"""The ground of scenes: a surface under a camera that sways, or a real video."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.layer import Layer
from memtrack_ros.scenes.motion import pose_path
from memtrack_ros.scenes.surfaces import surfaces
from memtrack_ros.scenes.textures import chance, choose, uniform

GROUND = 256
FILMED = 0.12  # share of the scenes with a real video, where there is imagery with clips
HALF = (1.2, 5.0)  # world units


class Ground:
    """The ground of B scenes; beyond its edges it is mirrored."""

    def __init__(
        self, generator: torch.Generator, count: int, strength: float, imagery: Imagery | None
    ) -> None:
        """Draw it; `strength` 0..1 scales how the camera moves over it."""
        device = generator.device
        self.colour = surfaces(generator, imagery, count, GROUND, share=0.8, smallest=0.5)
        path = pose_path(
            generator, count, strength,
            travel=0.8, scale=0.2, turn=0.15, aspect=0.0, bend=0.0, tilt=0.05, period=(60, 240),
        )  # fmt: skip
        low, high = torch.tensor(HALF).log().tolist()
        half = uniform(generator, low, high, count).exp()
        scenes = torch.arange(count, device=device)
        self.layer = Layer(scenes, path, half, torch.zeros(count, 4, device=device))
        reels = None if imagery is None else imagery.reels
        share = 0.0 if reels is None or len(reels) == 0 else FILMED
        self.filmed = chance(generator, share, count).nonzero()[:, 0]
        self.film = None
        if reels is not None and len(self.filmed) > 0:
            self.film = reels[choose(generator, len(reels), len(self.filmed))]

    def see(self, times: Tensor, windows: Tensor, height: int, width: int) -> Tensor:
        """The ground (B, T, 3, H, W) at `times` (B, T) through `windows` (B, T, 3)."""
        grid = self.layer.warp(times, windows).grid(height, width).unflatten(0, times.shape)
        # The frames of a scene look at one canvas: stacked along the height they are one look.
        looks = grid.reshape(len(times), -1, width, 2)
        stacked = F.grid_sample(self.colour, looks, align_corners=False, padding_mode='reflection')
        picture: Tensor = stacked.unflatten(2, (-1, height)).transpose(1, 2)
        if self.film is not None:
            # A reel runs forward and back.
            last = self.film.shape[1] - 1
            number = last - (times[self.filmed].long() % (2 * last) - last).abs()
            frames = self.film[torch.arange(len(number), device=number.device)[:, None], number]
            seen = F.grid_sample(
                frames.flatten(0, 1).float() / 255,
                grid[self.filmed].flatten(0, 1),
                align_corners=False,
                padding_mode='reflection',
            )
            picture[self.filmed] = seen.unflatten(0, number.shape)
        return picture

    def flow(self, times: Tensor, windows: Tensor, height: int, width: int) -> Tensor:
        """Its flow (B, T - 1, 2: x, y, H, W); nan in real videos, whose motion nobody knows."""
        flow = self.layer.flow(times, windows, height, width, None)
        flow[self.filmed] = torch.nan
        return flow
