"""Smooth motion without end: every parameter of a layer's pose is a sum of sinusoids of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from memtrack_ros.scenes.textures import uniform

# Parameters of a pose: centre (world units), log scale, rotation (rad), log aspect, shear, two
# bending amplitudes.
PARAMETERS = ('x', 'y', 'scale', 'turn', 'aspect', 'shear', 'bend_x', 'bend_y')
HARMONICS = 3


@dataclass(frozen=True)
class Path:
    """Poses over time of one layer in each of B scenes.

    All tensors are (B, parameters, HARMONICS), but `base` (B, parameters).
    """

    base: Tensor
    amplitude: Tensor
    frequency: Tensor
    phase: Tensor

    def at(self, times: Tensor) -> Tensor:
        """Poses (B, T, parameters) at `times` (B, T), in frames."""
        angle = (
            2 * math.pi * self.frequency[:, None] * times[:, :, None, None] + self.phase[:, None]
        )
        return self.base[:, None] + (self.amplitude[:, None] * torch.sin(angle)).sum(-1)


def wander(generator: torch.Generator, amplitude: Tensor, period: tuple[float, float]) -> Path:
    """A random path around zero.

    `amplitude` (B, parameters) is shared among harmonics of `period` frames and shorter.
    """
    count, parameters = amplitude.shape
    shape = (count, parameters, HARMONICS)
    order = torch.arange(1, HARMONICS + 1, device=generator.device)
    return Path(
        base=torch.zeros_like(amplitude),
        amplitude=amplitude[..., None] * uniform(generator, 0.3, 1, *shape) / order,
        frequency=order / uniform(generator, *period, *shape),
        phase=uniform(generator, 0, 2 * math.pi, *shape),
    )
