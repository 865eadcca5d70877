"""Objects: outlines filled with surfaces, cut-outs of imagery, articulated figures, turntables."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from memtrack_ros.scenes.contours import body_with_limbs
from memtrack_ros.scenes.figures import Figures
from memtrack_ros.scenes.imagery import DRAWN, NONE_TURN, OBJECT_SIDE, Imagery
from memtrack_ros.scenes.motion import wander
from memtrack_ros.scenes.surfaces import surfaces
from memtrack_ros.scenes.textures import chance, octave_noise, uniform, unit_grid
from memtrack_ros.scenes.turntables import Turntables

CANVAS = OBJECT_SIDE
FIGURES = 0.35  # share of the objects
# Of that share, where there is imagery: what is hard to tell apart is learned late, and figures and
# look-alikes cost accuracy in the study of docs/training.md.
BESIDE_REAL = 0.4
CUTOUTS, TURNTABLES = 0.6, 0.12  # of the others, where there is imagery
TURNING = 0.4  # of outlines and cut-outs
EDGE = 0.1  # canvas units over which one side gives way to the other


class Objects:
    """Objects, each on a square canvas (-1..1) of CANVAS pixels a side, that change over time.

    Figures move their limbs, turntables show all sides; some of the others turn another side to the
    camera, which comes round from one edge.
    """

    def __init__(
        self, generator: torch.Generator, count: int, strength: float, imagery: Imagery | None
    ) -> None:
        """Draw `count` objects; `strength` 0..1 scales how much they change."""
        device = generator.device
        turning_round = NONE_TURN.to(device) if imagery is None else imagery.turning
        figures = FIGURES if imagery is None else BESIDE_REAL * FIGURES
        cut_outs = 0.0 if imagery is None else CUTOUTS
        turntables = TURNTABLES if len(turning_round) > 0 else 0.0
        is_figure = chance(generator, figures, count)
        self.figures_at, others = is_figure.nonzero()[:, 0], (~is_figure).nonzero()[:, 0]
        self.figures = Figures(generator, len(self.figures_at), CANVAS, strength, imagery)
        lot = uniform(generator, 0, 1, len(others))
        is_turntable = lot >= 1 - turntables
        self.turntables_at, self.still_at = others[is_turntable], others[~is_turntable]
        self.turntables = Turntables(generator, len(self.turntables_at), strength, turning_round)
        still, cut_out = len(self.still_at), lot[~is_turntable] < cut_outs
        outlines = int((~cut_out).sum())
        self.still = torch.empty(still, 4, CANVAS, CANVAS, device=device)
        self.still[~cut_out] = _outlines(generator, outlines, imagery)
        if imagery is not None:
            self.still[cut_out] = _cut_outs(generator, still - outlines, imagery)
        turning = chance(generator, TURNING, still).nonzero()[:, 0]
        self.turning_at, front = self.still_at[turning], self.still[turning]
        count = len(turning)
        other = surfaces(generator, imagery, count, CANVAS, share=0.7, smallest=0.15)
        mixed = uniform(generator, 0.1, 0.9, count, 1, 1, 1)
        self.front = front[:, :3]
        self.back = another_side(front, other, mixed)
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
        canvas[self.turntables_at, :, :4] = self.turntables.at(times[self.turntables_at])
        x, y = unit_grid(CANVAS, times.device)
        across = (x * self.direction.cos() + y * self.direction.sin())[:, None]
        edge = self.edge.at(times[self.turning_at])[..., None]
        turned = torch.sigmoid((edge - across) / EDGE)[:, :, None]
        canvas[self.turning_at, :, :3] = torch.lerp(self.front[:, None], self.back[:, None], turned)
        return canvas


def another_side(front: Tensor, surface: Tensor, share: Tensor) -> Tensor:
    """What objects look like from behind, premultiplied RGB (n, 3, side, side).

    `front` (n, 4, side, side), premultiplied, mirrored and lying on a `surface` (n, 3, side, side)
    of which a `share` (n, 1, 1, 1) shines through.
    """
    mirrored = (1 - share) * front.flip(3)
    return (mirrored[:, :3] + surface * (1 - mirrored[:, 3:])) * front[:, 3:]


def _cut_outs(generator: torch.Generator, count: int, imagery: Imagery) -> Tensor:
    """Premultiplied RGBA (count, 4, CANVAS, CANVAS), as they were cut out or mirrored."""
    drawings, among = imagery.drawings, len(imagery.objects)
    share = DRAWN if 0 < drawings < among else float(drawings > 0)
    drawn = chance(generator, share, count)
    lot = uniform(generator, 0, 1, count)
    first, number = torch.where(drawn, 0, drawings), torch.where(drawn, drawings, among - drawings)
    which = first + (lot * number).long()
    cut_outs = imagery.objects[which].float() / 255
    mirrored = chance(generator, 0.5, count, 1, 1, 1)
    return torch.where(mirrored, cut_outs.flip(3), cut_outs)


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
