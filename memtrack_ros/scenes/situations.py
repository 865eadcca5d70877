"""Drawn situations in which a target goes away or is mistaken: what a judge has to tell apart.

Each is one short video with truth: a target on a straight way, and what befalls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.scenes.degrade import Camera
from memtrack_ros.scenes.ground import Ground
from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.layer import seen
from memtrack_ros.scenes.motion import PARAMETERS
from memtrack_ros.scenes.objects import CANVAS, Objects
from memtrack_ros.scenes.surfaces import surfaces
from memtrack_ros.scenes.warp import Warp

WIDTH, HEIGHT = 320, 240
UNIT = 60.0  # pixels of a world unit: a target's canvas at scale 1
CHANGE, FAULTS = 0.5, 0.3  # strength of change on the canvases, of the camera's faults
LEAST = 0.3  # share of its canvas that a target is wide and high, at least
AWAY = 4.0  # units from the middle: out of the picture
ABSENT = 0.1  # share of a target to be seen below which it is absent
DARK = 0.02  # of the light that a covered lens lets through
Way = Sequence[tuple[float, ...]]
"""Frame, x, y in units from the picture's middle and scale: straight from one to the next."""


class Actor(NamedTuple):
    """Who goes which way: one of the canvases TARGET, ALIKE, OCCLUDER."""

    canvas: int
    way: Way

    def at(self, number: int) -> Floats:
        """x, y and scale in a frame."""
        frames, *places = np.array(self.way, float).T
        return np.array([np.interp(number, frames, place) for place in places])


TARGET, ALIKE, OCCLUDER = range(3)


STILL: Way = [(0, 0, 0, 1)]


class Plot(NamedTuple):
    """What happens in `frames` frames: actors from back to front, and to the camera.

    The camera's `swing` is a way, too. In frames from `blind` [0] to [1] the lens is `dark`, or its
    picture frozen.
    """

    frames: int
    actors: list[Actor]
    swing: Way = STILL
    blind: tuple[int, int] = (0, 0)
    dark: bool = False


@dataclass(frozen=True)
class SituationFrame:
    """A frame uint8 (H, W, 3) BGR with its truth.

    The box (4,) of what is seen of the target, nan where it is absent, its visible share, and the
    box of its look-alike.
    """

    image: NDArray[np.uint8]
    box: Floats
    visibility: float
    alike: Floats


class Situation:
    """The situation `kind` of SITUATIONS, drawn from `seed`; `render` gives frame by frame."""

    def __init__(self, kind: str, seed: int, imagery: Imagery | None = None) -> None:
        rng = np.random.default_rng(seed)
        generator = torch.Generator().manual_seed(seed)
        self.kind, self.seed, self.plot = kind, seed, SITUATIONS[kind](rng)
        self.frames = self.plot.frames
        self._ground = Ground(generator, 1, 0.3, imagery)
        self._objects = _thing(generator, imagery)
        self._occluder = surfaces(generator, imagery, 1, CANVAS, share=0.7, smallest=0.15)
        self._camera = Camera(generator, 1, FAULTS)
        self._generator = generator
        self._tint = torch.from_numpy(rng.uniform(0.75, 1, 3)).float()
        self._twin = kind == 'twins' or rng.random() < 1 / 3
        self._mirrored = rng.random() < 0.5

    def render(self, number: int) -> SituationFrame:
        """Frame `number`, counted from 0."""
        first, last = self.plot.blind
        blind = first <= number < last
        if blind and not self.plot.dark:
            return SituationFrame(self.render(first - 1).image, *_nothing())
        self._generator.manual_seed(self.seed * 1_000_003 + number)
        times = torch.tensor([[float(number)]])
        swing = Actor(TARGET, self.plot.swing).at(number)
        window = torch.tensor([[[*swing[:2], 1 / UNIT]]], dtype=torch.float32)
        picture = self._ground.see(times, window, HEIGHT, WIDTH)
        canvases = self._canvases(times)
        alphas = {canvas: torch.zeros(HEIGHT, WIDTH) for canvas in range(len(canvases))}
        whole = 1.0
        for actor in self.plot.actors:
            x, y, scale = actor.at(number)
            pose = torch.zeros(1, 1, len(PARAMETERS))
            pose[0, 0, :3] = torch.tensor([x, y, np.log(scale)])
            warp = Warp(pose, torch.full((1,), 0.5), torch.zeros(1, 4), window)
            colour, alpha = seen(canvases[actor.canvas], warp, HEIGHT, WIDTH).split([3, 1], 2)
            picture = torch.addcmul(colour, picture, 1 - alpha)
            for canvas in alphas:
                alphas[canvas] = alphas[canvas] * (1 - alpha[0, 0, 0])
            alphas[actor.canvas] = alpha[0, 0, 0]
            if actor.canvas == TARGET:
                whole = float(warp.area(canvases[TARGET][:, :, 3]).clamp_min(1))
        if blind:
            picture = picture * DARK
        photo = self._camera.photograph(self._generator, picture.clamp_(0, 1), times)[0, 0]
        if blind:
            photo = photo * DARK
        image = (photo.flip(0) * 255).round().byte().permute(1, 2, 0).numpy()
        visibility = float(alphas[TARGET].sum()) / whole
        box, alike = _bounds(alphas[TARGET]), _bounds(alphas[ALIKE])
        if blind or visibility < ABSENT:
            box, visibility = _nothing()[:2]
        return SituationFrame(np.ascontiguousarray(image), box, visibility, alike)

    def _canvases(self, times: Tensor) -> list[Tensor]:
        """RGBA (1, 1, 4, CANVAS, CANVAS) of TARGET, ALIKE and OCCLUDER."""
        target = self._objects.at(times, moves=False)
        alike = target.clone()
        if not self._twin:
            alike[:, :, :3] *= self._tint[:, None, None]
            alike = alike.flip(-1) if self._mirrored else alike
        occluder = torch.cat([self._occluder, torch.ones(1, 1, CANVAS, CANVAS)], 1)[:, None]
        return [target, alike, occluder]


def _nothing() -> tuple[Floats, float, Floats]:
    return np.full(4, np.nan), 0.0, np.full(4, np.nan)


def _bounds(alpha: Tensor) -> Floats:
    """The box (4,) around what an alpha (H, W) shows, nan where it is nothing."""
    solid = (alpha > 0.5).numpy().astype(np.uint8)
    return np.array(cv2.boundingRect(solid), float) if solid.any() else np.full(4, np.nan)


def _thing(generator: torch.Generator, imagery: Imagery | None) -> Objects:
    """An object that is neither thin nor tiny: of such a one a box says little."""
    while True:
        thing = Objects(generator, 1, CHANGE, imagery)
        *_, width, height = _bounds(thing.at(torch.zeros(1, 1), moves=False)[0, 0, 3])
        if min(width, height) > LEAST * CANVAS:
            return thing


# -- what happens ----------------------------------------------------------------------------------
def _hidden(frames: int) -> Callable[[np.random.Generator], Plot]:
    """A thing slides over the target, goes with it for so many frames, and slides off."""

    def plot(rng: np.random.Generator) -> Plot:
        x, y = rng.uniform(-0.8, 0.8, 2)
        last, step = 70 + frames, rng.uniform(-0.012, 0.012, 2)
        side = rng.choice([-1, 1])
        target = [(0, x, y, 1), (last, *(np.array([x, y]) + last * step), 1)]

        def over(number: int, beside: float) -> tuple[float, ...]:
            return number, x + number * step[0] + beside, y + number * step[1], 1.7

        off = side * AWAY * 1.2
        covers = [over(15, off), over(30, 0), over(30 + frames, 0), over(45 + frames, -off)]
        return Plot(last, [Actor(TARGET, target), Actor(OCCLUDER, covers)])

    return plot


def _elsewhere(smallest: float, largest: float) -> Callable[[np.random.Generator], Plot]:
    """The target leaves the picture, and returns by another edge, so many times as large."""

    def plot(rng: np.random.Generator) -> Plot:
        start, end = rng.uniform(-0.8, 0.8, (2, 2))
        side = rng.choice([-1, 1])
        scale = rng.uniform(smallest, largest)
        enters = (-side * AWAY, end[1]) if rng.random() < 0.5 else (end[0], side * AWAY)
        target = [
            *[(0, *start, 1), (25, *start, 1), (40, side * AWAY, start[1], 1)],
            *[(89, side * AWAY, start[1], 1), (90, *enters, scale)],
            *[(105, *end, scale), (150, *(end + rng.uniform(-0.4, 0.4, 2)), scale)],
        ]
        return Plot(150, [Actor(TARGET, target)])

    return plot


def _passing(rng: np.random.Generator) -> Plot:
    """A look-alike passes, behind the target or in front of it."""
    x, y = rng.uniform(-0.6, 0.6, 2)
    side, beside = rng.choice([-1, 1]), rng.uniform(-0.7, 0.7)
    target = Actor(
        TARGET, [(0, x, y, 1), (110, *(np.array([x, y]) + rng.uniform(-0.8, 0.8, 2)), 1)]
    )
    alike = Actor(
        ALIKE,
        [(0, side * AWAY, y + beside, 1), (20, side * 2, y + beside, 1), (90, -side * AWAY, y, 1)],
    )
    actors = [target, alike] if rng.random() < 0.5 else [alike, target]
    return Plot(110, actors)


def _staying(rng: np.random.Generator) -> Plot:
    """The target leaves its look-alike alone, by the picture's edge or at once, and returns."""
    x, y = rng.uniform(-0.5, 0.5, 2)
    side = rng.choice([-1, 1])
    gone = 30 if rng.random() < 0.5 else 42
    other = (x - side * rng.uniform(1.0, 1.5), y + rng.uniform(-0.5, 0.5))
    drift = rng.uniform(-0.3, 0.3, 2)
    target = [
        (0, x, y, 1),
        (29, x, y, 1),
        (gone, side * AWAY, y, 1),
        (80, side * AWAY, y, 1),
        (92, x, y, 1),
    ]
    alike = [(0, *other, 1), (130, *(other + drift), 1)]
    return Plot(130, [Actor(ALIKE, alike), Actor(TARGET, target)])


def _twins(rng: np.random.Generator) -> Plot:
    """Two of a kind cross, or meet and turn back."""
    y, beside = rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.3)
    side, turns = rng.choice([-1, 1]), rng.random() < 1 / 3
    end = -1 if turns else 1
    meet = 0.25 if turns else 0.0
    target = [(0, -side * 1.5, y, 1), (45, -side * meet, y, 1), (90, side * end * 1.5, y, 1)]
    alike = [
        (0, side * 1.5, y + beside, 1),
        (45, side * meet, y + beside, 1),
        (90, -side * end * 1.5, y, 1),
    ]
    actors = [Actor(TARGET, target), Actor(ALIKE, alike)]
    return Plot(110, actors if rng.random() < 0.5 else actors[::-1])


def _blind(dark: bool) -> Callable[[np.random.Generator], Plot]:
    """The lens is covered for a second, or its picture stands still."""

    def plot(rng: np.random.Generator) -> Plot:
        start = rng.uniform(-0.8, 0.8, 2)
        target = [(0, *start, 1), (110, *(start + rng.uniform(-1, 1, 2)), 1)]
        return Plot(110, [Actor(TARGET, target)], blind=(40, 70), dark=dark)

    return plot


def _swing(rng: np.random.Generator) -> Plot:
    """The camera swings away and back."""
    start = rng.uniform(-0.6, 0.6, 2)
    target = [(0, *start, 1), (110, *(start + rng.uniform(-0.5, 0.5, 2)), 1)]
    turn, reach = rng.uniform(0, 2 * np.pi), rng.uniform(1.0, 3.5)
    there = reach * np.array([np.cos(turn), np.sin(turn)])
    swing = [(0, 0, 0, 1), (30, 0, 0, 1), (38, *there, 1), (48, *there, 1), (56, 0, 0, 1)]
    return Plot(110, [Actor(TARGET, target)], swing=swing)


SITUATIONS: dict[str, Callable[[np.random.Generator], Plot]] = {
    'hidden 10': _hidden(10),
    'hidden 30': _hidden(30),
    'hidden 90': _hidden(90),
    'elsewhere': _elsewhere(0.9, 1.1),
    'larger': _elsewhere(1.7, 2.3),
    'smaller': _elsewhere(0.45, 0.6),
    'passing': _passing,
    'staying': _staying,
    'twins': _twins,
    'dark': _blind(dark=True),
    'frozen': _blind(dark=False),
    'swing': _swing,
}
