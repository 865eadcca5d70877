"""What things are made of: painted textures and pieces of photographs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.textures import chance, choose, painted, uniform


def surfaces(
    generator: torch.Generator,
    imagery: Imagery | None,
    count: int,
    side: int,
    *,
    share: float,
    smallest: float,
) -> Tensor:
    """Colours (count, 3, side, side) in 0..1.

    Painted, but for a `share` of pieces of photographs where there is imagery; a piece covers
    between `smallest` and the whole of its photograph.
    """
    if imagery is None:
        return painted(generator, count, side)
    cut = chance(generator, share, count)
    colour = torch.empty(count, 3, side, side, device=generator.device)
    colour[cut] = _pieces(generator, imagery, int(cut.sum()), side, smallest)
    colour[~cut] = painted(generator, int((~cut).sum()), side)
    return colour


def _pieces(
    generator: torch.Generator, imagery: Imagery, count: int, side: int, smallest: float
) -> Tensor:
    which = choose(generator, len(imagery.photos), count)
    extent = uniform(generator, smallest, 1, count, 1)
    centre = uniform(generator, -1, 1, count, 2) * (1 - extent)
    flip = torch.where(chance(generator, 0.5, count, 1), -extent, extent)
    axis = (torch.arange(side, device=generator.device) + 0.5) * (2 / side) - 1
    x = (centre[:, :1] + flip * axis)[:, None].expand(-1, side, -1)
    y = (centre[:, 1:] + extent * axis)[:, :, None].expand(-1, -1, side)
    return F.grid_sample(
        imagery.photos[which].float() / 255,
        torch.stack([x, y], -1),
        align_corners=False,
        padding_mode='reflection',
    )
