"""What the training of one tracker is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memtrack_ros.nets.heads import Answer
from memtrack_ros.training.clips import Clips, boxes_of


class Answers(NamedTuple):
    """What a network says of all N queries of clips.

    Boxes (N, 4: x1, y1, x2, y2) in crop pixels, scores (N,) in 0..1, mask logits (N, 1, S/2, S/2).
    """

    boxes: Tensor
    score: Tensor
    mask: Tensor


class Recipe(NamedTuple):
    """A tracker's compact network, the clips it learns from and what it learns."""

    net: Callable[[], nn.Module]
    memory: int  # frames of a clip that are remembered
    queries: int  # frames of a clip in which the target is to be found
    losses: Callable[[Any, Clips, torch.Generator], dict[str, Tensor]]
    answers: Callable[[Any, Clips, torch.Generator], Answers]
    still: str = 'trunk.body'  # of the network's modules: stays as it began, where that was given


def best_boxes(answer: Answer) -> Answers:
    """The best cell's box and score, and the mask."""
    score, cell = answer.maps.score.flatten(1).max(1)
    boxes = answer.maps.boxes.flatten(2)[torch.arange(len(cell), device=cell.device), :, cell]
    assert answer.mask is not None
    return Answers(boxes, score, answer.mask)


def mask_boxes(mask: Tensor) -> Answers:
    """The answer of a network that only segments: the box around the mask, its mean probability."""
    inside = mask[:, 0] > 0
    boxes, _ = boxes_of(inside)
    probability = (mask[:, 0].float().sigmoid() * inside).sum((1, 2))
    # A mask pixel is two crop pixels wide.
    return Answers(2 * boxes + 0.5, probability / inside.sum((1, 2)).clamp_min(1), mask)


def frames_of(level: Tensor, length: int) -> Tensor:
    """Maps of all frames (B * length, …) by clip: (B, length, …)."""
    frames: Tensor = level.unflatten(0, (-1, length))
    return frames
