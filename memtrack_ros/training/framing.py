"""How a tracker comes to see its target: when, how large and how far from the middle of a crop."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from memtrack_ros.scenes.textures import chance, uniform

# Pixels that sqrt(w h) of the target takes in a crop: widely spread, but in the first frame.
FIRST_SIZE = (36.0, 64.0)
LATER_SIZE = (26.0, 80.0)
# Of the crop's side: how far from its middle the target is, at most, and in the steadiest frame.
FIRST_SHIFT = 0.05
LATER_SHIFT, STEADY_SHIFT = 0.3, 0.05
PARTIAL = 0.25  # share of the clips in which a part of a thing is the target: a face, a badge
STRANGE = 1 / 5  # share of the later frames that show another clip, without the target


class Framing(NamedTuple):
    """How T crops of a clip, or of each of B clips, show the target.

    size (B, T): pixels that its sqrt(w h) takes; reach (B, T): how far from the middle it may be,
    as a share of the crop's side; direction (B, T, 2): how far it is, x and y in -1..1 of that.
    """

    size: Tensor
    reach: Tensor
    direction: Tensor

    def windows(self, place: Tensor, side: int) -> Tensor:
        """Windows (B, T, 3: centre x, y, units per pixel of the crop).

        On targets whose centre and sqrt(w h), in any unit, are `place` (B, T, 3), for crops of
        `side` x `side` pixels.
        """
        per_pixel = place[..., 2] / self.size
        shift = self.reach[..., None] * side * per_pixel[..., None]
        return torch.cat([place[..., :2] + shift * self.direction, per_pixel[..., None]], -1)


def moments(generator: torch.Generator, count: int, length: int) -> Tensor:
    """When the frames of clips are taken (count, length): ascending, 0 to 245 frames after 0."""
    spread = torch.exp(uniform(generator, 1.5, 5.5, count, 1))
    return uniform(generator, 0, 1, count, length).sort(1).values * spread


def framing(generator: torch.Generator, count: int, length: int) -> Framing:
    """How `length` frames show the target, all but the first less well centred."""
    later = torch.arange(length, device=generator.device) > 0
    log_size = torch.where(
        later,
        _log_uniform(generator, LATER_SIZE, count, length),
        _log_uniform(generator, FIRST_SIZE, count, length),
    )
    reach = torch.where(
        later, uniform(generator, STEADY_SHIFT, LATER_SHIFT, count, length), FIRST_SHIFT
    )
    return Framing(log_size.exp(), reach, uniform(generator, -1, 1, count, length, 2))


def strange(generator: torch.Generator, count: int, length: int) -> Tensor:
    """Frames (count, length) that are to show the clip before: one in five, never the first."""
    later = torch.arange(length, device=generator.device) > 0
    return chance(generator, STRANGE, count, length) & later & (count > 1)


def _log_uniform(generator: torch.Generator, span: tuple[float, float], *shape: int) -> Tensor:
    low, high = torch.tensor(span).log().tolist()
    return uniform(generator, low, high, *shape)
