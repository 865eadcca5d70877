"""DMV's training step: frame after frame is answered from those before, then remembered as found.

The paper's clips grow from 2 frames to 5; these have 4. A frame's loss counts for the more, the
further it is from the first (section 3.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.compact import Features
from memtrack_ros.nets.dmv import Answer, CompactDMV, DMVQuery
from memtrack_ros.scenes.textures import chance
from memtrack_ros.training.clips import Clips, half_size
from memtrack_ros.training.losses import anchor_loss, mask_loss
from memtrack_ros.training.recipe import Answers, Recipe, frames_of

MEMORY = 2
QUERIES = 2


def ask(net: CompactDMV, clips: Clips, generator: torch.Generator) -> list[Answer]:
    """The answer to every frame of the clips but the first.

    Of half the clips the first mask is not told, as when someone draws a box.
    """
    length = MEMORY + QUERIES
    seen = net.query(clips.crops.flatten(0, 1))
    assert seen.levels is not None
    key = frames_of(seen.key, length)
    told = clips.exact[:, 0] & chance(generator, 0.5, len(key))
    mask = (2 * half_size(clips.masks[:, 0]) - 1) * told[:, None, None, None]
    values = [net.first_value(key[:, 0], clips.boxes[:, 0], mask)]
    answers = []
    for number in range(1, length):
        levels = Features(*(frames_of(level, length)[:, number] for level in seen.levels))
        valid = torch.ones(len(key), number, dtype=torch.bool, device=key.device)
        query = DMVQuery(key[:, number], levels)
        answer = net.answer(key[:, :number], torch.stack(values, 1), valid, query)
        answers.append(answer)
        values.append(net.found_value(key[:, number], answer))
    return answers


def losses(net: CompactDMV, clips: Clips, generator: torch.Generator) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    answers = ask(net, clips, generator)
    total: dict[str, Tensor] = {}
    for number, answer in enumerate(answers, 1):
        parts = anchor_loss(
            answer.maps, net.head.anchors, clips.boxes[:, number], clips.present[:, number]
        )
        assert answer.mask is not None
        mask, exact = half_size(clips.masks[:, number]), clips.exact[:, number]
        parts['mask'] = 2 * mask_loss(answer.mask, mask, exact)
        weight = 2 * number / (len(answers) * (len(answers) + 1))
        for name, part in parts.items():
            total[name] = total.get(name, part.new_zeros(())) + weight * part
    return total


def answers(net: CompactDMV, clips: Clips, generator: torch.Generator) -> Answers:
    """What the network says of the queries."""
    boxes, scores, masks = [], [], []
    for answer in ask(net, clips, generator)[MEMORY - 1 :]:
        score, best = answer.maps.score.flatten(1).max(1)
        corners = answer.maps.boxes.transpose(1, 2).flatten(2)
        boxes.append(corners[torch.arange(len(best), device=best.device), :, best])
        scores.append(score)
        assert answer.mask is not None
        masks.append(answer.mask)
    return Answers(*(torch.stack(found, 1).flatten(0, 1) for found in (boxes, scores, masks)))


RECIPE = Recipe(CompactDMV, MEMORY, QUERIES, losses, answers)
