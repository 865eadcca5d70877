"""Drawn scenes: layers with textures and outlines on smooth paths, seen through windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.degrade import Camera
from memtrack_ros.scenes.ground import Ground
from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.layer import Layer, seen
from memtrack_ros.scenes.light import Daylight, Light
from memtrack_ros.scenes.motion import PARAMETERS, Absences, Path, pose_path
from memtrack_ros.scenes.objects import Objects
from memtrack_ros.scenes.parts import on_canvas, parts
from memtrack_ros.scenes.textures import chance, choose, uniform

# World units: the target's canvas spans about one unit at scale 0.
TARGET_HALF = 0.5
# Shares of the scenes, at full strength but for CARRIED.
BEHIND, IN_FRONT = 0.7, 0.3  # with a distractor behind the target, in front of it
COMPANY = 0.5  # of the distractors: stay beside the target, and cross it
CARRIED = 0.33  # whose target is part of a larger thing
OCCLUDED = 0.45
ALIKE = 0.6  # of BEHIND, IN_FRONT and CARRIED, where there is imagery: see BESIDE_REAL of objects
LEAVING = 0.25
SHADOWED = 0.3
# What is seen in a pixel, from back to front; a shadow lies on the ground.
SURFACES = GROUND, DISTRACTOR_BEHIND, TARGET, DISTRACTOR_IN_FRONT, OCCLUDER = range(5)
# What a distractor looks like: the target mirrored, tinted, another outline of its surface, or
# in two cases of five another object.
MIRRORED, TINTED, RETEXTURED, LOOKS = 0, 1, 2, 5


@dataclass(frozen=True)
class Distractor:
    """A layer whose object has a `look` (n,), a `tint` (n, 3) and, if it is another object,
    is the one of `source` (n,)."""

    layer: Layer
    look: Tensor
    tint: Tensor
    source: Tensor

    def canvas(self, target: Tensor, other: Tensor) -> Tensor:
        """Its canvases (n, T, C, side, side) from those of targets and others (B, T, C, ...)."""
        own, canvas = target[self.layer.scenes], other[self.source]
        which = self.look == MIRRORED
        mirrored = own[which].flip(-1)
        mirrored[:, :, 4:5] *= -1
        canvas[which] = mirrored
        which = self.look == TINTED
        tinted = own[which]
        tinted[:, :, :3] *= self.tint[which, None, :, None, None]
        canvas[which] = tinted
        which = self.look == RETEXTURED
        surface, shape = own[which], canvas[which]
        alpha = shape[:, :, 3:4] * (surface[:, :, 3:4] > 0.5)
        shape[:, :, :3] = surface[:, :, :3] / surface[:, :, 3:4].clamp_min(1e-3) * alpha
        shape[:, :, 3:4] = alpha
        canvas[which] = shape
        return canvas


@dataclass(frozen=True)
class Clip:
    """What windows saw.

    Pictures (B, T, 3, H, W) in 0..1 RGB, the visible alpha of the target (B, T, H, W), its
    visibility (B, T). The flow (B, T - 1, 2: x, y, H, W), if asked for: how many pixels the surface
    that is seen in a pixel moves until the next frame, hidden there or not; nan where the ground is
    a real video. The surfaces (B, T, H, W) uint8, if asked for: which of SURFACES is seen.
    """

    pictures: Tensor
    target: Tensor
    visibility: Tensor
    flow: Tensor | None
    surfaces: Tensor | None = None


class Scenes:
    """B scenes drawn from one generator.

    From back to front: ground, the target's shadow, a distractor, the target, a distractor, an
    occluder.
    """

    def __init__(
        self,
        generator: torch.Generator,
        count: int,
        strength: float,
        imagery: Imagery | None = None,
        partial: float = 0.0,
    ) -> None:
        """Draw `count` scenes.

        `strength` 0..1 scales motion, distractors, occlusion, absences and degradation. In a share
        `partial` of the scenes the target is a part of an object.
        """
        self.generator, self.count, self.strength = generator, count, strength
        self.light = Light(generator, count, strength)
        self.camera = Camera(generator, count, strength)
        self.ground = Ground(generator, count, strength, imagery)
        self.objects = Objects(generator, 2 * count, strength, imagery)
        self.absences = Absences(generator, count, LEAVING * strength)
        every = torch.ones(count, dtype=torch.bool, device=generator.device)
        path = self._path(0.5, scale=0.3, turn=0.5, aspect=0.25, bend=0.12, tilt=0.2, longest=160)
        self.target = self._layer(every, path)
        self.shadow, self.darkness = self._shadow()
        alike = 1.0 if imagery is None else ALIKE
        self.behind = self._distractor(alike * BEHIND, alike * CARRIED, turn=0)
        self.front = self._distractor(alike * IN_FRONT, 0.0, turn=1)
        self.occluder = self._occluder()
        self.daylight = Daylight(generator, count, strength)
        start = torch.zeros(2 * count, 1, device=generator.device)
        alpha = self.objects.at(start, moves=False)[:count, 0, 3]
        self.part, self.middle = on_canvas(parts(generator, count, partial), alpha)
        self.extent = _extent(alpha * self.part)

    # -- drawing -----------------------------------------------------------------------------------
    def _path(self, travel: float, *, longest: float, **extents: float) -> Path:
        return pose_path(
            self.generator, self.count, self.strength,
            travel=travel, period=(longest / 5, longest), **extents,
        )  # fmt: skip

    def _layer(self, there: Tensor, path: Path) -> Layer:
        """An object of random size in the scenes where it is `there` (B,), on paths of all B."""
        scenes = there.nonzero()[:, 0]
        half = TARGET_HALF * uniform(self.generator, 0.9, 1.1, self.count)
        waves = uniform(self.generator, 1.0, 4.0, self.count, 4)
        return Layer(scenes, path.of(scenes), half[scenes], waves[scenes])

    def _base(self, place: Tensor, scale: tuple[float, float]) -> Tensor:
        """Poses (B, PARAMETERS) at `place` (B, 2), of a random log scale."""
        size = uniform(self.generator, *scale, self.count, 1)
        return F.pad(torch.cat([place, size], 1), (0, len(PARAMETERS) - 3))

    def _around(self, nearest: float, furthest: float) -> Tensor:
        """Places (B, 2) in a ring."""
        direction = uniform(self.generator, 0, 2 * math.pi, self.count, 1)
        distance = uniform(self.generator, nearest, furthest, self.count, 1)
        return distance * torch.cat([direction.cos(), direction.sin()], 1)

    def _shadow(self) -> tuple[Layer, Tensor]:
        """The target's shadow on the ground beside it, and how dark it is."""
        there = chance(self.generator, SHADOWED * self.strength, self.count)
        base = self._base(self._around(0.1, 0.4), (-0.1, 0.2))
        base[:, 4:6] = uniform(self.generator, -0.4, 0.4, self.count, 2)
        layer = self._layer(there, self.target.path.moved(base))
        return layer, uniform(self.generator, 0.2, 0.7, len(layer.scenes))

    def _distractor(self, probability: float, carrying: float, turn: int) -> Distractor:
        """An object that is like the target, or not.

        It goes its own way, or keeps close to the target and crosses it, or, in a share `carrying`
        of the scenes, is a larger thing that the target is part of.
        """
        count = self.count
        carries = chance(self.generator, carrying, count, 1)
        beside = chance(self.generator, COMPANY, count, 1) & ~carries
        there = chance(self.generator, probability * self.strength, count) | carries[:, 0]
        own = self._path(1.2, scale=0.3, turn=0.5, aspect=0.25, bend=0.1, tilt=0.2, longest=200)
        far = self._base(uniform(self.generator, -1.6, 1.6, count, 2), (-0.4, 0.4))
        near = self._base(self._around(0.3, 1.0), (-0.15, 0.15))
        whole = self._base(uniform(self.generator, -0.4, 0.4, count, 2), (0.5, 1.1))
        base = torch.where(carries, whole, torch.where(beside, near, far))
        place = torch.arange(len(PARAMETERS), device=base.device) < 2
        follows = (carries | (beside & place)).float()
        alone = torch.where(beside & place, 0.6, (~carries).float())
        layer = self._layer(there, self.target.path.scaled(follows) + own.scaled(alone).moved(base))
        look = torch.where(carries[:, 0], LOOKS, choose(self.generator, LOOKS, count))
        tint = uniform(self.generator, 0.6, 1.0, count, 3)
        scenes = layer.scenes
        return Distractor(layer, look[scenes], tint[scenes], (scenes + turn) % count)

    def _occluder(self) -> Layer:
        """A thing in front that sweeps across the target's place."""
        there = chance(self.generator, OCCLUDED * self.strength, self.count)
        path = self._path(1.6, scale=0.3, turn=0.4, aspect=0.3, bend=0.0, tilt=0.1, longest=200)
        base = self._base(uniform(self.generator, -1, 1, self.count, 2), (-0.2, 0.5))
        base[:, 4] = uniform(self.generator, -0.8, 0.8, self.count)
        return self._layer(there, path.moved(base))

    # -- seeing ------------------------------------------------------------------------------------
    def target_place(self, times: Tensor) -> Tensor:
        """Centre and size sqrt(w h) of the target in the world at `times` (B, T).

        Returns (B, T, 3: x, y, size). A target that is away for a while has its place on the way it
        would have gone: where one would look for it.
        """
        x, y, scale, turn, aspect, *_ = self.target.path.at(times).unbind(-1)
        half = self.target.half[:, None] * scale.exp()
        u, v = (half * middle[:, None] for middle in self.middle.T)
        across, down = u * aspect.exp(), v * (-aspect).exp()
        x = x + across * turn.cos() - down * turn.sin()
        y = y + across * turn.sin() + down * turn.cos()
        return torch.stack([x, y, half * self.extent[:, None]], -1)

    def render(
        self,
        times: Tensor,
        windows: Tensor,
        height: int,
        width: int,
        flow: bool = False,
        surfaces: bool = False,
    ) -> Clip:
        """See the scenes at `times` (B, T) through `windows`.

        Windows are (B, T, 3: centre x, centre y, world units per pixel).
        """
        canvas = self.objects.at(times.repeat(2, 1), moves=flow)
        target, other = canvas.split(self.count)
        # A target that goes away is the same to its windows as windows that turn from it.
        turned = windows.clone()
        turned[..., :2] -= self.absences.at(times)
        shade = F.avg_pool2d(target[self.shadow.scenes, :, 3], 4)[:, :, None]
        shade = shade * self.darkness[:, None, None, None, None]
        layers = [
            (self.shadow, turned, F.pad(shade, (0, 0, 0, 0, 3, canvas.shape[2] - 4))),
            (self.behind.layer, windows, self.behind.canvas(target, other)),
            (self.target, turned, target),
            (self.front.layer, windows, self.front.canvas(target, other)),
            (self.occluder, windows, other[(self.occluder.scenes + 2) % self.count]),
        ]
        picture = self.ground.see(times, windows, height, width)
        field = self.ground.flow(times, windows, height, width) if flow else None
        visible = whole = picture.new_zeros(*times.shape, 1, height, width)
        shown = visible.new_zeros(visible.shape, dtype=torch.uint8) if surfaces else None
        for surface, (layer, views, look) in enumerate(layers):
            warp = layer.warp(times, views)
            colour, alpha = seen(look[:, :, :4], warp, height, width).split([3, 1], 2)
            picture[layer.scenes] = torch.addcmul(colour, picture[layer.scenes], 1 - alpha)
            if layer is self.target:
                part = look[:, :, 3:4] * self.part[:, None, None]
                visible = seen(part, warp, height, width)
                whole = visible.sum((2, 3, 4))
                endless = warp.area(part[:, :, 0])
            else:
                visible[layer.scenes] *= 1 - alpha
            if shown is not None and surface:
                shown[layer.scenes] = torch.where(alpha > 0.5, surface, shown[layer.scenes])
            if field is not None and layer is not self.shadow:
                moved = layer.flow(times, views, height, width, look[:, :, 4:])
                field[layer.scenes] = torch.where(alpha[:, :-1] > 0.5, moved, field[layer.scenes])
        picture *= self.light.at(times, windows, height, width)
        picture *= self.daylight.at(times)
        inside = (whole / endless.clamp_min(1e-6)).clamp(0, 1)
        seen_share = visible.sum((2, 3, 4)) / whole.clamp_min(1e-6)
        pictures = self.camera.photograph(
            self.generator, picture.clamp_(0, 1), times, self._heading(times)
        )
        flat = None if shown is None else shown[:, :, 0]
        return Clip(pictures, visible[:, :, 0], inside * seen_share, field, flat)

    def _heading(self, times: Tensor) -> Tensor:
        """Where the target is moving to at `times` (B, T), in rad."""
        way = self.target_place(times + 0.5) - self.target_place(times - 0.5)
        x, y, _ = way.unbind(-1)
        return torch.atan2(y, x)


def _extent(alpha: Tensor) -> Tensor:
    """sqrt(w h) of the box around each alpha (N, side, side), in half canvases: (N,).

    2 for a full canvas.
    """
    solid = alpha > 0.5
    width = solid.any(1).sum(1)
    height = solid.any(2).sum(1)
    return (width * height).clamp_min(1).sqrt() * (2 / alpha.shape[-1])
