"""Clips whose targets turn and bend faster than those of the real videos at hand do."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.scenes.textures import chance, uniform
from memtrack_ros.training.clips import SEEN, Clips, ClipSource

BENT = 0.5  # share of the clips
# At most, of all frames but the first; small values are drawn far more often than large ones.
TURN = math.pi
STRETCH = 0.5  # log of width over height, halved
SHIFT = 0.15  # of the crop's side, by which a control point is moved
POINTS = 4  # control points per side


class BentClips:
    """Clips of a source, half of those whose masks are known bent."""

    def __init__(self, source: ClipSource) -> None:
        self.source = source

    def draw(
        self,
        generator: torch.Generator,
        count: int,
        side: int,
        length: int,
        strength: float,
    ) -> Clips:
        """As ClipSource."""
        clips = self.source.draw(generator, count, side, length, strength)
        bent = bending(generator, clips.exact.all(1), length, strength)
        shown = clips.crops / 255
        crops, masks, left = bent.of(shown, clips.masks, shown.mean((3, 4)))
        boxes, filled = boxes_of(masks > 0.5)
        present = clips.present & (filled & (left > SEEN) | ~bent.bent[:, None])
        return clips._replace(
            crops=crops * 255,
            masks=masks * present[..., None, None],
            boxes=torch.where(bent.bent[:, None, None], boxes, clips.boxes),
            present=present,
        )


class Bending(NamedTuple):
    """How T crops of each of B clips are bent, and which clips are (`bent`, (B,)).

    Pixels of a bent crop, in -1..1, are moved by `shift` (B, T, 2, POINTS, POINTS) at control
    points, and then taken to those of the straight one by `turned` (B, T, 2, 3).
    """

    bent: Tensor
    turned: Tensor
    shift: Tensor

    def of(self, crops: Tensor, masks: Tensor, border: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Crops (B, T, 3, S, S) and masks (B, T, S, S) bent, and which share of the masks is left.

        The share is (B, T); beyond the edge of a straight crop is its `border` (B, T, 3).
        """
        if not self.bent.any():
            return crops, masks, torch.ones_like(masks[..., 0, 0])
        edge = border[..., None, None]
        pictures = torch.cat([crops - edge, masks[:, :, None]], 2)
        chosen = pictures[self.bent].flatten(0, 1)
        turned, shift = self.turned[self.bent].flatten(0, 1), self.shift[self.bent].flatten(0, 1)
        plain = F.affine_grid(turned, list(chosen.shape), align_corners=False)
        moved = F.interpolate(shift, chosen.shape[-2:], mode='bicubic', align_corners=False)
        moved = moved.permute(0, 2, 3, 1) @ turned[:, None, :, :2].mT
        taken = F.grid_sample(chosen, plain + moved, align_corners=False)
        bent = pictures.index_put((self.bent,), taken.view(-1, *pictures.shape[1:]))
        left = bent[:, :, 3].sum((2, 3)) / masks.sum((2, 3)).clamp_min(1)
        shown = (bent[:, :, :3] + edge).clamp(0, 1)
        return shown, bent[:, :, 3], left.clamp_max(1)


def bending(generator: torch.Generator, among: Tensor, length: int, strength: float) -> Bending:
    """Half of the clips that are `among` (B,) those that may be: bent in all frames but the first.

    Each frame by itself, up to `strength` 0..1 of the most.
    """
    count = len(among)
    later = (torch.arange(length, device=generator.device) > 0).float()

    def drawn(most: float, *shape: int) -> Tensor:
        reach = most * strength * uniform(generator, 0, 1, count) ** 3
        share = uniform(generator, -1, 1, count, length, *shape)
        return torch.einsum('b,t,bt...->bt...', reach, later, share)

    angle, stretch = drawn(TURN), drawn(STRETCH)
    across, down, none = stretch.exp(), (-stretch).exp(), torch.zeros_like(angle)
    rows = (
        torch.stack([across * angle.cos(), -down * angle.sin(), none], -1),
        torch.stack([across * angle.sin(), down * angle.cos(), none], -1),
    )
    shift = drawn(2 * SHIFT, 2, POINTS, POINTS)
    return Bending(among & chance(generator, BENT, count), torch.stack(rows, 2), shift)
