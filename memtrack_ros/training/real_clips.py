"""Training clips of real sequences and pictures, of any layout that room `data` reads."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.data.sequences import Sequence, find_videos, read_video
from memtrack_ros.errors import SequenceError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.windows import Window, cut
from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.scenes.degrade import Camera
from memtrack_ros.scenes.parts import SOLID, parts
from memtrack_ros.scenes.textures import chance, uniform
from memtrack_ros.trackers.search import NARROWEST, WIDEST
from memtrack_ros.training.clips import SEEN, Clips, filled_boxes
from memtrack_ros.training.framing import Framing, framing, moments, strange

SMALLEST = 8.0  # pixels of sqrt(w h) that a target has in the first frame of a clip
FAULTS = 0.4  # of a drawn scene's camera: a real one has had its own
WHOLE = np.array([0.0, 0, 1, 1])
TRIES = 50  # videos that may be unreadable, one after the other
# Videos whose truth is kept once it was read; of images, none is.
KEPT = 4096


class ClipPlan(NamedTuple):
    """What was drawn of one clip; all shares are in 0..1."""

    video: int
    target: float  # share of the video's targets that come before this one
    start: float  # share of the frames before the first
    moments: NDArray[np.float64]  # (T,): when its frames are taken, in frames
    framing: Framing  # of T frames
    part: NDArray[np.float64]  # (4,) of the target that is meant, as `parts` has it


class Cut(NamedTuple):
    """One clip as it was cut: its video and crops (T, S, S, 3), uint8 RGB.

    Which pixels (T, S, S) lie in the image. Masks uint8 (T, S, S) 0/255, None where only boxes are
    known; boxes (T, 4: x1, y1, x2, y2) in pixels, nan where absent.
    """

    video: int
    crops: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    masks: NDArray[np.uint8] | None
    boxes: NDArray[np.float64]


class RealClips:
    """Clips of the sequences in a folder; a picture without others is a clip that stands still.

    A video that cannot be used is named in a warning, and the next one taken in its place.
    """

    def __init__(self, folder: Path, partial: float = 0.0) -> None:
        """Of what is in the folder; in a share `partial` of them a part of the target is meant,
        where its mask is known.

        SequenceError when there is nothing to draw clips of.
        """
        self._folder, self._partial = folder, partial
        self._videos = find_videos(folder)
        self._read = lru_cache(KEPT)(read_video)
        self._threads = ThreadPoolExecutor()

    def draw(
        self,
        generator: torch.Generator,
        count: int,
        side: int,
        length: int,
        strength: float,
    ) -> Clips:
        """As ClipSource, each clip of a random video; mirrored or not, colours at `strength`.

        SequenceError when too many videos cannot be used.
        """
        device = generator.device
        times = moments(generator, count, length)
        seen_as = framing(generator, count, length)
        meant = parts(generator, count, self._partial)
        plans = self._plans(uniform(generator, 0, 1, count, 3), times, seen_as, meant)
        cuts = list(self._threads.map(lambda plan: self._cut(plan, side), plans))
        crops = _stack([cut.crops for cut in cuts], device).permute(0, 1, 4, 2, 3) / 255
        inside = _stack([cut.inside for cut in cuts], device)
        corners = _stack([cut.boxes for cut in cuts], device).float()
        nothing = np.zeros(inside.shape[1:], np.uint8)
        masks = _stack([nothing if cut.masks is None else cut.masks for cut in cuts], device) / 255
        masked = torch.tensor([cut.masks is not None for cut in cuts], device=device)[:, None]
        videos = torch.tensor([cut.video for cut in cuts], device=device)

        shown, share = _within(corners, inside)
        masks = torch.where(masked[..., None, None], masks, filled_boxes(shown, side))
        around, filled = boxes_of(masks > 0.5)
        camera = Camera(generator, count, FAULTS * strength)
        crops = camera.photograph(generator, crops, times)
        beyond = ~inside[:, :, None]
        # What is beyond the image has one colour, as a tracker sees it.
        colour = (crops * beyond).sum((3, 4)) / beyond.sum((3, 4)).clamp_min(1)
        crops = torch.where(beyond, colour[..., None, None], crops)

        other = strange(generator, count, length)
        other &= (videos != videos.roll(1))[:, None]
        crops = torch.where(other[..., None, None, None], crops.roll(1, 0), crops)
        present = filled & (share > SEEN) & ~other
        clips = Clips(
            crops * 255,
            masks * present[..., None, None],
            torch.where(masked[..., None], around, shown),
            present,
            masked | ~present,
        )
        return _mirrored(clips, chance(generator, 0.5, count))

    def _plans(
        self, shares: Tensor, times: Tensor, seen_as: Framing, meant: Tensor
    ) -> list[ClipPlan]:
        """Plans of clips from shares (B, 3) of videos, of their targets and of their frames."""
        size, reach, direction = (part.cpu() for part in seen_as)
        return [
            ClipPlan(
                int(video * len(self._videos)),
                target,
                start,
                times[n].cpu().double().numpy(),
                Framing(size[n], reach[n], direction[n]),
                meant[n].cpu().double().numpy(),
            )
            for n, (video, target, start) in enumerate(shares.tolist())
        ]

    def _cut(self, plan: ClipPlan, side: int) -> Cut:
        """The clip of the plan, or of the next video that can be used."""
        for turn in range(TRIES):
            number = (plan.video + turn) % len(self._videos)
            try:
                sequences = [s for s in self._read(self._videos[number]) if _large(s).any()]
                if not sequences:
                    name = self._videos[number].name
                    raise SequenceError(f'{name}: no target of {SMALLEST:.0f} pixels or more')
                return _cut(sequences[int(plan.target * len(sequences))], plan, number, side)
            except SequenceError as fault:
                warnings.warn(f'left out: {fault}', stacklevel=2)
        raise SequenceError(
            f'{self._folder}: {TRIES} videos, one after the other, cannot be used; see the '
            'warnings, or train without this folder'
        )


def _cut(sequence: Sequence, plan: ClipPlan, video: int, side: int) -> Cut:
    """One clip of a sequence. SequenceError when an image cannot be read."""
    numbers, places = _frames(sequence, plan)
    frames = [sequence.frame(number) for number in numbers]
    part = _meant(sequence, int(numbers[0]), plan.part)
    truth = sequence.truth if part is None else boxes.part(sequence.truth, part)
    known = truth[places]
    size = np.sqrt(known[:, 2:].prod(1))
    # No wider than a tracker's search window gets.
    longer = np.array([max(frame.shape[:2]) for frame in frames])
    widest = np.maximum(WIDEST * longer, NARROWEST * size)
    size = np.minimum(size, widest / side * plan.framing.size.double().numpy())
    place = torch.from_numpy(np.concatenate([boxes.centre(known), size[:, None]], 1))
    crops, inside, masks, corners = [], [], [], []
    for number, frame, (x, y, pitch) in zip(
        numbers, frames, plan.framing.windows(place, side).tolist(), strict=True
    ):
        window = Window(x, y, pitch, side)
        inside.append(_inside(window, *frame.shape[:2]))
        colour = cv2.mean(frame)[:3]
        crops.append(cut(frame, window, colour)[..., ::-1])
        crops[-1][~inside[-1]] = np.floor(colour[::-1])
        box = truth[number]
        edges = np.stack([box[:2], box[:2] + box[2:]]) - 0.5
        corners.append(window.to_crop(edges).ravel())
        if sequence.masks is not None:
            mask = sequence.mask(number)
            if mask.shape != frame.shape[:2]:
                raise SequenceError(
                    f'{sequence.name}: the mask of frame {number} is {mask.shape[1]} x '
                    f'{mask.shape[0]} pixels, the frame {frame.shape[1]} x {frame.shape[0]}'
                )
            if part is not None:
                mask = boxes.box_mask(box, *mask.shape) & mask
            masks.append(cut(mask, window, 0))
    return Cut(
        video,
        np.stack(crops),
        np.stack(inside),
        np.stack(masks) if masks else None,
        np.stack(corners),
    )


def _meant(sequence: Sequence, first: int, part: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The part (4,) of its target, if that is solid and large enough in the first frame.

    None for the whole, as of what has no masks.
    """
    if sequence.masks is None or np.array_equal(part, WHOLE):
        return None
    box, mask = boxes.part(sequence.truth[first], part), sequence.mask(first)
    inside = boxes.box_mask(box, *mask.shape) & mask
    solid = cv2.countNonZero(inside) > SOLID * cv2.countNonZero(mask)
    return part if solid and boxes.scale(box) >= SMALLEST else None


def _frames(sequence: Sequence, plan: ClipPlan) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The numbers (T,) of a clip's frames, and of those whose box says where to look.

    They are in order, as far apart as planned where the sequence is as long. The first shows the
    target; where another does not, the last before it that does says where.
    """
    last = len(sequence) - 1
    elapsed = plan.moments - plan.moments[0]
    elapsed *= min(1.0, last / max(elapsed[-1], 1e-6))
    numbers = np.round(plan.start * (last - elapsed[-1]) + elapsed).astype(np.intp)
    large = np.flatnonzero(_large(sequence))
    before = large[large <= numbers[0]]
    first = before[-1] if len(before) else large[0]
    numbers = np.maximum(numbers, first)
    numbers[0] = first
    present = np.flatnonzero(~np.isnan(sequence.truth).any(1))
    return numbers, present[np.searchsorted(present, numbers, 'right') - 1]


def _large(sequence: Sequence) -> NDArray[np.bool_]:
    """In which frames the target is present, and large enough to be pointed at."""
    return np.asarray(np.sqrt(sequence.truth[:, 2:].prod(1)) >= SMALLEST)


def _inside(window: Window, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels (S, S) of a crop whose centres lie in the image."""
    axis = np.arange(window.side)
    x, y = window.to_frame(np.stack([axis, axis], 1)).T
    columns, rows = (x > -0.5) & (x < width - 0.5), (y > -0.5) & (y < height - 0.5)
    return np.asarray(rows[:, None] & columns)


def _within(corners: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """What of the boxes (B, T, 4) is in crop and image, and which share of them (B, T).

    0 where the target is absent. `inside` (B, T, S, S) is where the image is.
    """
    extent, any_inside = boxes_of(inside)
    low = torch.maximum(corners[..., :2], extent[..., :2])
    high = torch.minimum(corners[..., 2:], extent[..., 2:])
    area = (corners[..., 2:] - corners[..., :2]).prod(-1)
    share = (high - low).clamp_min(0).prod(-1) / area
    return torch.cat([low, high], -1).nan_to_num(0), (share * any_inside).nan_to_num(0)


def _mirrored(clips: Clips, flip: Tensor) -> Clips:
    """The clips, those of `flip` (B,) with left and right exchanged."""
    side = clips.crops.shape[-1]
    left, top, right, bottom = clips.boxes.unbind(-1)
    turned = torch.stack([side - 1 - right, top, side - 1 - left, bottom], -1)
    flip = flip[:, None, None, None]
    return clips._replace(
        crops=torch.where(flip[..., None], clips.crops.flip(-1), clips.crops),
        masks=torch.where(flip, clips.masks.flip(-1), clips.masks),
        boxes=torch.where(flip[..., 0], turned, clips.boxes),
    )


def _stack(arrays: list[NDArray[np.generic]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)
