"""How the published networks learn, as their papers say: one recipe each.

What each number is, and where it stands, is told in docs/training.md. Clips are cut as the compact
trackers': each target in a square of about four times its size, its first frame well centred.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets.anchors import AnchorMaps, Anchors
from memtrack_ros.nets.cells import at_cells, distances
from memtrack_ros.nets.cmedfl import CellMemory, CMEDFLQuery, FirstFrame, PaperCMEDFL
from memtrack_ros.nets.dmv import PaperDMV
from memtrack_ros.nets.memtrack import PaperMemTrack, written
from memtrack_ros.nets.samn import PaperSAMN
from memtrack_ros.nets.stmtrack import PaperSTMTrack
from memtrack_ros.scenes.textures import chance, uniform
from memtrack_ros.trackers.memtrack import SLOTS, TEMPLATE_SIDE
from memtrack_ros.training.clips import Clips, filled_boxes
from memtrack_ros.training.losses import POSITIVE, SMOOTH, focal, stmtrack_loss

BOXES = 0.5  # share of clips whose first mask is a box, where a paper begins with boxes
ALIKE = 0.7  # IoU of a shifted box with the true one from which MemTrack's cell is positive
HARDEST = 0.4  # share of the pixels that SAMN's loss is of
FEWEST, MOST = 2, 5  # frames of DMV's clips
MIDDLE = 1  # pixels that the authors count the crop's middle less


class PaperRecipe(NamedTuple):
    """How one published network learns.

    `length` is how many frames a clip has at the share `done` of the training; `losses` of clips
    by name, told that share; `share` by how much of the `rate` of a step, of all `steps`, a
    parameter learns then.
    """

    net: Callable[[], nn.Module]
    side: int  # of a crop, pixels
    batch: int  # clips a step
    steps: int
    length: Callable[[float], int]
    losses: Callable[[Any, Clips, float, torch.Generator], dict[str, Tensor]]
    optimiser: Callable[[Iterable[dict[str, Any]]], torch.optim.Optimizer]
    rate: Callable[[int, int], float]
    share: Callable[[str, float], float]  # of the rate, by a parameter's name; 0 stands still
    clip: float | None = None  # norm that gradients are clipped to


# MemTrack: section 4.1.


def memtrack_losses(
    net: PaperMemTrack, clips: Clips, done: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Sigmoid cross entropy of all cells, positive and negative ones alike in sum."""
    length = clips.present.shape[1]
    template = net.template(around(clips, 0, TEMPLATE_SIDE))
    memory, signals = net.controller.start(template, SLOTS)
    total = clips.boxes.new_zeros(())
    for number in range(1, length):
        memory = written(memory, signals, template)
        response, signals = net.answer(memory, clips.crops[:, number])
        total = total + balanced(response[:, 0], likeness(clips, number, response.shape[-1]))
        template = net.template(around(clips, number, TEMPLATE_SIDE))
    return {'response': total / (length - 1)}


def likeness(clips: Clips, number: int, cells: int) -> Tensor:
    """Whether the target, moved to a cell, overlaps itself by ALIKE: (B, cells, cells), 0 or 1."""
    boxes = clips.boxes[:, number]
    size = boxes[:, 2:] - boxes[:, :2]
    axis = (clips.crops.shape[-1] - 1) / 2 + 8 * (
        torch.arange(cells, device=boxes.device) - (cells - 1) / 2
    )
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    over = (size[:, :, None] - (axis - middle[:, :, None]).abs()).clamp_min(0)
    both = over[:, 1, :, None] * over[:, 0, None, :]
    whole = size.prod(1)[:, None, None]
    alike = both / (2 * whole - both).clamp_min(1e-6) > ALIKE
    return (alike & clips.present[:, number, None, None]).float()


def balanced(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits (B, h, w), half of it of the positive, half of the negative ones."""
    entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction='none')
    positive = (entropy * labels).sum() / labels.sum().clamp_min(1)
    negative = (entropy * (1 - labels)).sum() / (1 - labels).sum().clamp_min(1)
    return (positive + negative) / 2


def around(clips: Clips, number: int, side: int) -> Tensor:
    """Crops (B, 3, side, side) of one frame's crops around the target; the border is repeated."""
    crops, boxes = clips.crops[:, number], clips.boxes[:, number]
    extent = crops.shape[-1]
    known = clips.present[:, number, None]
    middle = torch.where(known, (boxes[:, :2] + boxes[:, 2:]) / 2, (extent - 1) / 2)
    steps = torch.arange(side, device=crops.device) - (side - 1) / 2
    at = (middle[..., None] + steps + 0.5) * 2 / extent - 1
    grid = torch.stack(
        [at[:, 0, None].expand(-1, side, -1), at[:, 1, :, None].expand(-1, -1, side)], -1
    )
    return F.grid_sample(crops, grid, padding_mode='border', align_corners=False)


# STMTrack: section 4.1.


def stmtrack_losses(
    net: PaperSTMTrack, clips: Clips, done: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Classification, centre-ness and box of the last frame, from a memory of those before.

    The authors shuffle the frames, as moments of a clip are drawn in any order; labels are boxes.
    """
    side = clips.crops.shape[-1]
    remembered, asked = clips.crops[:, :-1], clips.crops[:, -1]
    boxes = filled_boxes(clips.boxes[:, :-1], side) * clips.present[:, :-1, None, None]
    count, frames = remembered.shape[:2]
    cells = net.memorise(remembered.flatten(0, 1), boxes.flatten(0, 1)[:, None])
    memory = cells.unflatten(0, (count, frames)).transpose(1, 2).flatten(2)
    used = torch.ones(count, memory.shape[-1], dtype=torch.bool, device=memory.device)
    maps = net.answer(memory, used, net.query(asked)).maps
    return stmtrack_loss(
        maps,
        clips.boxes[:, -1],
        clips.present[:, -1],
        stride=net.head.stride,
        offset=net.head.offset,
    )


# DMV: section 3.4.


def dmv_losses(
    net: PaperDMV, clips: Clips, done: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Anchors of all frames but the first; the further from that, the more a frame counts."""
    count, length = clips.present.shape
    queries = [net.query(clips.crops[:, number]) for number in range(length)]
    values = [net.first_value(queries[0].key, clips.boxes[:, 0], None)]
    used = torch.ones(count, length, dtype=torch.bool, device=clips.boxes.device)
    total: dict[str, Tensor] = {}
    for number in range(1, length):
        keys = torch.stack([query.key for query in queries[:number]], 1)
        answer = net.answer(keys, torch.stack(values, 1), used[:, :number], queries[number])
        parts = hardest_anchors(
            answer.maps, net.head.anchors, clips.boxes[:, number], clips.present[:, number]
        )
        weight = 2 * number / (length * (length - 1))
        for name, part in parts.items():
            total[name] = total.get(name, part.new_zeros(())) + weight * part
        values.append(net.found_value(queries[number].key, answer))
    return total


def hardest_anchors(
    maps: AnchorMaps, anchors: Anchors, boxes: Tensor, present: Tensor
) -> dict[str, Tensor]:
    """Focal loss of positive anchors and as many negative ones, the hardest; and smooth L1.

    As `anchor_loss`, which has all negatives.
    """
    height, width = maps.logits.shape[-2:]
    matched = (anchors.overlap(boxes, height, width) > POSITIVE) | (
        anchors.best(boxes, height, width) > 0
    )
    positive = matched & present[:, None, None, None]
    count = int(positive.sum())
    logits = maps.logits.float()
    negatives = logits[~positive]
    chosen = torch.cat(
        [logits[positive], negatives.topk(min(max(count, 1), len(negatives))).values]
    )
    labels = (torch.arange(len(chosen), device=chosen.device) < count).float()
    centre = focal(chosen, labels, alpha=0.5, gamma=2.0).sum()
    exact = anchors.displacements(boxes, height, width)
    offset = F.smooth_l1_loss(maps.displacements, exact, reduction='none', beta=SMOOTH).sum(2)
    return {'centre': centre / max(count, 1), 'box': (offset * positive).sum() / max(count, 1)}


# SAMN: section III-E.


def samn_losses(
    net: PaperSAMN, clips: Clips, done: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Frame after frame is segmented from those before, as they were segmented.

    First with stills and affine copies of them, then with frames of videos.
    """
    if done < 0.5:
        clips = copies(generator, clips)
    count, length = clips.present.shape
    side = clips.crops.shape[-1]
    middle = clips.boxes.new_full((count, 2), side / 2 - MIDDLE)
    distance = distances(middle, side // net.stride, net.stride)
    label = first_labels(generator, clips)
    keys, values, total = [], [], clips.boxes.new_zeros(())
    for number in range(1, length):
        cells = net.memorise(clips.crops[:, number - 1], label)
        keys.append(cells.key.flatten(2))
        values.append(cells.value.flatten(2))
        key, value = torch.cat(keys, 2), torch.cat(values, 2)
        used = torch.ones(count, key.shape[-1], dtype=torch.bool, device=key.device)
        logit = net.answer(key, value, used, net.query(clips.crops[:, number]), distance)
        truth = clips.masks[:, number, None]
        entropy = F.binary_cross_entropy_with_logits(logit, truth, reduction='none').flatten(1)
        hardest = entropy.topk(max(1, int(HARDEST * entropy.shape[1])), 1).values
        label = logit.sigmoid()
        total = total + hardest.mean() + mask_iou_loss(label, truth)
    return {'mask': total / (length - 1)}


def mask_iou_loss(found: Tensor, truth: Tensor) -> Tensor:
    """How little soft masks (B, 1, S, S) overlap the true ones."""
    both = (found * truth).sum((1, 2, 3))
    either = (found + truth - found * truth).sum((1, 2, 3))
    return (1 - (both + 1) / (either + 1)).mean()


def copies(generator: torch.Generator, clips: Clips) -> Clips:
    """Clips that stand still: the first frame, turned, sheared and scaled anew in every other."""
    count, length = clips.present.shape
    side = clips.crops.shape[-1]
    turn = uniform(generator, -0.35, 0.35, count, length)
    size = uniform(generator, 0.8, 1.25, count, length)
    shear, shift = (uniform(generator, -0.15, 0.15, count, length, n) for n in (1, 2))
    turn[:, 0], size[:, 0], shear[:, 0], shift[:, 0] = 0, 1, 0, 0
    cos, sin = turn.cos() * size, turn.sin() * size
    rows = [torch.stack([cos, -sin + shear[..., 0]], -1), torch.stack([sin, cos], -1)]
    matrix = torch.cat([torch.stack(rows, -2), shift[..., None]], -1).flatten(0, 1)
    grid = F.affine_grid(matrix, [count * length, 1, side, side], align_corners=False)

    def again(picture: Tensor, padding: str) -> Tensor:
        flat = picture[:, None].expand(-1, length, -1, -1, -1).flatten(0, 1)
        moved = F.grid_sample(flat, grid, padding_mode=padding, align_corners=False)
        clip: Tensor = moved.unflatten(0, (count, length))
        return clip

    masks = again(clips.masks[:, :1], 'zeros')[:, :, 0]
    present = clips.present[:, :1].expand(-1, length)
    boxes = clips.boxes[:, :1].expand(-1, length, -1)
    crops = again(clips.crops[:, 0], 'border')
    return Clips(crops, masks, boxes, present, clips.exact[:, :1].expand(-1, length))


def first_labels(generator: torch.Generator, clips: Clips) -> Tensor:
    """The masks (B, 1, S, S) of first frames; of BOXES of them, and where unknown, the box."""
    side = clips.crops.shape[-1]
    as_box = chance(generator, BOXES, len(clips.present)) | ~clips.exact[:, 0]
    filled = filled_boxes(clips.boxes[:, 0], side)
    return torch.where(as_box[:, None, None], filled, clips.masks[:, 0])[:, None]


# CMEDFL: section IV-A; D3S, section 3.4.


def cmedfl_losses(
    net: PaperCMEDFL, clips: Clips, done: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Cross entropy of both channels of the second frame of a pair."""
    first, second = (of_frozen(net, clips.crops[:, number]) for number in (0, 1))
    count, side = len(clips.present), first.cells.shape[-1]
    label = at_cells(clips.masks[:, 0, None], side)
    share = torch.cat([label, 1 - label], 1).flatten(2)
    used = torch.ones(count, side**2, dtype=torch.bool, device=label.device)
    middle = clips.boxes.new_full((count, 2), clips.crops.shape[-1] / 2 - MIDDLE)
    logits = net.logits(
        CellMemory(first.cells.flatten(2), share, used),
        FirstFrame(first.cells, label),
        second,
        distances(middle, side, net.stride),
    )
    truth = clips.masks[:, 1, None]
    both = torch.cat([truth, 1 - truth], 1)
    return {'mask': F.binary_cross_entropy_with_logits(logits, both)}


def of_frozen(net: PaperCMEDFL, crops: Tensor) -> CMEDFLQuery:
    """Cells of crops, of a backbone that stands still in all it keeps."""
    net.backbone.eval()
    return net.query(crops)


def warm_cosine(step: int, steps: int) -> float:
    """STMTrack: from 1e-2 to 8e-2 in the first of 20 epochs, then along a cosine to 1e-6."""
    first = max(1, steps // 20)
    if step < first:
        return 1e-2 + (8e-2 - 1e-2) * step / first
    done = (step - first) / max(1, steps - first)
    return 1e-6 + (8e-2 - 1e-6) * (1 + math.cos(math.pi * done)) / 2


def trunk_later(name: str, done: float) -> float:
    """STMTrack: a tenth for the trunks, which stand still for ten epochs, the stems for good."""
    if not name.startswith('trunk') or 'label' in name:
        return 1.0
    return 0.1 if done >= 0.5 and 'Mixed' in name else 0.0


def sgd(decay: float) -> Callable[[Iterable[dict[str, Any]]], torch.optim.Optimizer]:
    """With momentum .9 and this weight decay."""
    return lambda groups: torch.optim.SGD(list(groups), lr=0.0, momentum=0.9, weight_decay=decay)


def adam(decay: float = 0.0) -> Callable[[Iterable[dict[str, Any]]], torch.optim.Optimizer]:
    """Adam with this weight decay."""
    return lambda groups: torch.optim.Adam(list(groups), lr=0.0, weight_decay=decay)


PAPER_RECIPES = {
    'stmtrack': PaperRecipe(
        net=PaperSTMTrack,
        side=289,
        batch=64,
        steps=20 * 300_000 // 64,
        length=lambda done: 4,
        losses=stmtrack_losses,
        optimiser=sgd(1e-4),
        rate=warm_cosine,
        share=trunk_later,
    ),
    'memtrack': PaperRecipe(
        net=PaperMemTrack,
        side=255,
        batch=8,
        steps=100_000,
        length=lambda done: 16,
        losses=memtrack_losses,
        optimiser=adam(1e-4),
        rate=lambda step, steps: 1e-4 * 0.8 ** (step // max(1, steps // 10)),
        share=lambda name, done: 1.0,
        clip=20.0,
    ),
    'dmv': PaperRecipe(
        net=PaperDMV,
        side=256,
        batch=16,
        steps=32_000,
        length=lambda done: min(MOST, FEWEST + int(5 * done)),
        losses=dmv_losses,
        optimiser=sgd(5e-4),
        rate=lambda step, steps: 1e-3 * 0.05 ** (5 * step / steps),
        share=lambda name, done: 1.0,
    ),
    'samn': PaperRecipe(
        net=PaperSAMN,
        side=384,
        batch=4,
        steps=100_000,
        length=lambda done: 3,
        losses=samn_losses,
        optimiser=adam(),
        rate=lambda step, steps: 1e-5,
        share=lambda name, done: float(done < 0.5 or not name.startswith('encoder')),
    ),
    'cmedfl': PaperRecipe(
        net=PaperCMEDFL,
        side=384,
        batch=64,
        steps=60_000,
        length=lambda done: 2,
        losses=cmedfl_losses,
        optimiser=adam(),
        rate=lambda step, steps: 8e-4 * 0.2 ** (step // max(1, steps // 4)),
        share=lambda name, done: float(not name.startswith('backbone')),
    ),
}
