"""SAMN's training step.

The filter, which is not trained, is stood in for by a peak near the target's centre. The paper goes
through three frames with the masks it found; here clips are longer. A box stands for the first mask
in half the clips: so the start from a box is learnt, too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.cells import distances
from memtrack_ros.nets.compact import BOX_LABEL, STRIDE
from memtrack_ros.nets.samn import CompactSAMN, SAMNQuery
from memtrack_ros.training.clips import Clips, label_maps, label_of, peaks
from memtrack_ros.training.losses import query_mask_loss
from memtrack_ros.training.recipe import Recipe, Seen, joined, kept, latest, mask_boxes


def ask(net: CompactSAMN, clips: Clips, seen: Seen, generator: torch.Generator) -> Tensor:
    """Mask logits of all frames but the first, (B * (T - 1), 1, S/2, S/2)."""
    count, length = clips.present.shape
    side = clips.crops.shape[-1]
    label = label_maps(generator, clips, BOX_LABEL)
    peak = peaks(generator, clips)
    used = torch.ones(count, dtype=torch.bool, device=label.device)
    keys, values, valid, answers = [], [], [], []
    for number in range(1, length):
        cells = net.cells_of(net.trunk.merge(seen.levels_at(number - 1), label))
        keys.append(cells.key.flatten(2))
        values.append(cells.value.flatten(2))
        valid.append(used[:, None].expand(-1, keys[-1].shape[-1]))
        features = seen.features_at(number)
        answer = net.answer(
            torch.cat(latest(keys), 2),
            torch.cat(latest(values), 2),
            torch.cat(latest(valid), 1),
            SAMNQuery(clips.crops[:, number], features, features.eighth),
            distances(peak[:, number], side // STRIDE, STRIDE),
        )
        answers.append(answer)
        label, used = label_of(answer), kept(mask_boxes(answer).score)
    joint: Tensor = joined(answers)
    return joint


def losses(net: CompactSAMN, mask: Tensor, clips: Clips) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    return {'mask': query_mask_loss(mask, clips)}


RECIPE = Recipe(CompactSAMN, ask, losses, mask_boxes)
