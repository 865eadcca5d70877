"""What a camera does to a picture.

Exposure, colour cast, blur along the motion, loss of focus, noise.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.motion import wander
from memtrack_ros.scenes.textures import chance, uniform

BLUR = 5  # pixels: side of the blur kernels
# Amplitudes at full strength: gain, offset, blur along, sharpness lost. They change smoothly over a
# clip.
UNREST = (0.25, 0.1, 1.0, 1.0)


class Camera:
    """B cameras of random quality.

    Cast, greyness, light, contrast and noise hold for a scene; exposure and focus wander.
    """

    def __init__(self, generator: torch.Generator, count: int, strength: float) -> None:
        """Draw the cameras; `strength` 0..1 scales every fault."""
        self.grey = chance(generator, 0.12 * strength, count, 1, 1, 1, 1)
        # Every third scene is dark: down to a seventh of the light.
        dark = chance(generator, 0.33 * strength, count, 1, 1, 1, 1)
        self.light = torch.where(dark, uniform(generator, -2.0, 0.0, count, 1, 1, 1, 1), 0.0).exp()
        self.cast = 1 + 0.25 * strength * uniform(generator, -1, 1, count, 1, 3, 1, 1)
        self.contrast = 1 - 0.5 * strength * uniform(generator, 0, 1, count, 1, 1, 1, 1).square()
        self.noise = 0.06 * strength * uniform(generator, 0, 1, count, 1, 1, 1, 1).square()
        unrest = torch.tensor(UNREST, device=generator.device).expand(count, -1)
        self.unrest = wander(generator, unrest * strength, (20, 200))
        self.direction = uniform(generator, 0, math.pi, count, 1)

    def photograph(self, generator: torch.Generator, clips: Tensor, times: Tensor) -> Tensor:
        """Clips (B, T, 3, H, W) in 0..1 as the cameras see them at `times` (B, T).

        The noise is `generator`'s.
        """
        clips = torch.where(self.grey, clips.mean(2, keepdim=True), clips)
        gain, offset, length, softness = self.unrest.at(times)[..., None, None, None].unbind(2)
        clips = ((clips - 0.5) * self.contrast + 0.5) * self.cast * (1 + gain) + offset
        clips = clips * self.light
        kernels = blur_kernels(
            self.direction + 0.02 * times, length.flatten(1).abs(), softness.flatten(1).abs()
        )
        pictures = blurred(clips.flatten(0, 1), kernels.flatten(0, 1))
        noise = torch.randn(pictures.shape, generator=generator, device=pictures.device)
        return (pictures.view_as(clips) + self.noise * noise.view_as(clips)).clamp(0, 1)


def blur_kernels(direction: Tensor, length: Tensor, softness: Tensor) -> Tensor:
    """Kernels (..., BLUR, BLUR) that smear along `direction` (rad).

    By `length`, and in all directions by `softness`, both (...) in 0..1.
    """
    axis = torch.arange(BLUR, device=direction.device) - BLUR // 2
    y, x = torch.meshgrid(axis, axis, indexing='ij')
    direction, length, softness = (t[..., None, None] for t in (direction, length, softness))
    along = x * direction.cos() + y * direction.sin()
    across = y * direction.cos() - x * direction.sin()
    beyond = (along.abs() - length.square() * BLUR / 2).clamp_min(0)
    width = 0.35 + 0.8 * softness.pow(3)
    kernel = torch.exp(-0.5 * (across.square() + beyond.square()) / width.square())
    return kernel / kernel.sum((-2, -1), keepdim=True)


def blurred(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Every picture (N, 3, H, W) blurred by its kernel (N, BLUR, BLUR)."""
    padded = F.pad(pictures, [BLUR // 2] * 4, mode='replicate')
    # One convolution with a group for every channel of every picture: what oneDNN does fastest.
    groups = padded.flatten(0, 1)[None]
    result = F.conv2d(groups, kernels[:, None].repeat_interleave(3, 0), groups=groups.shape[1])
    return result.view_as(pictures)
