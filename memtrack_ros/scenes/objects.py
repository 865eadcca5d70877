"""Objects: outlines filled with surfaces, cut-outs of imagery, and articulated figures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memtrack_ros.scenes.contours import body_with_limbs
from memtrack_ros.scenes.figures import Figures
from memtrack_ros.scenes.imagery import OBJECT_SIDE, Imagery
from memtrack_ros.scenes.motion import wander
from memtrack_ros.scenes.surfaces import surfaces
from memtrack_ros.scenes.textures import chance, choose, octave_noise, uniform, unit_grid

CANVAS = OBJECT_SIDE
FIGURES = 0.35  # share of the objects
CUTOUTS = 0.4  # of the others, where there is imagery
TURNING = 0.4  # of the outlines
EDGE = 0.1  # canvas units over which one side gives way to the other


class Objects:
    """Objects, each on a square canvas (-1..1) of CANVAS pixels a side, that change over time.

    Figures move their limbs; some of the others turn another side to the camera, which comes round
    from one edge.
    """

    def __init__(
        self, generator: torch.Generator, count: int, strength: float, imagery: Imagery | None
    ) -> None:
        """Draw `count` objects; `strength` 0..1 scales how much they change."""
        device = generator.device
        is_figure = chance(generator, FIGURES, count)
        self.figures_at, self.still_at = is_figure.nonzero()[:, 0], (~is_figure).nonzero()[:, 0]
        self.figures = Figures(generator, len(self.figures_at), CANVAS, strength, imagery)
        still = len(self.still_at)
        cut_out = chance(generator, 0.0 if imagery is None else CUTOUTS, still)
        outlines = int((~cut_out).sum())
        self.still = torch.empty(still, 4, CANVAS, CANVAS, device=device)
        self.still[~cut_out] = _outlines(generator, outlines, imagery)
        if imagery is not None:
            which = choose(generator, len(imagery.objects), still - outlines)
            cutout = imagery.objects[which].float() / 255
            cutout[:, :3] *= cutout[:, 3:]
            self.still[cut_out] = cutout
        turning = (chance(generator, TURNING, still) & ~cut_out).nonzero()[:, 0]
        self.turning_at, front = self.still_at[turning], self.still[turning]
        count = len(turning)
        other = surfaces(generator, imagery, count, CANVAS, share=0.7, smallest=0.15)
        mixed = uniform(generator, 0.1, 0.9, count, 1, 1, 1)
        self.front = front[:, :3]
        self.back = torch.lerp(front[:, :3].flip(3), other, mixed) * front[:, 3:]
        self.direction = uniform(generator, 0, 2 * math.pi, count, 1, 1)
        self.edge = wander(
            generator, torch.full((count, 1), 1.5 * strength, device=device), (40, 200)
        ).moved(torch.full((count, 1), -0.5, device=device))

    def at(self, times: Tensor, *, moves: bool) -> Tensor:
        """Premultiplied RGBA canvases (n, T, 4, CANVAS, CANVAS) at `times` (n, T).

        With `moves` two channels more: how far the surface moves on its canvas, x and y in halves
        of it, until the next of the times; zero but for figures.
        """
        canvas = times.new_zeros(*times.shape, 6 if moves else 4, CANVAS, CANVAS)
        canvas[self.still_at, :, :4] = self.still[:, None]
        canvas[self.figures_at] = self.figures.at(times[self.figures_at], moves=moves)
        x, y = unit_grid(CANVAS, times.device)
        across = (x * self.direction.cos() + y * self.direction.sin())[:, None]
        edge = self.edge.at(times[self.turning_at])[..., None]
        turned = torch.sigmoid((edge - across) / EDGE)[:, :, None]
        canvas[self.turning_at, :, :3] = torch.lerp(self.front[:, None], self.back[:, None], turned)
        return canvas


def _outlines(generator: torch.Generator, count: int, imagery: Imagery | None) -> Tensor:
    """Star-shaped bodies with limbs (count, 4, CANVAS, CANVAS), filled with two surfaces."""
    alpha = body_with_limbs(generator, count, CANVAS)
    parts = alpha.roll((1, CANVAS // 4), (0, 2)) * chance(generator, 0.6, count, 1, 1, 1)
    colour = surfaces(generator, imagery, count, CANVAS, share=0.7, smallest=0.15)
    colour = torch.lerp(colour, colour.roll(1, 0).flip(2), parts)
    shade = 0.6 + 0.6 * octave_noise(generator, count, 1, CANVAS)
    shaded = chance(generator, 0.5, count, 1, 1, 1)
    colour = torch.where(shaded, colour * shade, colour).clamp(0, 1)
    return torch.cat([colour * alpha, alpha], 1)
