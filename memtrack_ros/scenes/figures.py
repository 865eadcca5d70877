"""Articulated figures: a trunk, a head and four limbs of two bones that swing as in a gait.

A figure stands upright on two of its limbs, or goes on all four. Every bone is a tapered capsule;
trunk, head, upper and lower limbs each have a surface of their own.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.surfaces import surfaces
from memtrack_ros.scenes.textures import chance, uniform

TRUNK, HEAD = 0, 1
# Bone: its parent and, of an upright figure and of one on all fours, where along the parent it is
# joined (0..1), its angle to the parent (rad), length, radius at its root and at its end (canvas
# units), how far it swings (rad), which surface it has. Limbs come far ones first, upper before
# lower.
_ARM, _LEG = (0.92, math.pi, 0.28, 0.08, 0.06, 0.5, 2), (0.0, math.pi, 0.38, 0.12, 0.08, 0.5, 2)
_FORE, _HIND = (0.9, 1.57, 0.32, 0.11, 0.07, 0.5, 2), (0.1, 1.57, 0.32, 0.14, 0.07, 0.5, 2)
_HAND, _FOOT = (1.0, 0.0, 0.26, 0.06, 0.05, 0.4, 3), (1.0, 0.0, 0.36, 0.08, 0.05, 0.4, 3)
_PAW = (1.0, 0.0, 0.3, 0.07, 0.05, 0.4, 3)
PARENTS = (0, TRUNK, TRUNK, 2, TRUNK, 4, TRUNK, 6, TRUNK, 8)
UPRIGHT = (
    (0.0, -1.57, 0.5, 0.18, 0.2, 0.08, 0), (1.0, 0.0, 0.24, 0.12, 0.14, 0.2, 1),
    _ARM, _HAND, _LEG, _FOOT, _LEG, _FOOT, _ARM, _HAND,
)  # fmt: skip
ON_FOURS = (
    (0.0, 0.0, 0.75, 0.24, 0.22, 0.06, 0), (1.0, -0.7, 0.28, 0.16, 0.1, 0.3, 1),
    _FORE, _PAW, _HIND, _PAW, _HIND, _PAW, _FORE, _PAW,
)  # fmt: skip
ROOTS = ((0.0, 0.08), (-0.4, -0.15))  # of the trunk, x and y on the canvas
# Opposite limbs swing against each other, lower ones a quarter of the period after the upper.
PHASES = (0.0, 1.0, 0.0, -1.57, math.pi, 1.57, 0.0, -1.57, math.pi, 1.57)
BACK_TO_FRONT = (2, 3, 4, 5, TRUNK, HEAD, 6, 7, 8, 9)
NEAR = 6  # limbs before this one are on the far side, in the shade
SHADE = 0.7
ROUND = 0.4  # of the light that is lost at the edge of a bone
DENSE = 0.75  # halves of the sheet that a unit of the canvas shows
PERIOD = (12.0, 60.0)  # frames of a gait


class Figures:
    """Figures in random proportions, each on a canvas of its own."""

    def __init__(
        self,
        generator: torch.Generator,
        count: int,
        side: int,
        strength: float,
        imagery: Imagery | None,
    ) -> None:
        """Draw `count` figures for canvases of `side` pixels; `strength` 0..1 scales the swing."""
        device = generator.device
        upright = chance(generator, 0.6, count)
        plans = torch.tensor([ON_FOURS, UPRIGHT], device=device)[upright.long()]
        joined, rest, length, root, tip, swing, surface = plans.unbind(-1)
        bones = len(PARENTS)
        self.joined, self.surface = joined, surface.long()
        self.length = length * uniform(generator, 0.85, 1.1, count, bones)
        stout = uniform(generator, 0.6, 1.3, count, 1)
        self.root, self.tip = root * stout, tip * stout
        # Arms and necks are held anyhow, legs stand.
        held = torch.tensor([0, 0.3, 1, 0.8, 0.1, 0, 0.1, 0, 1, 0.8], device=device)
        held = torch.where(upright[:, None], held, 0.1)
        self.rest = rest + held * uniform(generator, -1, 1, count, bones)
        self.swing = strength * swing * uniform(generator, 0.3, 1.6, count, 1)
        self.period = uniform(generator, *PERIOD, count, 1, 1)
        self.phase = uniform(generator, 0, 2 * math.pi, count, 1)
        self.facing = torch.where(chance(generator, 0.5, count), -1.0, 1.0)
        self.start = torch.tensor(ROOTS[::-1], device=device)[upright.long()]
        quarter = side // 2
        pieces = surfaces(generator, imagery, 4 * count, quarter, share=0.7, smallest=0.15)
        # Four surfaces in one sheet: what a canvas shows is one look-up in it.
        self.sheet = (
            pieces.view(count, 2, 2, 3, quarter, quarter).permute(0, 3, 1, 4, 2, 5)
        ).reshape(count, 3, side, side)
        self.side = side

    def at(self, times: Tensor, *, moves: bool) -> Tensor:
        """Premultiplied RGBA (n, T, 4, side, side) of the figures at `times` (n, T).

        With `moves` two channels more: how far the surface moves on the canvas, x and y in halves
        of it, until the next of the times.
        """
        angle, joint = self._pose(times)
        axis = (torch.arange(self.side, device=times.device) + 0.5) * (2 / self.side) - 1
        facing = self.facing[:, None, None, None]
        x, y = facing * axis, axis[:, None]
        rim, shade, sheet_u, sheet_v, move_x, move_y = times.new_zeros(
            6, *times.shape, self.side, self.side
        )
        depth = torch.full_like(rim, -1.0)
        nothing = torch.zeros((), device=times.device)
        for bone in BACK_TO_FRONT:
            turn, start = angle[..., bone, None, None], joint[..., bone, :, None, None]
            off_x, off_y = x - start[:, :, 0], y - start[:, :, 1]
            along = off_x * turn.cos() + off_y * turn.sin()
            across = off_y * turn.cos() - off_x * turn.sin()
            length, root, tip = (
                size[:, bone, None, None, None] for size in (self.length, self.root, self.tip)
            )
            on = along.clamp(nothing, length)
            radius = torch.addcmul(root, (tip - root) / length, on)
            inside = radius - torch.hypot(along - on, across)
            shown = inside > -1 / self.side
            depth = torch.maximum(depth, inside)
            rim = torch.where(shown, across / radius, rim)
            shade = shade.masked_fill(shown, SHADE if HEAD < bone < NEAR else 1.0)
            surface = self.surface[:, bone, None, None, None]
            centre_u, centre_v = surface % 2 - 0.5 - DENSE * length / 2, surface // 2 - 0.5
            sheet_u = torch.where(shown, torch.add(centre_u, along, alpha=DENSE), sheet_u)
            sheet_v = torch.where(shown, torch.add(centre_v, across, alpha=DENSE), sheet_v)
            if moves:
                turn, start = _next(turn), _next(start)
                next_x = start[:, :, 0] + along * turn.cos() - across * turn.sin()
                next_y = start[:, :, 1] + along * turn.sin() + across * turn.cos()
                move_x = torch.where(shown, next_x - x, move_x)
                move_y = torch.where(shown, next_y - y, move_y)
        alpha = (depth * self.side / 2 + 0.5).clamp(0, 1)
        light = shade * (1 - ROUND * rim.square()) * alpha
        look = torch.stack([sheet_u, sheet_v], -1).flatten(1, 2)
        colour = F.grid_sample(
            self.sheet, look, align_corners=False, padding_mode='reflection'
        ).unflatten(2, (-1, self.side))
        channels = [*(colour.transpose(1, 2) * light[:, :, None]).unbind(2), alpha]
        if moves:
            channels += [move_x * facing, move_y]
        return torch.stack(channels, 2)

    def _pose(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Angles (n, T, bones) and joints (n, T, bones, 2: x, y) of all bones at `times`."""
        phases = torch.tensor(PHASES, device=times.device)
        wave = torch.sin(
            2 * math.pi * times[..., None] / self.period + phases + self.phase[:, None]
        )
        local = self.rest[:, None] + self.swing[:, None] * wave
        angles, joints = [local[..., 0]], [self.start[:, None].expand(*times.shape, 2)]
        for bone, parent in list(enumerate(PARENTS))[1:]:
            turn = angles[parent]
            reach = (self.joined[:, bone] * self.length[:, parent])[:, None, None]
            angles.append(turn + local[..., bone])
            joints.append(joints[parent] + reach * torch.stack([turn.cos(), turn.sin()], -1))
        return torch.stack(angles, -1), torch.stack(joints, -2)


def _next(values: Tensor) -> Tensor:
    """What is (n, T, ...) one frame later, the last being repeated."""
    return torch.cat([values[:, 1:], values[:, -1:]], 1)
