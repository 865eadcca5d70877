"""Anchor-free box head: classification, centre-ness and box offsets for every cell."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class BoxMaps(NamedTuple):
    """The head's answers for every cell: two logits (B, 1, H, W) each, boxes (B, 4, H, W).

    Boxes are x1, y1, x2, y2 in crop pixels.
    """

    classification: Tensor
    centreness: Tensor
    boxes: Tensor

    @property
    def score(self) -> Tensor:
        """Probability of the target's centre in each cell, (B, 1, H, W)."""
        return self.classification.sigmoid() * self.centreness.sigmoid()


class Answer(NamedTuple):
    """What a network says of one query.

    The box head's maps and, where it segments, mask logits at stride 2: (B, 1, S/2, S/2).
    """

    maps: BoxMaps
    mask: Tensor | None


def tower(inputs: int, width: int, depth: int) -> nn.Sequential:
    """`depth` 3x3 convolutions with ReLU between them, none after the last."""
    layers: list[nn.Module] = []
    for index in range(depth):
        if index:
            layers.append(nn.ReLU())
        layers.append(nn.Conv2d(inputs if index == 0 else width, width, 3, padding=1))
    return nn.Sequential(*layers)


def scored(width: int, outputs: int) -> nn.Sequential:
    """1x1 convolution with bias followed by batch normalisation, as the authors have it."""
    return nn.Sequential(nn.Conv2d(width, outputs, 1), nn.BatchNorm2d(outputs))


FARTHEST = 10.0  # log of a distance in cells, so that no box is without end or size


class BoxHead(nn.Module):
    """STMTrack's head (paper section 3.3): two towers, exp-decoded distances to the four sides.

    A cell (column i, row j) stands at pixel `offset` + `stride` * (i, j) of the crop.
    """

    def __init__(self, inputs: int, width: int, depth: int, *, stride: int, offset: float) -> None:
        super().__init__()
        self.stride, self.offset = stride, offset
        self.cls_ctr = tower(inputs, width, depth)
        self.reg = tower(inputs, width, depth)
        self.cls_score = scored(width, 1)
        self.ctr_score = scored(width, 1)
        self.reg_offsets = scored(width, 4)
        self.si = nn.Parameter(torch.ones(()))
        self.bi = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> BoxMaps:
        """Maps for `features` (B, C, H, W)."""
        evidence = self.cls_ctr(features)
        offsets = self.reg_offsets(self.reg(features)).float()
        logarithm = (self.si * offsets + self.bi).clamp(-FARTHEST, FARTHEST)
        distance = torch.exp(logarithm) * self.stride
        cells = cell_centres(
            features.shape[-2], features.shape[-1], self.stride, self.offset, features.device
        )
        boxes = torch.cat([cells - distance[:, :2], cells + distance[:, 2:]], 1)
        return BoxMaps(self.cls_score(evidence), self.ctr_score(evidence), boxes)


def cell_centres(
    height: int, width: int, stride: int, offset: float, device: torch.device
) -> Tensor:
    """x and y of every cell's centre in crop pixels, (2, height, width)."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing='ij'
    )
    return offset + stride * torch.stack([x, y]).float()
