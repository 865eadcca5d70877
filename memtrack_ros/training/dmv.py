"""DMV's training step.

A frame's loss counts for the more, the further it is from the first (section 3.4).
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.dmv import CompactDMV, DMVAnswer
from memtrack_ros.scenes.textures import chance
from memtrack_ros.training.clips import Clips, half_size
from memtrack_ros.training.losses import anchor_loss, mask_loss
from memtrack_ros.training.recipe import Answers, Recipe, Seen, joined, kept, latest


def ask(net: CompactDMV, clips: Clips, seen: Seen, generator: torch.Generator) -> list[DMVAnswer]:
    """The answer to every frame of the clips but the first.

    Of half the clips the first mask is not told, as when someone draws a box.
    """
    count, length = clips.present.shape
    queries = [net.query_of(seen.features_at(number)) for number in range(length)]
    told = clips.exact[:, 0] & chance(generator, 0.5, count)
    mask = (2 * half_size(clips.masks[:, 0]) - 1) * told[:, None, None, None]
    values = [net.first_value(queries[0].key, clips.boxes[:, 0], mask)]
    valid = [torch.ones_like(told)]
    answers: list[DMVAnswer] = []
    for number in range(1, length):
        keys = [query.key for query in queries[:number]]
        read_keys, read_values, in_use = (
            torch.stack(latest(held), 1) for held in (keys, values, valid)
        )
        answer = net.answer(read_keys, read_values, in_use, queries[number])
        answers.append(answer)
        values.append(net.found_value(queries[number].key, answer))
        valid.append(kept(answer.maps.score.flatten(1).amax(1)))
    return answers


def losses(net: CompactDMV, answers: list[DMVAnswer], clips: Clips) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
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


def best_anchors(answers: list[DMVAnswer]) -> Answers:
    """The best anchor's box and score, and the mask, of all frames."""
    answer: DMVAnswer = joined(answers)
    score, best = answer.maps.score.flatten(1).max(1)
    corners = answer.maps.boxes.transpose(1, 2).flatten(2)
    assert answer.mask is not None
    boxes = corners[torch.arange(len(best), device=best.device), :, best]
    return Answers(boxes, score, answer.mask)


RECIPE = Recipe(CompactDMV, ask, losses, best_anchors)
