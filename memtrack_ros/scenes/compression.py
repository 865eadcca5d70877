"""What a lossy codec leaves of a picture: the rounded cosine transform of small blocks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
CHROMA = 2.5  # steps of the colour differences, in those of the lightness


def compressed(pictures: Tensor, step: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) RGB in 0..1, rounded as JPEG rounds them.

    Lightness and two colour differences go through the discrete cosine transform of 8 x 8 blocks;
    its coefficients are rounded to multiples of `step` (N,), more coarsely the higher the
    frequency.
    """
    height, width = pictures.shape[-2:]
    padded = F.pad(pictures, (0, -width % BLOCK, 0, -height % BLOCK), mode='replicate')
    grey = padded.mean(1, keepdim=True)
    planes = torch.cat([grey, padded[:, ::2] - grey], 1)
    index = torch.arange(BLOCK, device=pictures.device)
    basis = torch.cos(math.pi / BLOCK * (index + 0.5) * index[:, None]) / 2
    basis[0] /= math.sqrt(2)
    rows = planes.reshape(-1, BLOCK, planes.shape[-1])
    blocks = ((basis @ rows).reshape(-1, BLOCK) @ basis.T).view(
        len(pictures), 3, -1, BLOCK, planes.shape[-1] // BLOCK, BLOCK
    )
    steps = step.view(-1, 1, 1, 1, 1, 1) * (1 + 0.5 * (index[:, None, None] + index))
    steps = steps * torch.tensor([1, CHROMA, CHROMA], device=pictures.device).view(3, 1, 1, 1, 1)
    rounded = torch.round(blocks / steps) * steps
    columns = (rounded.reshape(-1, BLOCK) @ basis).view_as(rows)
    grey, red, blue = (basis.T @ columns).view_as(planes).unbind(1)
    result = torch.stack([grey + red, grey - red - blue, grey + blue], 1)
    return result[..., :height, :width]
