"""How well features tell which cells are the same thing: they carry a mask from frame to frame.

A mask of one frame is propagated to later ones by the cells most like each, nothing else (after
Jabri et al., *Space-time correspondence as a contrastive random walk*, NeurIPS 2020).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.nets.compact import STRIDE, CompactTrunk

SIZE = 432, 240  # pixels of the frames that are compared, width and height
LIKE = 7  # cells that say what a cell is
SHARPNESS = 0.07  # temperature of their votes
APART = {'near': 5, 'mid': 25, 'far': 50}  # frames between the two
PAIRS = 4  # of each sequence and distance


class Propagated(NamedTuple):
    """Mean IoU in pixels of propagated masks, by how far apart the frames are."""

    near: float
    mid: float
    far: float

    def __str__(self) -> str:
        return ', '.join(f'{name} {value:.3f}' for name, value in self._asdict().items())


@torch.inference_mode()
def probe(trunk: CompactTrunk, folder: Path) -> Propagated:
    """What the `trunk` propagates in the sequences with masks in `folder`.

    Raises ConfigurationError where none has.
    """
    overlaps: dict[str, list[float]] = {name: [] for name in APART}
    for sequence in read_sequences(folder):
        if sequence.masks is None:
            continue
        for name, apart in APART.items():
            last = len(sequence) - 1 - apart
            for number in np.unique(np.linspace(0, max(last, 0), PAIRS).round().astype(int)):
                later = min(number + apart, len(sequence) - 1)
                first, second = (_cells(trunk, sequence.frame(n)) for n in (number, later))
                found = propagated(first, sequence.mask(number), second)
                overlaps[name].append(_overlap(found, sequence.mask(later)))
    if not all(overlaps.values()):
        raise ConfigurationError(
            f'{folder}: no sequence with masks in it; set --probe to a folder of some.'
        )
    return Propagated(**{name: float(np.mean(values)) for name, values in overlaps.items()})


def propagated(first: Tensor, mask: Pixels, second: Tensor) -> Pixels:
    """The mask (H, W) 0/255 of a frame whose cells are `second` (C, h, w), of that of `first`."""
    height, width = second.shape[-2:]
    shown = torch.from_numpy(cv2.resize(mask, SIZE, interpolation=cv2.INTER_AREA)).float() / 255
    share = F.avg_pool2d(
        shown[None, None], STRIDE + 1, STRIDE, STRIDE // 2, count_include_pad=False
    ).flatten()
    likeness, which = (second.flatten(1).T @ first.flatten(1)).topk(LIKE, 1)
    votes = ((likeness / SHARPNESS).softmax(1) * share[which]).sum(1)
    # Cell i stands at pixel 8 i.
    beyond = F.pad(votes.view(1, 1, height, width), (0, 1, 0, 1), mode='replicate')
    size = STRIDE * height + 1, STRIDE * width + 1
    fine = F.interpolate(beyond, size, mode='bilinear', align_corners=True)[0, 0, :-1, :-1]
    soft = cv2.resize(fine.numpy(), mask.shape[::-1])
    return np.asarray((soft > 0.5) * 255, np.uint8)


def _cells(trunk: CompactTrunk, frame: Pixels) -> Tensor:
    """The trunk's centred cells of one length (C, h, w) of a frame at SIZE."""
    small = cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)
    crop = torch.from_numpy(small[..., ::-1].copy()).permute(2, 0, 1)[None].float()
    cells = trunk(crop).eighth[0]
    return F.normalize(cells - cells.mean((1, 2), keepdim=True), dim=0)


def _overlap(a: Pixels, b: Pixels) -> float:
    both, either = ((a > 0) & (b > 0)).sum(), ((a > 0) | (b > 0)).sum()
    return float(both / max(either, 1))
