"""One drawn scene as a video with truth: what the camera node plays and evaluation measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.scene import Scenes

# Seeds of the demonstration, each with a look-alike. No training draws from them:
# its seeds start at ten million.
DEMO_SEEDS = (9, 13, 19, 23, 27)
TARGET_SHARE = 0.22  # sqrt(w h) of the target over the height of the frame, at scale 0
PACE = 0.4  # units of the paths' time that pass from frame to frame
START_VISIBILITY = 0.9


@dataclass(frozen=True)
class SceneFrame:
    """A frame uint8 (H, W, 3) BGR with its truth.

    The mask uint8 (H, W) 0/255 is that of the visible target, the box (4,) is around it, nan when
    it is absent; visibility is the share of the target that is seen.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    box: NDArray[np.float64]
    visibility: float


class DrawnScene:
    """A scene of `frames` frames; `render` is a pure function of the frame's number."""

    def __init__(
        self,
        seed: int,
        width: int,
        height: int,
        frames: int,
        strength: float,
        imagery: Imagery | None = None,
    ) -> None:
        """Draw the scene of `seed`, with the pieces of `imagery` where there is any.

        It starts at the first moment at which the target is in full view.
        """
        self.frames, self._seed, self._width, self._height = frames, seed, width, height
        self._scenes = Scenes(torch.Generator().manual_seed(seed), 1, strength, imagery)
        self._per_pixel = float(self._scenes.target_place(torch.zeros(1, 1))[0, 0, 2]) / (
            TARGET_SHARE * height
        )
        self._start = 0.0
        while self.render(0).visibility < START_VISIBILITY:
            self._start += 5.0

    def render(self, number: int) -> SceneFrame:
        """Frame `number`, counted from 0."""
        self._scenes.generator.manual_seed(self._seed * 1_000_003 + number)
        clip = self._scenes.render(*self._views(number), self._height, self._width)
        rgb = (clip.pictures[0, 0] * 255).round().byte().permute(1, 2, 0).numpy()
        mask = np.where(clip.target[0, 0].numpy() > 0.5, 255, 0).astype(np.uint8)
        box = np.array(cv2.boundingRect(mask), float) if mask.any() else np.full(4, np.nan)
        return SceneFrame(
            np.ascontiguousarray(rgb[..., ::-1]), mask, box, float(clip.visibility[0, 0])
        )

    def flow(self, number: int) -> NDArray[np.float32]:
        """How far what is seen in frame `number` moves until the next, float32 (H, W, 2: x, y) px.

        It is the motion of the surface in each pixel, whether or not the next frame shows it.
        """
        views = self._views(number, number + 1)
        clip = self._scenes.render(*views, self._height, self._width, flow=True)
        assert clip.flow is not None
        return clip.flow[0, 0].permute(1, 2, 0).numpy()

    def surfaces(self, number: int) -> NDArray[np.uint8]:
        """Which of scene.SURFACES is seen in every pixel of frame `number`, uint8 (H, W)."""
        views = self._views(number)
        clip = self._scenes.render(*views, self._height, self._width, surfaces=True)
        assert clip.surfaces is not None
        return clip.surfaces[0, 0].numpy()

    def _views(self, *numbers: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Times (1, T) and windows (1, T, 3) of frames."""
        times = torch.tensor([[self._start + PACE * number for number in numbers]])
        return times, torch.tensor([0.0, 0.0, self._per_pixel]).expand(1, len(numbers), 3)


def drawn_scene(
    seed: int,
    width: int = 640,
    height: int = 480,
    frames: int = 300,
    strength: float = 1.0,
    imagery: Imagery | None = None,
) -> DrawnScene:
    """The scene of `seed` with its look-alike, occluder and moving camera at `strength` 0..1."""
    return DrawnScene(seed, width, height, frames, strength, imagery)


def to_and_fro(frames: list[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """First to last and back, for ever."""
    return cycle(frames + frames[-2:0:-1])
