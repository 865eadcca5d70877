"""SAMN's training step: queries segmented from the masked frames before.

The filter, which is not trained, is stood in for by a peak near the target's centre. The paper goes
through three frames with the masks it found; here the masks of the memory are given, and as inexact
as found ones, the box among them: so the start from a box is learnt, too. What the filter sees, the
trunk, stays as it began.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.cells import distances
from memtrack_ros.nets.compact import BOX_LABEL, STRIDE
from memtrack_ros.nets.samn import CompactSAMN
from memtrack_ros.scenes.textures import chance
from memtrack_ros.training.clips import Clips, label_maps, peaks
from memtrack_ros.training.losses import query_mask_loss
from memtrack_ros.training.recipe import Answers, Recipe, frames_of, mask_boxes

MEMORY = 2
QUERIES = 2


def ask(net: CompactSAMN, clips: Clips, generator: torch.Generator) -> Tensor:
    """Mask logits of all queries of the clips, (B * QUERIES, 1, S/2, S/2).

    One clip in three has the first frame alone to remember.
    """
    count, side = len(clips.present), clips.crops.shape[-1]
    labels = label_maps(generator, clips, MEMORY, BOX_LABEL)
    cells = net.memorise(clips.crops[:, :MEMORY].flatten(0, 1), labels.flatten(0, 1))
    keys, values = (frames_of(x, MEMORY).transpose(1, 2).flatten(2) for x in cells)
    valid = torch.ones(count, MEMORY, keys.shape[2] // MEMORY, dtype=torch.bool, device=keys.device)
    valid[:, 1:] &= ~chance(generator, 1 / 3, count)[:, None, None]
    peak = peaks(generator, clips)[:, MEMORY:].flatten(0, 1)
    keys, values, valid = (
        x.repeat_interleave(QUERIES, 0) for x in (keys, values, valid.flatten(1))
    )
    query = net.query(clips.crops[:, MEMORY:].flatten(0, 1))
    return net.answer(keys, values, valid, query, distances(peak, side // STRIDE, STRIDE))


def losses(net: CompactSAMN, clips: Clips, generator: torch.Generator) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    return {'mask': query_mask_loss(ask(net, clips, generator), clips, MEMORY)}


def answers(net: CompactSAMN, clips: Clips, generator: torch.Generator) -> Answers:
    """What the network says of the queries."""
    return mask_boxes(ask(net, clips, generator))


RECIPE = Recipe(CompactSAMN, MEMORY, QUERIES, losses, answers, still='trunk')
