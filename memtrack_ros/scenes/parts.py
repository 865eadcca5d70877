"""Parts of things: what is meant by someone who points at a face, a wheel or a badge."""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.scenes.textures import chance, uniform

# Of a thing's width or height: how much a part takes; in CUT of them less than all.
LEAST, MOST = 0.25, 0.7
CUT = 0.7
SOLID = 0.12  # share of a thing that a part of it is, at least


def parts(generator: torch.Generator, count: int, share: float) -> Tensor:
    """Parts (count, 4: left, top, right, bottom) in 0..1 of a thing's box: its whole, but for a
    `share` of them."""
    partial = chance(generator, share, count, 1) & chance(generator, CUT, count, 2)
    length = torch.where(partial, uniform(generator, LEAST, MOST, count, 2), 1.0)
    start = (1 - length) * uniform(generator, 0, 1, count, 2)
    return torch.cat([start, start + length], 1)


def on_canvas(part: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """What of things on canvases, `alpha` (N, side, side), are their parts (N, 4) of `parts`.

    Bool (N, side, side), and the parts' middles (N, 2: u, v) in -1..1 of the canvas. All of a
    canvas, and its middle, where that is the whole or hardly anything of the thing.
    """
    side = alpha.shape[-1]
    axis = torch.arange(side, device=alpha.device) + 0.5
    solid = alpha > 0.5
    around = boxes_of(solid)[0] + 0.5
    first, length = around[:, :2], around[:, 2:] - around[:, :2]
    start, end = first + part[:, :2] * length, first + part[:, 2:] * length
    across, down = ((axis >= start[:, [number]]) & (axis < end[:, [number]]) for number in range(2))
    inside = down[:, :, None] & across[:, None]
    share = (solid & inside).sum((1, 2)) / solid.sum((1, 2)).clamp_min(1)
    cut = (part[:, 2:] - part[:, :2] < 1).any(1) & (share > SOLID)
    middle = (start + end) / side - 1
    return inside | ~cut[:, None, None], middle * cut[:, None]
