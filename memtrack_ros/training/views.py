"""Pairs of views of one thing, without labels: a photograph twice, a video at two times."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.scenes.textures import chance, uniform

PHOTOS, VIDEOS = ('.jpg', '.jpeg', '.png', '.webp'), ('.mp4', '.avi', '.mov', '.mkv', '.webm')
EXTENT = (0.3, 1.1)  # of a view, over the shorter side of the picture
SHIFT, ZOOM = 0.2, 1.3  # of the second view against the first: of its extent, times its extent
APART = (1.0, 100.0)  # frames between two views of a video


class Views:
    """Pairs of views of the photographs and videos below some folders, half of them of videos."""

    def __init__(self, folders: list[Path]) -> None:
        """ConfigurationError when there is nothing to be seen."""
        files = [path for folder in folders for path in sorted(folder.rglob('*.*'))]
        self._kinds = [
            found
            for endings in (PHOTOS, VIDEOS)
            if (found := [path for path in files if path.suffix.lower() in endings])
        ]
        if not self._kinds:
            raise ConfigurationError(
                f'{", ".join(map(str, folders))}: no photograph ({", ".join(PHOTOS)}) and no video '
                f'({", ".join(VIDEOS)}) in it; set --data to a folder that holds some.'
            )

    def draw(self, generator: torch.Generator, count: int, side: int) -> Tensor:
        """Pairs (count, 2, 3, side, side), RGB 0..255, on the generator's device.

        The first pictures of a pair may be mirrored, then the second is, too.
        """
        shares = uniform(generator, 0, 1, count, 4).cpu().double().numpy()
        places = uniform(generator, -1, 1, count, 6).cpu().double().numpy()
        mirrored = chance(generator, 0.5, count).cpu().numpy()
        turns = int(torch.randint(2, (1,), generator=generator, device=generator.device))
        pairs = []
        for number, (share, place, mirror) in enumerate(zip(shares, places, mirrored, strict=True)):
            files = self._kinds[(number + turns) % len(self._kinds)]
            first, second = self._pictures(files, share)
            pairs.append(_seen(first, second, place, side)[:, :, :: -1 if mirror else 1])
        pixels = np.ascontiguousarray(np.stack(pairs)[..., ::-1].transpose(0, 1, 4, 2, 3))
        return torch.from_numpy(pixels).to(generator.device).float()

    def _pictures(self, files: list[Path], share: NDArray[np.float64]) -> tuple[Pixels, Pixels]:
        """Two pictures of a file, BGR, or of the next that can be read; `share` (4,) in 0..1."""
        first = int(share[0] * len(files))
        for turn in range(len(files)):
            path = files[(first + turn) % len(files)]
            if path.suffix.lower() in VIDEOS:
                frames = _two_frames(path, share)
                if frames is not None:
                    return frames
            elif (picture := cv2.imread(str(path))) is not None:
                return np.asarray(picture, np.uint8), np.asarray(picture, np.uint8)
        raise ConfigurationError(f'{files[0].parent}: no picture can be read of {len(files)} files')


def _two_frames(path: Path, share: NDArray[np.float64]) -> tuple[Pixels, Pixels] | None:
    """Two frames of a video, not far apart; None where it cannot be read."""
    capture = cv2.VideoCapture(str(path))
    try:
        last = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) - 1
        apart = round(APART[0] * (APART[1] / APART[0]) ** share[2])
        first = int(share[1] * (last + 1))
        other = first + apart if first + apart <= last else max(first - apart, 0)
        frames = []
        for number in (first, other):
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
            read, frame = capture.read()
            if not read:
                return None
            frames.append(np.asarray(frame, np.uint8))
    finally:
        capture.release()
    return frames[0], frames[1]


def _seen(first: Pixels, second: Pixels, place: NDArray[np.float64], side: int) -> Pixels:
    """Views (2, side, side, 3) of two pictures of one size, where `place` (6,) in -1..1 says."""
    height, width = first.shape[:2]
    low, high = EXTENT
    extent = min(height, width) * low * (high / low) ** ((place[0] + 1) / 2)
    room = np.maximum(np.array([width, height]) - extent, 0) / 2
    centre = (np.array([width, height]) - 1) / 2 + room * place[1:3]
    zoom = ZOOM ** place[3]
    views = []
    for picture, middle, across in (
        (first, centre, extent),
        (second, centre + SHIFT * extent * place[4:], extent * zoom),
    ):
        window = Window.around(middle, across / side, side)
        views.append(cut(picture, window, cv2.mean(picture)[:3]))
    return np.stack(views)
