"""Light on a scene: uneven, with soft shadows that pass over it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.motion import wander
from memtrack_ros.scenes.textures import chance, octave_noise, uniform
from memtrack_ros.scenes.warp import pixels

COARSE = 8  # pixels from one value of the light to the next
SHADOWS = 0.4  # share of the scenes over which a shadow passes
CHANGING = 0.4  # of the scenes in which the light grows and fades
BRIGHTNESS, WARMTH = 0.5, 0.15  # by how much, in natural logarithms; the blue against the red
DAY = (60.0, 500.0)  # frames of the slowest part of that


class Light:
    """Light on B scenes."""

    def __init__(self, generator: torch.Generator, count: int, strength: float) -> None:
        """Draw it; `strength` 0..1 scales its unevenness and the darkness of shadows."""
        self.strength = strength
        self.uneven = octave_noise(generator, count, 1, 32)
        device = generator.device
        shape = (count, 1, 1, 1)
        direction = uniform(generator, 0, 2 * math.pi, *shape)
        self.across = direction.cos(), direction.sin()
        self.edge = wander(generator, torch.full((count, 1), 1.5, device=device), (40, 200))
        self.softness = uniform(generator, 0.02, 0.3, *shape)  # world units
        self.width = uniform(generator, 0.3, 3.0, *shape)
        passes = chance(generator, SHADOWS, *shape)
        self.depth = strength * passes * uniform(generator, 0.2, 0.7, *shape)

    def at(self, times: Tensor, windows: Tensor, height: int, width: int) -> Tensor:
        """What colours at `times` (B, T) are multiplied with, (B, T, 1, H, W).

        Seen through `windows` (B, T, 3: centre x, centre y, world units per pixel). The shadow is a
        band.
        """
        rows, columns = max(height // COARSE, 2), max(width // COARSE, 2)
        y, x = pixels(height, width, rows, columns, times.device)
        centre_x, centre_y, per_pixel = (w[..., None, None] for w in windows.unbind(-1))
        x, y = centre_x + per_pixel * x, centre_y + per_pixel * y
        behind = x * self.across[0] + y * self.across[1] - self.edge.at(times)[..., None]
        band = torch.sigmoid(behind / self.softness) * torch.sigmoid(
            (self.width - behind) / self.softness
        )
        uneven = F.interpolate(self.uneven, (rows, columns), mode='bilinear', align_corners=True)
        coarse = (1 + self.strength * (uneven - 0.5)) * (1 - self.depth * band)
        fine = F.interpolate(
            coarse.flatten(0, 1)[:, None], (height, width), mode='bilinear', align_corners=True
        )
        return fine.view(*times.shape, 1, height, width)


class Daylight:
    """Light on B scenes that, in some of them, grows and fades, and grows warmer and colder."""

    def __init__(self, generator: torch.Generator, count: int, strength: float) -> None:
        """Draw it; `strength` 0..1 scales how far it changes."""
        changing = strength * chance(generator, CHANGING, count, 1)
        extent = torch.tensor([BRIGHTNESS, WARMTH], device=generator.device)
        self.path = wander(generator, changing * extent, DAY)

    def at(self, times: Tensor) -> Tensor:
        """What colours at `times` (B, T) are multiplied with, (B, T, 3, 1, 1)."""
        brightness, warmth = self.path.at(times)[..., None, None].unbind(2)
        return torch.stack([brightness + warmth, brightness, brightness - warmth], 2).exp()
