"""STMTrack's training step: labelled memory frames, then queries.

The losses are the paper's and the mask's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.compact import STRIDE, Features
from memtrack_ros.nets.heads import Answer
from memtrack_ros.nets.stmtrack import CompactSTMTrack
from memtrack_ros.scenes.textures import chance
from memtrack_ros.training.clips import Clips, label_maps
from memtrack_ros.training.losses import box_and_mask_loss
from memtrack_ros.training.recipe import Answers, Recipe, best_boxes, frames_of

MEMORY = 2
QUERIES = 2


def ask(net: CompactSTMTrack, clips: Clips, generator: torch.Generator) -> Answer:
    """Answers to all queries of the clips, (B * QUERIES, …).

    Memory and query frames pass the trunk together, so that batch normalisation sees both in
    training as in use. One clip in three has the first frame alone to remember.
    """
    count, length = clips.present.shape
    labels = torch.zeros(count, length, 1, *clips.masks.shape[-2:], device=clips.crops.device)
    labels[:, :MEMORY] = label_maps(generator, clips, MEMORY)
    features = net.trunk_features(clips.crops.flatten(0, 1), labels.flatten(0, 1))
    cells = net.neck_m(frames_of(features.eighth, length)[:, :MEMORY].flatten(0, 1))
    memory = cells.unflatten(0, (count, MEMORY)).permute(0, 2, 1, 3, 4).flatten(2)
    alone = chance(generator, 1 / 3, count)
    valid = torch.ones(
        count, MEMORY, memory.shape[2] // MEMORY, dtype=torch.bool, device=memory.device
    )
    valid[:, 1:] &= ~alone[:, None, None]
    query = Features(*(frames_of(level, length)[:, MEMORY:].flatten(0, 1) for level in features))
    return net.answer(
        memory.repeat_interleave(QUERIES, 0), valid.flatten(1).repeat_interleave(QUERIES, 0), query
    )


def losses(net: CompactSTMTrack, clips: Clips, generator: torch.Generator) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    answer = ask(net, clips, generator)
    return box_and_mask_loss(answer, clips, MEMORY, stride=STRIDE, offset=net.head.offset)


def answers(net: CompactSTMTrack, clips: Clips, generator: torch.Generator) -> Answers:
    """What the network says of the queries."""
    return best_boxes(ask(net, clips, generator))


RECIPE = Recipe(CompactSTMTrack, MEMORY, QUERIES, losses, answers)
