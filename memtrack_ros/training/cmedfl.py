"""CMEDFL's training step.

The filter, which is not trained, is stood in for by a peak near the target's centre. Cells are
remembered as they come, none is merged or discarded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.cells import at_cells, distances, moved
from memtrack_ros.nets.cmedfl import CellMemory, CompactCMEDFL, FirstFrame
from memtrack_ros.nets.compact import STRIDE
from memtrack_ros.training.clips import Clips, label_maps, label_of, peaks
from memtrack_ros.training.losses import query_mask_loss
from memtrack_ros.training.recipe import Recipe, Seen, joined, kept, latest, mask_boxes


def ask(net: CompactCMEDFL, clips: Clips, seen: Seen, generator: torch.Generator) -> Tensor:
    """Mask logits of all frames but the first, (B * (T - 1), 1, S/2, S/2)."""
    count, length = clips.present.shape
    side = clips.crops.shape[-1] // STRIDE
    first = label = label_maps(generator, clips)
    peak = peaks(generator, clips)
    corners = clips.boxes[:, 0]
    centre = (corners[:, :2] + corners[:, 2:]) / 2
    used = torch.ones(count, dtype=torch.bool, device=label.device)
    queries = [net.query_of(seen.features_at(number)) for number in range(length)]
    keys, values, valid, answers = [], [], [], []
    for number in range(1, length):
        share = at_cells(label, side)
        keys.append(queries[number - 1].cells.flatten(2))
        values.append(torch.cat([share, 1 - share], 1).flatten(2))
        valid.append(used[:, None].expand(-1, side**2))
        expected = at_cells(moved(first, peak[:, number] - centre), side)
        answer = net.answer(
            CellMemory(*(torch.cat(latest(held), -1) for held in (keys, values, valid))),
            FirstFrame(queries[0].cells, expected),
            queries[number],
            distances(peak[:, number], side, STRIDE),
        )
        answers.append(answer)
        label, used = label_of(answer, soft=True), kept(mask_boxes(answer).score)
    joint: Tensor = joined(answers)
    return joint


def losses(net: CompactCMEDFL, mask: Tensor, clips: Clips) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    return {'mask': query_mask_loss(mask, clips)}


RECIPE = Recipe(CompactCMEDFL, ask, losses, mask_boxes)
