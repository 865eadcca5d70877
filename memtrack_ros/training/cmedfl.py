"""CMEDFL's training step: queries segmented from the cells of the frames before.

The filter, which is not trained, is stood in for by a peak near the target's centre. What it sees,
the trunk, stays as it began.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.cells import at_cells, distances, moved
from memtrack_ros.nets.cmedfl import CMEDFLQuery, CompactCMEDFL, First, Memory
from memtrack_ros.nets.compact import STRIDE, Features
from memtrack_ros.scenes.textures import chance
from memtrack_ros.training.clips import Clips, label_maps, peaks
from memtrack_ros.training.losses import query_mask_loss
from memtrack_ros.training.recipe import Answers, Recipe, frames_of, mask_boxes

MEMORY = 2
QUERIES = 2


def ask(net: CompactCMEDFL, clips: Clips, generator: torch.Generator) -> Tensor:
    """Mask logits of all queries of the clips, (B * QUERIES, 1, S/2, S/2).

    One clip in three has the first frame alone to remember.
    """
    count, length = clips.present.shape
    side = clips.crops.shape[-1]
    cells = side // STRIDE
    seen = net.query(clips.crops.flatten(0, 1))
    frames = frames_of(seen.cells, length)
    labels = label_maps(generator, clips, MEMORY)
    target = at_cells(labels.flatten(0, 1), cells)
    keys = frames[:, :MEMORY].transpose(1, 2).flatten(2)
    values = torch.cat([target, 1 - target], 1)
    values = frames_of(values, MEMORY).transpose(1, 2).flatten(2)
    valid = torch.ones(count, MEMORY, cells**2, dtype=torch.bool, device=keys.device)
    valid[:, 1:] &= ~chance(generator, 1 / 3, count)[:, None, None]

    def repeated(x: Tensor) -> Tensor:
        return x.repeat_interleave(QUERIES, 0)

    peak = peaks(generator, clips)[:, MEMORY:].flatten(0, 1)
    corners = clips.boxes[:, 0]
    shift = peak - repeated((corners[:, :2] + corners[:, 2:]) / 2)
    expected = at_cells(moved(repeated(labels[:, 0]), shift), cells)
    levels = (frames_of(level, length)[:, MEMORY:].flatten(0, 1) for level in seen.features[:3])
    query = CMEDFLQuery(frames[:, MEMORY:].flatten(0, 1), Features(*levels))
    return net.answer(
        Memory(repeated(keys), repeated(values), repeated(valid.flatten(1))),
        First(repeated(frames[:, 0]), expected),
        query,
        distances(peak, cells, STRIDE),
    )


def losses(net: CompactCMEDFL, clips: Clips, generator: torch.Generator) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    return {'mask': query_mask_loss(ask(net, clips, generator), clips, MEMORY)}


def answers(net: CompactCMEDFL, clips: Clips, generator: torch.Generator) -> Answers:
    """What the network says of the queries."""
    return mask_boxes(ask(net, clips, generator))


RECIPE = Recipe(CompactCMEDFL, MEMORY, QUERIES, losses, answers, still='trunk')
