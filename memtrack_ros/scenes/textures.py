"""Procedural textures: noise of several octaves, patches, stripes, checks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FINEST = 48  # cells across a canvas: finer octaves are not drawn


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Uniform numbers in [low, high) from `generator`, on its device."""
    sample = torch.rand(shape, generator=generator, device=generator.device)
    return low + (high - low) * sample


def chance(generator: torch.Generator, probability: float, *shape: int) -> Tensor:
    """Bool tensor, true with `probability`."""
    return torch.rand(shape, generator=generator, device=generator.device) < probability


def choose(generator: torch.Generator, among: int, *shape: int) -> Tensor:
    """Whole numbers in [0, among) from `generator`, on its device."""
    return torch.randint(among, shape, generator=generator, device=generator.device)


def unit_grid(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """x and y of a side x side canvas, pixel centres in (-1, 1), each (side, side)."""
    axis = (torch.arange(side, device=device) + 0.5) * (2 / side) - 1
    y, x = torch.meshgrid(axis, axis, indexing='ij')
    return x, y


def octave_noise(generator: torch.Generator, count: int, channels: int, side: int) -> Tensor:
    """Bilinear noise of halving wavelengths, summed: (count, channels, side, side) in 0..1."""
    cells, fine = 3, min(side // 2, FINEST)
    size = (fine, fine)
    roughness = uniform(generator, 0.4, 0.9, count, 1, 1, 1)
    total = torch.zeros(count, channels, *size, device=generator.device)
    weight = torch.ones_like(roughness)
    while cells <= fine:
        grid = uniform(generator, -1, 1, count, channels, cells, cells)
        total += weight * F.interpolate(grid, size, mode='bilinear', align_corners=True)
        cells, weight = cells * 2, weight * roughness
    low = total.amin((2, 3), keepdim=True)
    high = total.amax((2, 3), keepdim=True)
    noise = (total - low) / (high - low).clamp_min(1e-6)
    return F.interpolate(noise, (side, side), mode='bilinear', align_corners=True)


def stripes(generator: torch.Generator, count: int, side: int) -> Tensor:
    """Bands or checks (count, 1, side, side) in 0..1 of random direction, width and sharpness."""
    x, y = unit_grid(side, generator.device)
    angle = uniform(generator, 0, math.pi, count, 1, 1)
    cycles = uniform(generator, 2, 9, count, 1, 1) * math.pi
    sharpness = uniform(generator, 1, 12, count, 1, 1)
    along = torch.sin(cycles * (x * angle.cos() + y * angle.sin()))
    across = torch.sin(cycles * (y * angle.cos() - x * angle.sin()))
    checked = chance(generator, 0.4, count, 1, 1)
    wave = torch.where(checked, along * across, along)
    return torch.sigmoid(sharpness * wave)[:, None]


def colours(generator: torch.Generator, count: int) -> Tensor:
    """Colours (count, 3, 1, 1) in 0..1: most of them dull, as things are."""
    colour = uniform(generator, 0, 1, count, 3, 1, 1)
    return torch.lerp(
        colour.mean(1, keepdim=True), colour, uniform(generator, 0, 1, count, 1, 1, 1)
    )


def painted(generator: torch.Generator, count: int, side: int) -> Tensor:
    """Textures (count, 3, side, side) in 0..1: two colours in a pattern, colour noise on top.

    The pattern is a cloud, stripes, or patches: a cloud in steps, with edges as between things.
    """
    cloud = octave_noise(generator, count, 1, side)
    steps = uniform(generator, 1.5, 6, count, 1, 1, 1)
    patches = (steps * cloud).round() / steps
    kind = choose(generator, 3, count, 1, 1, 1)
    pattern = torch.where(kind == 0, cloud, patches)
    striped = (kind == 2)[:, 0, 0, 0].nonzero()[:, 0]
    pattern[striped] = stripes(generator, len(striped), side)
    grain = octave_noise(generator, count, 3, side) - 0.5
    strength = uniform(generator, 0.0, 0.7, count, 1, 1, 1)
    return (
        torch.lerp(colours(generator, count), colours(generator, count), pattern)
        .add_(strength * grain)
        .clamp_(0, 1)
    )
