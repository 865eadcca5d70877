"""Real objects on turntables: views from all around, of which one gives way to the next."""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.scenes.motion import wander
from memtrack_ros.scenes.textures import choose, uniform

PERIOD = (80.0, 400.0)  # frames of the slowest part of the turning
FADE = 3.0  # views apart over one crossfade: they do not fit each other, so they give way quickly


class Turntables:
    """Objects, each of which turns to and fro and shows its other sides."""

    def __init__(
        self, generator: torch.Generator, count: int, strength: float, objects: Tensor
    ) -> None:
        """Draw `count` of `objects`, uint8 (N, V, 4, side, side): V views in order, premultiplied.

        `strength` 0..1 scales how far they turn; N may be 0 where `count` is.
        """
        self.objects, self.views = objects, objects.shape[1]
        self.which = choose(generator, max(len(objects), 1), count)
        start = uniform(generator, 0, self.views, count, 1)
        extent = torch.full((count, 1), 0.5 * self.views * strength, device=generator.device)
        self.path = wander(generator, extent, PERIOD).moved(start)

    def at(self, times: Tensor) -> Tensor:
        """Premultiplied RGBA (n, T, 4, side, side) at `times` (n, T), views crossfaded."""
        last = self.views - 1
        # Beyond the last view they turn back: not everything comes full circle.
        view = last - (self.path.at(times)[..., 0] % (2 * last) - last).abs()
        before = view.long().clamp_max(last - 1)
        which = self.which[:, None].expand_as(before)
        first, second = self.objects[which, before].float(), self.objects[which, before + 1].float()
        share = (0.5 + FADE * (view - before - 0.5)).clamp(0, 1)
        return first.lerp_(second, share[..., None, None, None]).div_(255)
