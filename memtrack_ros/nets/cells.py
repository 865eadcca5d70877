"""Cells, of which a frame's map is made: how they come about, where they stand, what lies on them.

CMEDFL's (Zhu et al. 2021), which the compact MemTrack and DMV took over; SAMN measures distances
between them, too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets.heads import cell_centres

CHANNELS = 64  # of a cell


def normed(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution with bias and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs)
    )


def stage(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution with bias, batch normalisation and ReLU."""
    return normed(inputs, outputs, kernel).append(nn.ReLU())


def adjustment(inputs: int) -> nn.Sequential:
    """From a backbone's last features to cells, which may point in all directions."""
    return nn.Sequential(stage(inputs, CHANNELS, kernel=1), normed(CHANNELS, CHANNELS))


def at_cells(maps: Tensor, cells: int) -> Tensor:
    """Maps (B, C, S, S) of a crop where its cells stand: (B, C, cells, cells)."""
    return F.interpolate(maps, size=(cells, cells), mode='nearest')


def distances(peak: Tensor, cells: int, stride: int) -> Tensor:
    """Distance (B, 1, cells, cells) of every cell from `peak` (B, 2: x, y), in crop pixels."""
    places = cell_centres(cells, cells, stride, 0.0, peak.device)
    distance: Tensor = torch.linalg.vector_norm(places - peak[..., None, None], dim=1, keepdim=True)
    return distance


def moved(mask: Tensor, shift: Tensor) -> Tensor:
    """Maps (B, C, S, S) moved by `shift` (B, 2: x, y), in pixels, 0 where nothing comes from."""
    side = mask.shape[-1]
    turn = torch.eye(2, device=mask.device).expand(len(shift), 2, 2)
    grid = F.affine_grid(
        torch.cat([turn, -2 / side * shift[..., None]], 2), list(mask.shape), align_corners=False
    )
    return F.grid_sample(mask, grid, mode='nearest', align_corners=False)
