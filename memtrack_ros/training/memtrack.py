"""MemTrack's training step: templates are written one by one, as the controller says.

As the paper's clips of 16 frames, but shorter; the losses are those of the compact network's box
head and mask.
"""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.compact import BOX_LABEL, STRIDE
from memtrack_ros.nets.heads import Answer
from memtrack_ros.nets.memtrack import SIDE, CompactMemTrack, TemplateMemory, target_share, written
from memtrack_ros.trackers.memtrack import SLOTS
from memtrack_ros.training.clips import Clips, label_maps, label_of
from memtrack_ros.training.losses import box_and_mask_loss
from memtrack_ros.training.recipe import Recipe, Seen, best_boxes, joined, kept


def ask(net: CompactMemTrack, clips: Clips, seen: Seen, generator: torch.Generator) -> Answer:
    """Answers to all frames but the first, (B * (T - 1), …)."""
    length = clips.present.shape[1]
    queries = [net.query_of(seen.features_at(number)) for number in range(length)]
    label, boxes = label_maps(generator, clips, BOX_LABEL), clips.boxes[:, 0]
    template = template_at(queries[0].cells, label, boxes)
    memory, signals = net.controller.start(template, SLOTS)
    used = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    answers: list[Answer] = []
    for number in range(1, length):
        memory = where(used, written(memory, signals, template), memory)
        answer, signals = net.answer(memory, queries[number])
        answers.append(answer)
        found = best_boxes(answer)
        label, used = label_of(found.mask), kept(found.score)
        template = template_at(queries[number].cells, label, found.boxes.detach())
    joint: Answer = joined(answers)
    return joint


def template_at(cells: Tensor, labels: Tensor, boxes: Tensor) -> Tensor:
    """Templates (B, C, n, n): the cells (B, C, h, w) around boxes (B, 4: x1, y1, x2, y2), labelled.

    Label maps are (B, 1, S, S). The cell nearest to a box's centre becomes the template's middle.
    """
    marked = cells * target_share(labels)
    before = SIDE // 2
    around = torch.nn.functional.pad(marked, (before, SIDE - 1 - before) * 2)
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2 / STRIDE).round().long()
    centre = centre.clamp(0, cells.shape[-1] - 1)
    across = torch.arange(SIDE, device=cells.device)
    batch = torch.arange(len(cells), device=cells.device)[:, None, None]
    rows, columns = centre[:, 1, None] + across, centre[:, :1] + across
    template: Tensor = around[batch, :, rows[:, :, None], columns[:, None]]
    return template.permute(0, 3, 1, 2)


def where(used: Tensor, new: TemplateMemory, old: TemplateMemory) -> TemplateMemory:
    """The `new` memory where a frame is `used` (B,), the `old` one elsewhere."""
    parts = (
        torch.where(used.view(-1, *[1] * (a.dim() - 1)), a, b)
        for a, b in zip(new, old, strict=True)
    )
    return TemplateMemory(*parts)


def losses(net: CompactMemTrack, answer: Answer, clips: Clips) -> dict[str, Tensor]:
    """All losses of one batch, by name."""
    return box_and_mask_loss(answer, clips, stride=STRIDE, offset=net.head.offset)


RECIPE = Recipe(CompactMemTrack, ask, losses, best_boxes)
