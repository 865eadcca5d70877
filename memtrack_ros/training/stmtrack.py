"""STMTrack's training step; the losses are the paper's and the mask's."""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.compact import STRIDE
from memtrack_ros.nets.heads import Answer
from memtrack_ros.nets.stmtrack import CompactSTMTrack
from memtrack_ros.training.clips import Clips, label_maps, label_of
from memtrack_ros.training.losses import box_and_mask_loss
from memtrack_ros.training.recipe import Recipe, Seen, best_boxes, joined, kept, latest


def ask(net: CompactSTMTrack, clips: Clips, seen: Seen, generator: torch.Generator) -> Answer:
    """Answers to all frames but the first, (B * (T - 1), …)."""
    count, length = clips.present.shape
    label = label_maps(generator, clips)
    used = torch.ones(count, dtype=torch.bool, device=label.device)
    cells, valid, answers = [], [], []
    for number in range(1, length):
        remembered = net.cells_of(net.trunk.merge(seen.levels_at(number - 1), label)).flatten(2)
        cells.append(remembered)
        valid.append(used[:, None].expand(-1, remembered.shape[-1]))
        answer = net.answer(
            torch.cat(latest(cells), 2), torch.cat(latest(valid), 1), seen.features_at(number)
        )
        answers.append(answer)
        found = best_boxes(answer)
        label, used = label_of(found.mask), kept(found.score)
    joint: Answer = joined(answers)
    return joint


def losses(net: CompactSTMTrack, answer: Answer, clips: Clips) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    return box_and_mask_loss(answer, clips, stride=STRIDE, offset=net.head.offset)


RECIPE = Recipe(CompactSTMTrack, ask, losses, best_boxes)
