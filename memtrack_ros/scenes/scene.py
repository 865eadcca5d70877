"""Drawn scenes: layers with textures and outlines on smooth paths, seen through windows."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.contours import body_with_limbs
from memtrack_ros.scenes.degrade import Camera
from memtrack_ros.scenes.imagery import OBJECT_SIDE, Imagery
from memtrack_ros.scenes.motion import PARAMETERS, Path, wander
from memtrack_ros.scenes.textures import chance, octave_noise, painted, uniform

CANVAS = OBJECT_SIDE
GROUND = 256
# World units: the target's canvas spans about one unit at scale 0.
TARGET_HALF = 0.5


@dataclass(frozen=True)
class Layer:
    """One object in each of B scenes.

    Its premultiplied RGBA canvas (B, 4, side, side), its path, its half extent in the world (B,).
    """

    canvas: Tensor
    path: Path
    half: Tensor
    waves: Tensor  # (B, 4): wave number and phase of the bending along y, then along x


@dataclass(frozen=True)
class Clip:
    """What windows saw.

    Pictures (B, T, 3, H, W) in 0..1 RGB, the visible alpha of the target (B, T, H, W), its
    visibility (B, T).
    """

    pictures: Tensor
    target: Tensor
    visibility: Tensor


class Scenes:
    """B scenes drawn from one generator.

    From back to front: ground, a distractor, the target, a distractor, an occluder.
    """

    def __init__(
        self,
        generator: torch.Generator,
        count: int,
        strength: float,
        imagery: Imagery | None = None,
    ) -> None:
        """Draw `count` scenes.

        `strength` 0..1 scales motion, distractors, occlusion and degradation.
        """
        self.generator, self.count, self.strength = generator, count, strength
        self.imagery = imagery
        self.light = octave_noise(generator, count, 1, 32)
        self.camera = Camera(generator, count, strength)
        target, other = self._objects(2 * count).split(count)
        self.extent = _extent(target[:, 3])
        self.sway = self._path(0.8, scale=0.15, turn=0.15, aspect=0.0, bend=0.0, period=(60, 240))
        self.ground = self._ground()
        path = self._path(0.5, scale=0.3, turn=0.7, aspect=0.25, bend=0.12, period=(30, 160))
        self.target = self._layer(target, path)
        self.behind = self._carrier(self._distractor(target, other, probability=0.7), other, path)
        self.front = self._distractor(target, other.roll(1, 0), probability=0.25)
        self.occluder = self._occluder(other.roll(2, 0), path)

    # -- drawing -----------------------------------------------------------------------------------
    def _path(
        self,
        travel: float,
        *,
        scale: float,
        turn: float,
        aspect: float,
        bend: float,
        period: tuple[float, float],
    ) -> Path:
        extent = torch.tensor(
            [travel, travel, scale, turn, aspect, aspect, bend, bend], device=self.generator.device
        )
        vigour = self.strength * uniform(self.generator, 0.2, 1.5, self.count, len(extent))
        return wander(self.generator, extent * vigour, period)

    def _texture(self, count: int, side: int, share: float, smallest: float) -> Tensor:
        """Textures (count, 3, side, side) in 0..1.

        Painted, but for a `share` of pieces of photographs where there is imagery; a piece covers
        between `smallest` and the whole of its photograph.
        """
        texture = F.interpolate(
            painted(self.generator, count, CANVAS), (side, side), mode='bilinear'
        )
        if self.imagery is None:
            return texture
        which = self._choose(len(self.imagery.photos), count)
        extent = uniform(self.generator, smallest, 1, count, 1)
        centre = uniform(self.generator, -1, 1, count, 2) * (1 - extent)
        zero = torch.zeros_like(extent)
        flip = torch.where(chance(self.generator, 0.5, count, 1), -extent, extent)
        theta = torch.stack(
            [
                torch.cat([flip, zero, centre[:, :1]], 1),
                torch.cat([zero, extent, centre[:, 1:]], 1),
            ],
            1,
        )
        grid = F.affine_grid(theta, [count, 3, side, side], align_corners=False)
        piece = F.grid_sample(
            self.imagery.photos[which].float() / 255,
            grid,
            align_corners=False,
            padding_mode='reflection',
        )
        return torch.where(chance(self.generator, share, count, 1, 1, 1), piece, texture)

    def _choose(self, among: int, *shape: int) -> Tensor:
        return torch.randint(among, shape, generator=self.generator, device=self.generator.device)

    def _ground(self) -> Layer:
        colour = self._texture(self.count, GROUND, share=0.8, smallest=0.5)
        opaque = torch.cat([colour, torch.ones_like(colour[:, :1])], 1)
        still = self._path(0.0, scale=0.0, turn=0.0, aspect=0.0, bend=0.0, period=(60, 240))
        return Layer(
            opaque,
            still,
            uniform(self.generator, 2.0, 6.0, self.count),
            torch.zeros(self.count, 4, device=opaque.device),
        )

    def _objects(self, count: int) -> Tensor:
        """Premultiplied RGBA canvases (count, 4, CANVAS, CANVAS).

        An outline filled with two textures, or a cut-out.
        """
        alpha = body_with_limbs(self.generator, count, CANVAS)
        parts = alpha.roll((1, CANVAS // 4), (0, 2)) * chance(self.generator, 0.6, count, 1, 1, 1)
        texture = self._texture(count, CANVAS, share=0.7, smallest=0.15)
        colour = torch.lerp(texture, texture.roll(1, 0).flip(2), parts)
        shade = 0.6 + 0.6 * octave_noise(self.generator, count, 1, CANVAS)
        shaded = chance(self.generator, 0.5, count, 1, 1, 1)
        colour = torch.where(shaded, colour * shade, colour).clamp(0, 1)
        drawn = torch.cat([colour * alpha, alpha], 1)
        if self.imagery is None:
            return drawn
        cutout = self.imagery.objects[self._choose(len(self.imagery.objects), count)].float() / 255
        cutout = torch.cat([cutout[:, :3] * cutout[:, 3:], cutout[:, 3:]], 1)
        return torch.where(chance(self.generator, 0.4, count, 1, 1, 1), cutout, drawn)

    def _layer(self, canvas: Tensor, path: Path) -> Layer:
        half = TARGET_HALF * uniform(self.generator, 0.9, 1.1, self.count)
        waves = uniform(self.generator, 1.0, 4.0, self.count, 4)
        return Layer(canvas, path, half, waves)

    def _distractor(self, target: Tensor, other: Tensor, probability: float) -> Layer:
        """An object like the target, tinted, of its texture, or simply the `other`.

        Absent at times.
        """
        alike = target.flip(3)
        tint = uniform(self.generator, 0.6, 1.0, self.count, 3, 1, 1)
        tinted = torch.cat([target[:, :3] * tint, target[:, 3:]], 1)
        retextured = target[:, :3] / target[:, 3:].clamp_min(1e-3) * other[:, 3:]
        same_texture = torch.cat(
            [
                retextured.clamp(0, 1) * (target[:, 3:] > 0.5) * other[:, 3:],
                other[:, 3:] * (target[:, 3:] > 0.5),
            ],
            1,
        )
        kind = self._choose(5, self.count, 1, 1, 1)
        canvas = torch.where(
            kind == 0,
            alike,
            torch.where(kind == 1, tinted, torch.where(kind == 2, same_texture, other)),
        )
        canvas = canvas * chance(self.generator, probability * self.strength, self.count, 1, 1, 1)
        path = self._path(1.2, scale=0.3, turn=0.7, aspect=0.25, bend=0.1, period=(40, 200))
        away = uniform(self.generator, -1.6, 1.6, self.count, 2)
        base = path.base.clone()
        base[:, :2] = away
        base[:, 2] = uniform(self.generator, -0.4, 0.4, self.count)
        return self._layer(canvas, replace(path, base=base))

    def _carrier(self, behind: Layer, other: Tensor, target: Path) -> Layer:
        """What is behind the target; in every third scene a larger thing that it is part of."""
        carries = chance(self.generator, 0.33, self.count)
        shift = uniform(self.generator, -0.4, 0.4, self.count, 2)
        growth = uniform(self.generator, 0.5, 1.1, self.count, 1)
        rest = torch.zeros(self.count, len(PARAMETERS) - 3, device=shift.device)
        whole = replace(target, base=target.base + torch.cat([shift, growth, rest], 1))
        path = Path(
            *(
                torch.where(carries.view(-1, *[1] * (own.dim() - 1)), shared, own)
                for own, shared in zip(astuple(behind.path), astuple(whole), strict=True)
            )
        )
        canvas = torch.where(carries[:, None, None, None], other, behind.canvas)
        return replace(behind, canvas=canvas, path=path)

    def _occluder(self, other: Tensor, target: Path) -> Layer:
        """A thing in front that sweeps across the target's place; absent at times."""
        canvas = other * chance(self.generator, 0.45 * self.strength, self.count, 1, 1, 1)
        path = self._path(1.6, scale=0.3, turn=0.4, aspect=0.5, bend=0.0, period=(50, 160))
        base = path.base.clone()
        base[:, :2] = uniform(self.generator, -1, 1, self.count, 2)
        return self._layer(canvas, replace(path, base=base + target.base))

    # -- seeing ------------------------------------------------------------------------------------
    def target_place(self, times: Tensor) -> Tensor:
        """Centre and size sqrt(w h) of the target in the world at `times` (B, T).

        Returns (B, T, 3: x, y, size).
        """
        pose = self.target.path.at(times)
        size = (self.target.half * self.extent)[:, None] * pose[..., 2].exp()
        return torch.stack([pose[..., 0], pose[..., 1], size], -1)

    def render(self, times: Tensor, windows: Tensor, height: int, width: int) -> Clip:
        """See the scenes at `times` (B, T) through `windows`.

        Windows are (B, T, 3: centre x, centre y, world units per pixel).
        """
        picture, visible, whole = None, None, None
        for layer in (self.ground, self.behind, self.target, self.front, self.occluder):
            seen = self._see(layer, times, windows, height, width)
            colour, alpha = seen[:, :3], seen[:, 3:]
            picture = colour if picture is None else picture * (1 - alpha) + colour
            if layer is self.target:
                visible = whole = alpha
            elif visible is not None:
                visible = visible * (1 - alpha)
        assert picture is not None and visible is not None and whole is not None
        frames = times.shape[1]
        light = F.interpolate(self.light, (height, width), mode='bilinear', align_corners=True)
        light = 1 + self.strength * (light - 0.5)
        clips = picture.unflatten(2, (frames, height)).transpose(1, 2) * light[:, None]
        target = visible.unflatten(2, (frames, height)).transpose(1, 2)[:, :, 0]
        entire = whole.unflatten(2, (frames, height)).transpose(1, 2)[:, :, 0]
        # The share of the target that is seen, of what its pose would show without a frame's
        # border.
        half = self.target.half[:, None] * self.target.path.at(times)[..., 2].exp()
        shown = self.target.canvas[:, 3].mean((1, 2))[:, None] * (2 * half).square()
        area = entire.sum((2, 3)) * windows[..., 2].square()
        inside = (area / shown.clamp_min(1e-6)).clamp(0, 1)
        seen_share = target.sum((2, 3)) / entire.sum((2, 3)).clamp_min(1e-6)
        pictures = self.camera.photograph(self.generator, clips.clamp(0, 1), times)
        return Clip(pictures, target, inside * seen_share)

    def _see(self, layer: Layer, times: Tensor, windows: Tensor, height: int, width: int) -> Tensor:
        """One layer through the windows, frames stacked along the height.

        Returns (B, 4, T * height, width).
        """
        device = times.device
        column = torch.arange(width, device=device) - (width - 1) / 2
        row = torch.arange(height, device=device) - (height - 1) / 2
        per_pixel = windows[..., 2, None, None]
        sway = self.sway.at(times) if layer is self.ground else torch.zeros(1, device=device)
        pose = layer.path.at(times) + sway
        x = windows[..., 0, None, None] + per_pixel * column - pose[..., 0, None, None]
        y = windows[..., 1, None, None] + per_pixel * row[:, None] - pose[..., 1, None, None]
        half = (layer.half[:, None] * pose[..., 2].exp())[..., None, None]
        turn, aspect, shear = (pose[..., k, None, None] for k in (3, 4, 5))
        u = (x * turn.cos() + y * turn.sin()) / (half * aspect.exp())
        v = (y * turn.cos() - x * turn.sin()) / (half * (-aspect).exp())
        u = u + shear * v
        if layer is not self.ground:
            wave = layer.waves[:, None, None, None]
            u, v = (
                u + pose[..., 6, None, None] * torch.sin(wave[..., 0] * v + wave[..., 1] * 6),
                v + pose[..., 7, None, None] * torch.sin(wave[..., 2] * u + wave[..., 3] * 6),
            )
        grid = torch.stack([u.expand(-1, -1, height, width), v.expand(-1, -1, height, width)], -1)
        border = 'reflection' if layer is self.ground else 'zeros'
        return F.grid_sample(
            layer.canvas, grid.flatten(1, 2), align_corners=False, padding_mode=border
        )


def _extent(alpha: Tensor) -> Tensor:
    """sqrt(w h) of the box around each alpha (N, side, side), in half canvases: (N,).

    2 for a full canvas.
    """
    solid = alpha > 0.5
    width = solid.any(1).sum(1)
    height = solid.any(2).sum(1)
    return (width * height).clamp_min(1).sqrt() * (2 / alpha.shape[-1])
