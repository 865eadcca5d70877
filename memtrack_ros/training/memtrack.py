"""MemTrack's training step: templates are written one by one, each followed by a query.

As the paper's clips of 16 frames, but of 3 templates and 3 queries; the losses are those of the
compact network's box head and mask.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.compact import BOX_LABEL, CROP, STRIDE, Features
from memtrack_ros.nets.heads import Answer, BoxMaps
from memtrack_ros.nets.memtrack import TEMPLATE_CROP, CompactMemTrack, MemTrackQuery, written
from memtrack_ros.trackers.memtrack import SLOTS
from memtrack_ros.training.clips import Clips, label_maps
from memtrack_ros.training.losses import box_and_mask_loss
from memtrack_ros.training.recipe import Answers, Recipe, best_boxes, frames_of

MEMORY = QUERIES = 3


def ask(net: CompactMemTrack, clips: Clips, generator: torch.Generator) -> Answer:
    """Answers to all queries of the clips, (B * QUERIES, …)."""
    side = clips.crops.shape[-1]
    edge = (side - side * TEMPLATE_CROP // CROP) // 2
    middle = slice(edge, side - edge)
    labels = label_maps(generator, clips, MEMORY, BOX_LABEL)[..., middle, middle]
    crops = clips.crops[:, :MEMORY, :, middle, middle]
    templates = frames_of(net.template(crops.flatten(0, 1), labels.flatten(0, 1)), MEMORY)
    query = net.query(clips.crops[:, MEMORY:].flatten(0, 1))
    memory, signals = net.controller.start(templates[:, 0], SLOTS)
    answers = []
    for step in range(QUERIES):
        memory = written(memory, signals, templates[:, step])
        levels = Features(*(frames_of(level, QUERIES)[:, step] for level in query.levels))
        seen = MemTrackQuery(frames_of(query.cells, QUERIES)[:, step], levels)
        (maps, mask), signals = net.answer(memory, seen)
        assert mask is not None
        answers.append((*maps, mask))
    *parts, mask = (torch.stack(steps, 1).flatten(0, 1) for steps in zip(*answers, strict=True))
    return Answer(BoxMaps(*parts), mask)


def losses(net: CompactMemTrack, clips: Clips, generator: torch.Generator) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    answer = ask(net, clips, generator)
    return box_and_mask_loss(answer, clips, MEMORY, stride=STRIDE, offset=net.head.offset)


def answers(net: CompactMemTrack, clips: Clips, generator: torch.Generator) -> Answers:
    """What the network says of the queries."""
    return best_boxes(ask(net, clips, generator))


RECIPE = Recipe(CompactMemTrack, MEMORY, QUERIES, losses, answers)
