"""Anchor-based box head: centre probability and box displacements for every anchor of every cell.

Displacements of a box x, y, w, h (its centre and size) from an anchor are those of Faster R-CNN
(Ren et al. 2015): ((x - x_a) / w_a, (y - y_a) / h_a, log(w / w_a), log(h / h_a)).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from memtrack_ros.nets.graphs import constants
from memtrack_ros.nets.heads import cell_centres, tower

LARGEST = 4.0  # logarithm of how many times an anchor's side a box's is, at most


class Anchors(NamedTuple):
    """Anchors of the area `size`^2 and height over width of each of `ratios`, on every cell.

    A cell (column i, row j) stands at pixel `stride` * (i, j) of the crop, as it does behind
    convolutions of odd kernels padded by half of them.
    """

    stride: int
    size: float  # pixels of the crop
    ratios: tuple[float, ...]

    def grid(self, height: int, width: int, device: torch.device) -> Tensor:
        """Centre and size of all anchors, (A, 4: x, y, w, h, height, width) in crop pixels."""
        centres = cell_centres(height, width, self.stride, 0.0, device)
        ratios = constants(self.ratios, device)
        size = self.size * torch.stack([ratios.rsqrt(), ratios.sqrt()], 1)
        return torch.cat(
            [
                centres.expand(len(ratios), -1, -1, -1),
                size[..., None, None].expand(-1, -1, height, width),
            ],
            1,
        )

    def displacements(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """Displacements (B, A, 4, height, width) of `boxes` (B, 4: x1, y1, x2, y2)."""
        grid = self.grid(height, width, boxes.device)
        first, last = boxes[:, None, :, None, None].chunk(2, 2)
        size = (last - first).clamp_min(1e-3)
        return torch.cat(
            [((first + last) / 2 - grid[:, :2]) / grid[:, 2:], (size / grid[:, 2:]).log()], 2
        )

    def boxes(self, displacements: Tensor) -> Tensor:
        """Corners x1, y1, x2, y2 for `displacements`, both (B, A, 4, H, W)."""
        height, width = displacements.shape[-2:]
        grid = self.grid(height, width, displacements.device)
        shift, growth = displacements.chunk(2, 2)
        centre = grid[:, :2] + shift * grid[:, 2:]
        half = grid[:, 2:] * growth.clamp_max(LARGEST).exp() / 2
        return torch.cat([centre - half, centre + half], 2)

    def overlap(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """IoU (B, A, height, width) of all anchors with `boxes` (B, 4: x1, y1, x2, y2)."""
        grid = self.grid(height, width, boxes.device)
        half = grid[:, 2:] / 2
        first, last = boxes[:, None, :, None, None].chunk(2, 2)
        low = torch.maximum(first, grid[:, :2] - half)
        high = torch.minimum(last, grid[:, :2] + half)
        common = (high - low).clamp_min(0).prod(2)
        return common / ((last - first).prod(2) + grid[:, 2:].prod(1) - common)

    def best(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """1 at the anchor that matches each of `boxes` (B, 4) best, else 0: as `overlap`."""
        overlap = self.overlap(boxes, height, width)
        best = overlap.flatten(1).argmax(1, keepdim=True)
        return torch.zeros_like(overlap.flatten(1)).scatter(1, best, 1.0).view_as(overlap)


class AnchorMaps(NamedTuple):
    """The head's answers for every anchor, of crops of H x W cells.

    Logits of being at the target's centre (B, A, H, W), displacements and boxes (B, A, 4, H, W);
    boxes are x1, y1, x2, y2 in crop pixels.
    """

    logits: Tensor
    displacements: Tensor
    boxes: Tensor

    @property
    def score(self) -> Tensor:
        """Probability of being at the target's centre, (B, A, H, W)."""
        return self.logits.sigmoid()


class AnchorHead(nn.Module):
    """Two branches (DMV section 3.1, after SiamRPN): centre scores and box displacements."""

    def __init__(self, inputs: int, width: int, anchors: Anchors) -> None:
        super().__init__()
        self.anchors = anchors
        count = len(anchors.ratios)
        self.centre = _branch(inputs, width, count)
        self.regression = _branch(inputs, width, 4 * count)

    def forward(self, features: Tensor) -> AnchorMaps:
        """Maps for `features` (B, C, H, W)."""
        displacements = self.regression(features).float().unflatten(1, (-1, 4))
        return AnchorMaps(self.centre(features), displacements, self.anchors.boxes(displacements))


def _branch(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Two 3x3 convolutions and a 1x1 one, ReLU between them."""
    return nn.Sequential(tower(inputs, width, 2), nn.ReLU(), nn.Conv2d(width, outputs, 1))
