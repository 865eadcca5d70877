"""Smooth motion without end: every parameter of a layer's pose is a sum of sinusoids of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from memtrack_ros.scenes.textures import chance, uniform

# Parameters of a pose: centre (world units), log scale, rotation (rad), log aspect, shear, two
# bending amplitudes, two tilts out of the picture (perspective).
PARAMETERS = (
    'x', 'y', 'scale', 'turn', 'aspect', 'shear', 'bend_x', 'bend_y', 'tilt_x', 'tilt_y',
)  # fmt: skip
HARMONICS = 3
AWAY = 6.0  # world units that a target goes away: out of every window around its path
AWAY_PERIOD = (300.0, 800.0)  # frames from one absence to the next


@dataclass(frozen=True)
class Path:
    """Poses over time of one layer in each of B scenes.

    `base` is (B, parameters), all other tensors are (B, parameters, harmonics).
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

    def of(self, scenes: Tensor) -> Path:
        """The paths in `scenes` (n,), whole numbers below B."""
        return Path(
            self.base[scenes], self.amplitude[scenes], self.frequency[scenes], self.phase[scenes]
        )

    def moved(self, base: Tensor) -> Path:
        """The same motion about poses that are `base` (B, parameters) further on."""
        return Path(self.base + base, self.amplitude, self.frequency, self.phase)

    def scaled(self, share: Tensor) -> Path:
        """Poses of `share` (B, parameters) times the size."""
        return Path(
            self.base * share, self.amplitude * share[..., None], self.frequency, self.phase
        )

    def __add__(self, other: Path) -> Path:
        return Path(
            self.base + other.base,
            torch.cat([self.amplitude, other.amplitude], -1),
            torch.cat([self.frequency, other.frequency], -1),
            torch.cat([self.phase, other.phase], -1),
        )


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


def pose_path(
    generator: torch.Generator,
    count: int,
    strength: float,
    *,
    travel: float,
    scale: float,
    turn: float,
    aspect: float,
    bend: float,
    tilt: float,
    period: tuple[float, float],
) -> Path:
    """Random paths (count, PARAMETERS) around the pose zero, `strength` 0..1 times as far."""
    extent = torch.tensor(
        [travel, travel, scale, turn, aspect, aspect, bend, bend, tilt, tilt],
        device=generator.device,
    )
    vigour = strength * uniform(generator, 0.2, 1.5, count, len(extent))
    return wander(generator, extent * vigour, period)


class Absences:
    """B targets that stay where they are or, with `probability`, leave now and then and return."""

    def __init__(self, generator: torch.Generator, count: int, probability: float) -> None:
        """Draw who leaves, where to and when."""
        direction = uniform(generator, 0, 2 * math.pi, count, 1)
        leaves = chance(generator, probability, count, 1)
        self.reach = AWAY * leaves * torch.cat([direction.cos(), direction.sin()], 1)
        self.period = uniform(generator, *AWAY_PERIOD, count, 1)
        self.phase = uniform(generator, 0, 2 * math.pi, count, 1)

    def at(self, times: Tensor) -> Tensor:
        """How far off the targets are, (B, T, 2) world units: zero for four fifths of the time."""
        wave = torch.sin(2 * math.pi * times / self.period + self.phase)
        going = ((wave - 0.8) / 0.15).clamp(0, 1)
        return self.reach[:, None] * (going.square() * (3 - 2 * going))[..., None]
