"""Training clips: what a tracker would cut from video, with truth, and where they come from."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.textures import chance, uniform

# Share of the target that must be seen for a frame to count as showing it.
SEEN = 0.15
DRAWN_ERROR = 0.03  # of the target's size: how inexact a drawn box is
PEAK_ERROR = 0.2  # of the target's size
PEAK_ASTRAY = 0.05  # share of the frames


class Clips(NamedTuple):
    """Crops (B, T, 3, S, S), RGB 0..255, with their truth.

    Masks (B, T, S, S) in 0..1, boxes (B, T, 4: x1, y1, x2, y2) in pixels, presence (B, T). Where a
    frame is not `exact` (B, T), only the box is known: the mask is the box, filled.
    """

    crops: Tensor
    masks: Tensor
    boxes: Tensor
    present: Tensor
    exact: Tensor

    def pointed_at(self) -> Clips:
        """The clips whose first frame shows the target, repeated so that their number stays."""
        usable = self.present[:, 0].nonzero()[:, 0]
        chosen = usable[torch.arange(len(self.present), device=usable.device) % len(usable)]
        return Clips(*(part[chosen] for part in self))


class ClipSource(Protocol):
    """Where training clips come from."""

    def draw(
        self,
        generator: torch.Generator,
        count: int,
        side: int,
        length: int,
        strength: float,
    ) -> Clips:
        """Draw `count` clips of `length` crops of `side` x `side` pixels.

        On the generator's device. The first shows the target near its middle, the others less
        well centred; one of these in five is taken from elsewhere, where there is no target.
        `strength` 0..1 says how difficult they are made.
        """
        ...


def filled_boxes(boxes: Tensor, side: int) -> Tensor:
    """The masks (..., side, side) that boxes (..., 4: x1, y1, x2, y2) fill: 0 or 1."""
    axis = torch.arange(side, device=boxes.device)
    inside_x = (axis > boxes[..., :1]) & (axis < boxes[..., 2:3])
    inside_y = (axis > boxes[..., 1:2]) & (axis < boxes[..., 3:4])
    return (inside_y[..., None] & inside_x[..., None, :]).float()


def label_maps(generator: torch.Generator, clips: Clips, box_label: float = 1.0) -> Tensor:
    """Label maps (B, 1, S, S) of the first frames.

    The mask, or the box filled with `box_label`, as inexact as someone draws it.
    """
    masks, boxes = clips.masks[:, 0], clips.boxes[:, 0]
    size = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 2)
    boxes = boxes + DRAWN_ERROR * uniform(generator, -1, 1, *boxes.shape) * size
    filled = box_label * filled_boxes(boxes, masks.shape[-1])
    as_box = chance(generator, 0.5, len(masks)) | ~clips.exact[:, 0]
    return torch.where(as_box[:, None, None], filled, masks)[:, None]


def label_of(logits: Tensor, *, soft: bool = False) -> Tensor:
    """The label maps (B, 1, S, S) that found masks become, of their logits (B, 1, S/2, S/2).

    Without gradients, in 0 or 1, unless they stay `soft`.
    """
    probability = F.interpolate(
        logits.detach().float().sigmoid(), scale_factor=2, mode='bilinear', align_corners=False
    )
    return probability if soft else (probability > 0.5).float()


def peaks(generator: torch.Generator, clips: Clips) -> Tensor:
    """Where a correlation filter would see the target of every frame, (B, T, 2: x, y).

    Near its centre, now and then somewhere else; anywhere where there is none.
    """
    side = clips.crops.shape[-1]
    size = clips.boxes[..., 2:] - clips.boxes[..., :2]
    centre = (clips.boxes[..., :2] + clips.boxes[..., 2:]) / 2
    near = centre + PEAK_ERROR * size * uniform(generator, -1, 1, *centre.shape)
    astray = chance(generator, PEAK_ASTRAY, *clips.present.shape) | ~clips.present
    anywhere = side * uniform(generator, 0, 1, *centre.shape)
    return torch.where(astray[..., None], anywhere, near)


def half_size(masks: Tensor) -> Tensor:
    """Masks (N, S, S) at half the size, (N, 1, S/2, S/2)."""
    return F.avg_pool2d(masks[:, None], 2)
