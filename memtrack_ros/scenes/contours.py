"""Outlines of drawn objects: star-shaped bodies with limbs, as soft alpha masks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memtrack_ros.scenes.textures import chance, uniform, unit_grid

HARMONICS = 5
LIMBS = 2


def star(generator: torch.Generator, count: int, side: int, centre: Tensor, size: Tensor) -> Tensor:
    """Alpha of `count` star-shaped contours r(phi) = r0 (1 + sum a_k cos(k phi + phase_k)).

    `centre` (count, 2) and `size` (count, 2: semi-axes) are in canvas units, the canvas spanning
    (-1, 1).
    Returns (count, side, side) in 0..1, soft over one pixel.
    """
    x, y = unit_grid(side, generator.device)
    turn = uniform(generator, 0, math.pi, count, 1, 1)
    x = x - centre[:, 0, None, None]
    y = y - centre[:, 1, None, None]
    u = (x * turn.cos() + y * turn.sin()) / size[:, 0, None, None]
    v = (y * turn.cos() - x * turn.sin()) / size[:, 1, None, None]
    phi = torch.atan2(v, u)
    outline = torch.ones_like(phi)
    for k in range(1, HARMONICS + 1):
        amplitude = uniform(generator, 0, 0.45 / k, count, 1, 1)
        outline += amplitude * torch.cos(k * phi + uniform(generator, 0, 2 * math.pi, count, 1, 1))
    inside = (outline - torch.hypot(u, v)) * size.amin(1)[:, None, None]
    return (inside * side / 2 + 0.5).clamp(0, 1)


def body_with_limbs(generator: torch.Generator, count: int, side: int) -> Tensor:
    """Alpha (count, 1, side, side) in 0..1 of bodies with up to LIMBS limbs joined to them."""
    size = uniform(generator, 0.3, 0.75, count, 2)
    alpha = star(generator, count, side, torch.zeros_like(size), size)
    for _ in range(LIMBS):
        direction = uniform(generator, 0, 2 * math.pi, count, 1)
        centre = 0.6 * size * torch.cat([direction.cos(), direction.sin()], 1)
        limb = star(generator, count, side, centre, uniform(generator, 0.1, 0.45, count, 2))
        alpha = torch.where(chance(generator, 0.4, count, 1, 1), torch.maximum(alpha, limb), alpha)
    return alpha[:, None]
