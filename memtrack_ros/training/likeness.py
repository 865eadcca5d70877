"""Which cells are alike: what the compact trunk learns from a far larger network.

Relational distillation (Park et al., *Relational knowledge distillation*, CVPR 2019): of two views
of one thing the cosines between cells, within and across the views, are to be those between the
teacher's tokens. That is what memory readers read: which cells of a frame are those of another.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets.cells import adjustment
from memtrack_ros.nets.compact import CROP, STRIDE, WIDTHS, CompactTrunk
from memtrack_ros.scenes.degrade import Camera
from memtrack_ros.scenes.textures import chance, uniform
from memtrack_ros.training.teacher import PATCH

CELLS = CROP // STRIDE
VIEW = CELLS * PATCH  # pixels of what the teacher sees: a token for each cell
TOKENS = 192  # cells of a view that are compared in a step
FAULTS = 0.5  # of the camera that the trunk sees through, and the teacher does not
DEEP = 0.5  # weight of the cells at stride 16


class DistilledTrunk(nn.Module):
    """What compact trackers share: the trunk, and cells of one length (MemTrack, DMV, CMEDFL)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = CompactTrunk()
        self.adjust = adjustment(WIDTHS[-1])

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cells of crops (N, 3, S, S), RGB 0..255.

        (N, 128, S/8, S/8) of the trunk, (N, 64, S/8, S/8) adjusted, (N, 112, S/16, S/16) deep.
        """
        levels = self.trunk.body(crops)
        eighth = self.trunk.merge(levels).eighth
        return eighth, self.adjust(eighth), levels.sixteenth


def student_crops(views: Tensor) -> Tensor:
    """What the trunk sees (N, 3, CROP, CROP) of views (N, 3, VIEW, VIEW) of the teacher.

    The centre of token j, pixel 14 j + 6.5 of the view, is that of cell j: pixel 8 j of the crop.
    """
    pitch = PATCH / STRIDE
    places = pitch * torch.arange(CROP, device=views.device) + (PATCH - 1) / 2
    smooth = F.avg_pool2d(F.pad(views, (1, 1, 1, 1), mode='replicate'), 2, 1)
    # Pixel i of `smooth` stands at i - 0.5 of the view; -1..1 are its outer edges' pixels' edges.
    axis = (2 * (places + 0.5) + 1) / smooth.shape[-1] - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing='ij')[::-1], -1)
    return F.grid_sample(
        smooth,
        grid.expand(len(views), -1, -1, -1),
        mode='bilinear',
        padding_mode='border',
        align_corners=False,
    )


def unit(cells: Tensor, *, centred: bool) -> Tensor:
    """Cells (B, T, C) of one length, those of a pair less their mean where `centred`."""
    if centred:
        cells = cells - cells.mean(1, keepdim=True)
    return F.normalize(cells, dim=-1)


def likeness_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of all cosines between unit cells (B, T, C) and (B, T, D)."""
    return (student @ student.mT - teacher @ teacher.mT).square().mean()


def photographed(generator: torch.Generator, views: Tensor) -> Tensor:
    """Crops (B, 2, 3, CROP, CROP), RGB 0..255, of pairs of views (B, 2, 3, VIEW, VIEW).

    Three pairs in four through a camera with faults: what they show is the same.
    """
    count = len(views)
    crops = student_crops(views.flatten(0, 1)).unflatten(0, (count, 2)) / 255
    times = uniform(generator, 0, 200, count, 2)
    seen = Camera(generator, count, FAULTS).photograph(generator, crops, times)
    clean = chance(generator, 0.25, count)[:, None, None, None, None]
    return torch.where(clean, crops, seen) * 255


def losses(
    net: DistilledTrunk, tokens: Tensor, crops: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """How little the cells of pairs of crops (B, 2, 3, CROP, CROP) are like the teacher's.

    Its `tokens` are (2 B, 384, CELLS, CELLS).
    """
    count = len(crops)
    eighth, adjusted, deep = net(crops.flatten(0, 1))
    order = torch.rand(count, 2, CELLS**2, generator=generator, device=generator.device)
    chosen = order.argsort(-1)[..., :TOKENS]

    def at(maps: Tensor) -> Tensor:
        """The chosen cells (B, 2 TOKENS, C) of maps (2 B, C, h, w)."""
        cells = maps.float().flatten(2).mT.unflatten(0, (count, 2))
        places = chosen[..., None].expand(-1, -1, -1, cells.shape[-1])
        found: Tensor = cells.gather(2, places).flatten(1, 2)
        return found

    def coarse(maps: Tensor) -> Tensor:
        """All cells (B, 2 h w, C) of maps (2 B, C, h, w)."""
        cells: Tensor = maps.float().flatten(2).mT.unflatten(0, (count, 2)).flatten(1, 2)
        return cells

    taught = unit(at(tokens), centred=True)
    return {
        'eighth': likeness_loss(unit(at(eighth), centred=True), taught),
        'cells': likeness_loss(unit(at(adjusted), centred=False), taught),
        'deep': DEEP
        * likeness_loss(
            unit(coarse(deep), centred=True), unit(coarse(tokens[..., ::2, ::2]), centred=True)
        ),
    }
