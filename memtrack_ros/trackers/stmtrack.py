"""STMTrack (Fu, Liu, Fu, Wang: STMTrack, CVPR 2021): space-time memory of whole frames, read by every query cell."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut, paste
from memtrack_ros.memory import SampledFrames
from memtrack_ros.nets.stmtrack import Answer, CompactSTMTrack
from memtrack_ros.trackers.tracker import Estimate, Observation, Prior, Target, Tracker
from memtrack_ros.weights.files import Calibration

SEARCH = 4.0  # side of the search window over sqrt(w h) of the target


@dataclass(frozen=True)
class Settings:
    """Inference of one variant, in the names of the authors' configuration."""

    side: int  # of the crop, pixels
    penalty_k: float
    window_influence: float
    test_lr: float
    confident: float  # score above which the last frame is read
    smallest: float  # pixels, of a side of the box


COMPACT = Settings(side=192, penalty_k=0.04, window_influence=0.21, test_lr=0.95, confident=0.6, smallest=3.0)


class STMTrack(Tracker):
    """The tracker of both variants; they differ in the network and its Settings."""

    name = 'stmtrack'

    def __init__(
        self, net: CompactSTMTrack, variant: str, settings: Settings, capacity: int, calibration: Calibration,
        device: torch.device, max_bytes: int,
    ) -> None:
        """Allocate the bank for `capacity` frames; ConfigurationError when it is over `max_bytes`."""
        self.variant, self.settings, self.calibration, self.device = variant, settings, calibration, device
        self.segments = True
        grid = settings.side // net.head.stride
        self.bank = SampledFrames(capacity, net.channels, grid * grid, confident=settings.confident,
                                  max_bytes=max_bytes, device=device)
        self.net = net.to(device).eval()
        hanning = np.hanning(grid + 2)[1:-1]
        self._hanning = np.outer(hanning, hanning)
        self._border = np.zeros(3)

    def initialise(self, frame: Pixels, target: Target) -> Observation:
        """Memorise the target's frame. A box alone is first segmented by the memory it makes, as SAMN does (§3.4)."""
        self.bank.clear()
        self._border = np.floor(frame.mean((0, 1)))
        mask = target.mask
        if mask is None:
            filled = boxes.box_mask(target.box, *frame.shape[:2])
            self.bank.write(self._memorise(frame, target.box, filled), 1.0)
            seen = self.locate(frame, Prior(target.box))
            mask = _pseudo_mask(seen.mask, target.box)
            if mask is None:
                return Observation(seen.score, target.box, filled)
            self.bank.clear()
        self.bank.write(self._memorise(frame, target.box, mask), 1.0)
        return Observation(self.locate(frame, Prior(target.box)).score, target.box, mask)

    @torch.inference_mode()
    def locate(self, frame: Pixels, prior: Prior) -> Observation:
        """One query (paper §3.2 to 3.5): read, classify every cell, penalise change, answer with the best."""
        window, crop = self._crop(frame, prior.box, prior.search)
        answer = self.net.answer(*self.bank.read(), self.net.query(self._to_device(crop)))
        score, box = self._best(answer, prior, window)
        width, height = frame.shape[1], frame.shape[0]
        centre = np.clip(boxes.centre(box), 0, [width, height])
        size = np.clip(box[2:], self.settings.smallest, [width, height])
        probability = answer.mask[0, 0].float().sigmoid().cpu().numpy()
        mask = np.where(paste(probability, window, height, width) > 0.5, 255, 0).astype(np.uint8)
        return Observation(score, boxes.from_centre(centre, size), mask)

    @torch.inference_mode()
    def remember(self, frame: Pixels, estimate: Estimate, observation: Observation) -> None:
        """Memorise a fresh crop around the estimate, labelled with its mask."""
        self.bank.write(self._memorise(frame, observation.box, observation.mask), observation.score)

    @torch.inference_mode()
    def _memorise(self, frame: Pixels, box: Floats, mask: Pixels) -> Tensor:
        """Feature (C, H, W) of the crop around `box`, its label map cut from `mask` (H, W) 0/255."""
        window, crop = self._crop(frame, box, 1.0)
        label = torch.from_numpy(cut(mask, window, 0)).to(self.device).float()[None, None] / 255
        return self.net.memorise(self._to_device(crop), label)[0]

    def _crop(self, frame: Pixels, box: Floats, search: float) -> tuple[Window, Pixels]:
        """The search window around `box`, SEARCH * `search` times its sqrt(w h) wide, and what it shows."""
        pitch = SEARCH * search * float(np.sqrt(box[2:].prod())) / self.settings.side
        window = Window(*boxes.centre(box), pitch=pitch, side=self.settings.side)
        return window, cut(frame, window, self._border)

    def _to_device(self, crop: Pixels) -> Tensor:
        """A BGR crop as RGB floats (1, 3, S, S) 0..255 on the device."""
        image = torch.from_numpy(crop).to(self.device).permute(2, 0, 1)[None]
        return image.flip(1).float()

    def _best(self, answer: Answer, prior: Prior, window: Window) -> tuple[float, Floats]:
        """Score and box (frame) of the cell that is best after the penalty for change and the window's preference."""
        grid = len(self._hanning)
        score = answer.maps.score[0, 0].float().cpu().numpy()
        corners = answer.maps.boxes[0].cpu().numpy().transpose(1, 2, 0)
        size = corners[..., 2:] - corners[..., :2]
        penalty = change_penalty(size, prior.box[2:] / window.pitch, self.settings.penalty_k)
        influence = self.settings.window_influence if prior.search == 1.0 else 0.0
        preferred = penalty * score * (1 - influence) + self._hanning * influence
        row, column = divmod(int(preferred.argmax()), grid)
        rate = float(penalty[row, column] * score[row, column]) * self.settings.test_lr
        found = corners[row, column].astype(float)
        new_size = (1 - rate) * prior.box[2:] + rate * (found[2:] - found[:2]) * window.pitch
        return float(score[row, column]), boxes.from_centre(window.to_frame((found[:2] + found[2:]) / 2), new_size)


def change_penalty(size: NDArray[np.floating], before: Floats, penalty_k: float) -> NDArray[np.floating]:
    """exp(-k (r s - 1)) for sizes (..., 2): s how much sqrt((w + p)(h + p)), p = (w + h) / 2, changed; r the aspect."""

    def padded(wh: NDArray[np.floating]) -> NDArray[np.floating]:
        pad = wh.sum(-1, keepdims=True) / 2
        return np.asarray(np.sqrt((wh + pad).prod(-1)))

    def change(ratio: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(np.maximum(ratio, 1 / ratio))

    scale = change(padded(size) / padded(before))
    aspect = change((before[0] / before[1]) / (size[..., 0] / size[..., 1]))
    return np.asarray(np.exp(-penalty_k * (aspect * scale - 1)))


def _pseudo_mask(mask: Pixels, box: Floats) -> Pixels | None:
    """What was segmented within the box, dilated a little; None where that is too little to be the object."""
    height, width = mask.shape
    dilation = max(5, round(0.05 * float(box[2:].min()))) | 1
    room = cv2.dilate(boxes.box_mask(box, height, width), np.ones((dilation, dilation), np.uint8))
    inside = cv2.bitwise_and(mask, room)
    enough = cv2.countNonZero(inside) >= 0.2 * float(box[2:].prod())
    return np.asarray(inside, np.uint8) if enough else None


def compact(device: torch.device) -> tuple[CompactSTMTrack, Settings, int]:
    """Network, settings and bank capacity of the compact variant."""
    return CompactSTMTrack(), COMPACT, 128
