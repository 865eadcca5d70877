"""What the training of one tracker is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memtrack_ros.nets.compact import CompactTrunk, Features
from memtrack_ros.nets.efficientnet import Levels
from memtrack_ros.nets.heads import Answer
from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.training.clips import Clips

REMEMBERED = 0.5  # score from which an answer is remembered in training
LATEST = 4  # frames that are read beside the first


class Seen(NamedTuple):
    """What a trunk makes of clips of T frames: its body's levels and, without labels, features.

    Each is (B, T, ...).
    """

    levels: Levels
    features: Features

    @classmethod
    def by(cls, trunk: CompactTrunk, crops: Tensor) -> Seen:
        """What `trunk` makes of crops (B, T, 3, S, S)."""
        levels: Levels = trunk.body(crops.flatten(0, 1))
        features = trunk.merge(levels)
        count, length = crops.shape[:2]

        def clips(level: Tensor) -> Tensor:
            together: Tensor = level.unflatten(0, (count, length))
            return together

        return cls(Levels(*map(clips, levels)), Features(*map(clips, features)))

    def levels_at(self, number: int) -> Levels:
        """What the body made of all clips' frame `number`."""
        return Levels(*(level[:, number] for level in self.levels))

    def features_at(self, number: int) -> Features:
        """What the trunk made of all clips' frame `number`, without labels."""
        return Features(*(level[:, number] for level in self.features))


class Answers(NamedTuple):
    """What a network says of all N queries of clips.

    Boxes (N, 4: x1, y1, x2, y2) in crop pixels, scores (N,) in 0..1, mask logits (N, 1, S/2, S/2).
    """

    boxes: Tensor
    score: Tensor
    mask: Tensor


class Recipe(NamedTuple):
    """A tracker's compact network and what it learns of clips.

    `ask` follows the target of clips, as they were seen, from their first frame: frame after frame
    is answered from what is remembered of those before, then remembered as it was answered. The
    losses are those of its answers, by name.
    """

    net: Callable[[], nn.Module]
    ask: Callable[[Any, Clips, Seen, torch.Generator], Any]
    losses: Callable[[Any, Any, Clips], dict[str, Tensor]]
    answers: Callable[[Any], Answers]


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


def joined(answers: list[Any]) -> Any:
    """Answers (B, ...) to T frames, tuples of tensors and of tuples, as one of (B * T, ...)."""
    first = answers[0]
    if isinstance(first, Tensor):
        return torch.stack(answers, 1).flatten(0, 1)
    return type(first)(*(joined(list(parts)) for parts in zip(*answers, strict=True)))


def latest(frames: list[Tensor]) -> list[Tensor]:
    """The first of the frames and the LATEST of the others."""
    return [frames[0], *frames[1:][-LATEST:]]


def kept(score: Tensor) -> Tensor:
    """Which answers (B,) are remembered."""
    return score.detach() >= REMEMBERED
