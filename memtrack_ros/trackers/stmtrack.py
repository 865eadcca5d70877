"""STMTrack (Fu, Liu, Fu, Wang, CVPR 2021): a memory of frames, read by every cell of a query."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut, paste
from memtrack_ros.memory import SampledFrames
from memtrack_ros.nets.heads import BoxMaps
from memtrack_ros.nets.stmtrack import CROP, CompactSTMTrack, PaperSTMTrack
from memtrack_ros.trackers.tracker import Estimate, Observation, Prior, Target, Tracker
from memtrack_ros.weights.files import Calibration, Weights, load_into

SEARCH = 4.0  # side of the search window over sqrt(w h) of the target
WIDEST = 1.2  # side of the search window over the longer side of the image, at most, but for
NARROWEST = 2.4  # times sqrt(w h) of the target, which it always has
ROOM = 1.5  # times the box in which its mask lies
LEAST_FILL = 0.2  # share of its box that a segmented target must fill to be believed


@dataclass(frozen=True)
class Settings:
    """Inference of one variant, in the names of the authors' configuration."""

    side: int  # of the crop, pixels
    penalty_k: float
    window_influence: float
    test_lr: float
    confident: float  # preferred score above which the last frame is read
    smallest: float  # pixels, of a side of the box
    capacity: int  # frames in the bank
    inclusive: int  # 1 where a box's corners are the centres of its outer pixels, else 0


COMPACT = Settings(
    side=CROP,
    penalty_k=0.15,
    window_influence=0.21,
    test_lr=0.5,
    confident=0.6,
    smallest=3.0,
    capacity=128,
    inclusive=0,
)
# The authors' configuration for GOT-10k, LaSOT and TrackingNet.
PAPER = Settings(
    side=289,
    penalty_k=0.04,
    window_influence=0.21,
    test_lr=0.95,
    confident=0.6,
    smallest=10.0,
    capacity=256,
    inclusive=1,
)


@dataclass(frozen=True)
class Found(Observation):
    """An observation with the chosen cell's score after penalty and window.

    It decides what the bank reads.
    """

    preferred: float


class STMTrack(Tracker):
    """The compact variant, and what both share: the network answers, this chooses and remembers."""

    name = 'stmtrack'
    variant = 'compact'
    segments = True
    bank: SampledFrames

    def __init__(
        self,
        net: CompactSTMTrack | PaperSTMTrack,
        settings: Settings,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
    ) -> None:
        """Allocate the bank; ConfigurationError when it is over `max_bytes`."""
        self.settings, self.calibration, self.device = settings, calibration, device
        self.bank = SampledFrames(
            settings.capacity,
            net.channels,
            net.cells**2,
            confident=settings.confident,
            max_bytes=max_bytes,
            device=device,
        )
        self.net = net.to(device).eval()
        self._window_preference = np.outer(np.hanning(net.cells), np.hanning(net.cells))
        self._border = np.zeros(3)

    def initialise(self, frame: Pixels, target: Target) -> Observation:
        """Memorise the target's frame.

        A box alone is first segmented with the memory that it makes.
        """
        self.bank.clear()
        self._border = np.floor(frame.mean((0, 1)))
        filled = boxes.box_mask(target.box, *frame.shape[:2])
        if not self.segments:
            target = Target(target.box, filled)
        elif target.mask is None:
            self._memorise(frame, target.box, filled, 1.0)
            segmented = self.locate(frame, Prior(target.box)).mask
            target = Target(target.box, pseudo_mask(segmented, target.box, filled))
            self.bank.clear()
        assert target.mask is not None
        self._memorise(frame, target.box, target.mask, 1.0)
        return Observation(self.locate(frame, Prior(target.box)).score, target.box, target.mask)

    @torch.inference_mode()
    def locate(self, frame: Pixels, prior: Prior) -> Found:
        """One query (sections 3.2 to 3.5): read, score all cells, answer with the preferred one."""
        window, crop = self._crop(frame, prior.box, prior.search)
        memory, used = self.bank.read()
        answer = self.net(memory, used, self._to_device(crop))
        score, preferred, box = self._choose(answer.maps, prior, window)
        height, width = frame.shape[:2]
        centre = np.clip(boxes.centre(box), 0, [width, height])
        size = np.clip(box[2:], self.settings.smallest, [width, height])
        box = boxes.from_centre(centre, size)
        if answer.mask is None:
            return Found(score, box, boxes.box_mask(box, height, width), preferred)
        probability = answer.mask[0, 0].float().sigmoid().cpu().numpy()
        mask = (paste(probability, window, height, width) > 0.5).astype(np.uint8) * 255
        # A look-alike elsewhere in the window may be segmented, too.
        room = boxes.box_mask(boxes.from_centre(centre, ROOM * size), height, width)
        return Found(score, box, np.asarray(cv2.bitwise_and(mask, room), np.uint8), preferred)

    def remember(self, frame: Pixels, estimate: Estimate, observation: Observation) -> None:
        """Memorise a fresh crop around what was found, at its own scale."""
        assert isinstance(observation, Found)
        self._memorise(frame, observation.box, observation.mask, observation.preferred)

    @torch.inference_mode()
    def _memorise(self, frame: Pixels, box: Floats, mask: Pixels, score: float) -> None:
        window, crop = self._crop(frame, box, 1.0)
        label = torch.from_numpy(self._label(window, box, mask)).to(self.device).float()[None, None]
        self.bank.write(self.net.memorise(self._to_device(crop), label)[0], score)

    def _crop(self, frame: Pixels, box: Floats, search: float) -> tuple[Window, Pixels]:
        """The search window around `box` and what it shows.

        It is SEARCH * `search` times the box's sqrt(w h) wide, but hardly wider than the image: a
        network that sees all of the image stand on the border's colour takes it for an object.
        """
        size = boxes.scale(box)
        widest = max(WIDEST * max(frame.shape[:2]), NARROWEST * size)
        extent = min(SEARCH * search * size, widest)
        side = self.settings.side
        window = Window.around(boxes.centre(box), extent / side, side)
        return window, cut(frame, window, self._border)

    def _label(self, window: Window, box: Floats, mask: Pixels) -> NDArray[np.float32]:
        """The label map (S, S) in 0..1 of a memory frame: here its mask."""
        return np.asarray(cut(mask, window, 0) / 255, np.float32)

    def _to_device(self, crop: Pixels) -> Tensor:
        """A BGR crop as RGB floats (1, 3, S, S) 0..255 on the device."""
        image = torch.from_numpy(crop).to(self.device).permute(2, 0, 1)[None]
        return image.flip(1).float()

    def _choose(self, maps: BoxMaps, prior: Prior, window: Window) -> tuple[float, float, Floats]:
        """Score, preferred score and box (in the frame) of the best cell.

        Preferred are cells whose box changes little in size and aspect and, in a usual search, that
        lie central.
        """
        score = maps.score[0, 0].double().cpu().numpy()
        corners = maps.boxes[0].double().cpu().numpy().transpose(1, 2, 0)
        size = corners[..., 2:] - corners[..., :2] + self.settings.inclusive
        penalty = change_penalty(size, prior.box[2:] / window.pitch, self.settings.penalty_k)
        influence = self.settings.window_influence if prior.search == 1.0 else 0.0
        preferred = penalty * score * (1 - influence) + self._window_preference * influence
        best = np.unravel_index(int(preferred.argmax()), preferred.shape)
        rate = penalty[best] * score[best] * self.settings.test_lr
        new_size = (1 - rate) * prior.box[2:] + rate * size[best] * window.pitch
        centre = window.to_frame((corners[best][:2] + corners[best][2:]) / 2)
        return float(score[best]), float(preferred[best]), boxes.from_centre(centre, new_size)


class PublishedSTMTrack(STMTrack):
    """The paper variant: crops and labels rounded as the authors round them, the box for a mask."""

    variant = 'paper'
    segments = False

    def _crop(self, frame: Pixels, box: Floats, search: float) -> tuple[Window, Pixels]:
        """The authors' crop: around whole pixels, decimated first when the target is large.

        The window returned has the exact centre and the pitch that the authors compute with
        afterwards.
        """
        side = self.settings.side
        pitch = SEARCH * search * boxes.scale(box) / side
        centre = boxes.centre(box)
        step = max(int(pitch - 0.1), 1)
        position = np.trunc(centre).astype(int)
        offset = position % step
        image = frame[offset[1] :: step, offset[0] :: step]
        extent = round(pitch * side / step)
        first = (position - offset) // step - (extent - 1) // 2
        crop = interpolated(image, first, extent / (side - 1), side, self._border)
        return Window.around(centre, (extent + 1) * step / side, side), crop

    def _label(self, window: Window, box: Floats, mask: Pixels) -> NDArray[np.float32]:
        """The box, filled, in the middle of the crop."""
        label = np.zeros((self.settings.side, self.settings.side), np.float32)
        left, top, right, bottom = label_corners(box, window)
        label[top : bottom + 1, left : right + 1] = 1
        return label


def label_corners(box: Floats, window: Window) -> tuple[int, int, int, int]:
    """First column and row, last column and row of the authors' label map of `box`.

    They take the box to stand in the crop's middle. Clipped to the crop (theirs wraps around).
    """
    half = (box[2:] / window.pitch - 1) / 2
    middle = (window.side - 1) / 2
    first = np.clip(np.trunc(middle - half), 0, window.side - 1).astype(int)
    last = np.clip(np.trunc(middle + half), 0, window.side - 1).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def interpolated(image: Pixels, first: Floats, scale: float, side: int, border: Floats) -> Pixels:
    """Crop (side, side, 3) whose pixel i stands at `first` + `scale` * i of the image.

    Exactly bilinear: the resampling of OpenCV knows 32 steps between two pixels in some of its
    builds and versions.
    """
    height, width = image.shape[:2]
    x, y = (
        torch.from_numpy(first)[:, None] + scale * torch.arange(side, dtype=torch.float64)
    ).unbind()
    grid = torch.stack(
        torch.meshgrid(x * 2 / (width - 1) - 1, y * 2 / (height - 1) - 1, indexing='xy'), -1
    )
    above = torch.from_numpy(image.astype(np.float64) - border).permute(2, 0, 1)
    crop = (
        F.grid_sample(above[None], grid[None], align_corners=True)[0].permute(1, 2, 0).numpy()
        + border
    )
    return np.asarray(np.rint(crop), np.uint8)


def change_penalty(
    size: NDArray[np.floating], before: Floats, penalty_k: float
) -> NDArray[np.floating]:
    """exp(-k (r s - 1)): how little sizes (..., 2) differ from the size `before` (2,).

    s is the change of sqrt((w + p)(h + p)), p = (w + h) / 2; r the change of aspect; both >= 1.
    """

    def padded(wh: NDArray[np.floating]) -> NDArray[np.floating]:
        pad = wh.sum(-1, keepdims=True) / 2
        return np.asarray(np.sqrt((wh + pad).prod(-1)))

    def change(ratio: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(np.maximum(ratio, 1 / ratio))

    scale = change(padded(size) / padded(before))
    aspect = change((before[0] / before[1]) / (size[..., 0] / size[..., 1]))
    return np.asarray(np.exp(-penalty_k * (aspect * scale - 1)))


def pseudo_mask(mask: Pixels, box: Floats, filled: Pixels) -> Pixels:
    """What was segmented within the box, dilated a little, as SAMN starts from a box.

    `filled`, the box itself, where that is too little to be the object.
    """
    dilation = max(5, round(0.05 * float(box[2:].min()))) | 1
    inside = cv2.bitwise_and(mask, cv2.dilate(filled, np.ones((dilation, dilation), np.uint8)))
    return (
        np.asarray(inside, np.uint8)
        if cv2.countNonZero(inside) >= LEAST_FILL * box[2:].prod()
        else filled
    )


def create(
    variant: str, weights: Weights, path: Path, device: torch.device, max_bytes: int
) -> STMTrack:
    """STMTrack with the weights read from `path`; ConfigurationError when they do not fit."""
    kind, settings = (STMTrack, COMPACT) if variant == 'compact' else (PublishedSTMTrack, PAPER)
    net = CompactSTMTrack() if variant == 'compact' else PaperSTMTrack()
    load_into(net, weights, path)
    return kind(net, settings, weights.calibration, device, max_bytes)
