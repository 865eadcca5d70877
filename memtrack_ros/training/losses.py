"""Losses of the trackers' trainings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.nets.anchors import AnchorMaps, Anchors
from memtrack_ros.nets.heads import Answer, BoxMaps, cell_centres
from memtrack_ros.training.clips import Clips, half_size

POSITIVE = 0.5  # IoU of an anchor with the truth
# Displacement beyond which smooth L1 is linear: Faster R-CNN's sigma of 3.
SMOOTH = 1 / 9


def focal(logits: Tensor, target: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Focal loss of every element (Lin et al. 2017): `target` in {0, 1}, same shape as `logits`."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction='none')
    probability = torch.sigmoid(logits)
    missed = probability + target - 2 * probability * target
    weight = alpha * target + (1 - alpha) * (1 - target)
    return weight * missed.pow(gamma) * cross_entropy


def inside_distances(boxes: Tensor, height: int, width: int, stride: int, offset: float) -> Tensor:
    """Distances (B, 4, H, W) of every cell to the left, top, right and bottom side of `boxes`.

    Boxes are (B, 4: x1, y1, x2, y2).
    """
    cells = cell_centres(height, width, stride, offset, boxes.device)
    corners = boxes[:, :, None, None]
    return torch.cat([cells - corners[:, :2], corners[:, 2:] - cells], 1)


def stmtrack_loss(
    maps: BoxMaps, boxes: Tensor, present: Tensor, *, stride: int, offset: float
) -> dict[str, Tensor]:
    """STMTrack's losses (paper eq. 9): classification, centre-ness, -log IoU of positive cells.

    `boxes` (B, 4: x1, y1, x2, y2) in crop pixels; `present` (B,) bool, false where there is nothing
    to be found. A cell is positive when it lies strictly inside the box.
    """
    height, width = maps.classification.shape[-2:]
    distances = inside_distances(boxes, height, width, stride, offset)
    positive = (distances.amin(1, keepdim=True) > 0) & present[:, None, None, None]
    count = positive.sum().clamp_min(1)
    left, top, right, bottom = distances.clamp_min(1e-3).unbind(1)
    centreness = (
        torch.minimum(left, right)
        / torch.maximum(left, right)
        * torch.minimum(top, bottom)
        / torch.maximum(top, bottom)
    ).sqrt()[:, None]
    overlap = corner_iou(maps.boxes, boxes[:, :, None, None])[:, None]
    classification = (
        focal(maps.classification.float(), positive.float(), alpha=0.75, gamma=2.0).sum() / count
    )
    centred = F.binary_cross_entropy_with_logits(
        maps.centreness.float(), centreness, reduction='none'
    )
    entropy = torch.special.entr(centreness) + torch.special.entr(1 - centreness)
    return {
        'classification': classification,
        'centreness': ((centred - entropy) * positive).sum() / count,
        'box': 3 * (-(overlap.clamp_min(1e-4)).log() * positive).sum() / count,
    }


def box_and_mask_loss(
    answer: Answer, clips: Clips, *, stride: int, offset: float
) -> dict[str, Tensor]:
    """STMTrack's losses and the mask's, of the answers to all frames but the first."""
    boxes, present = clips.boxes[:, 1:].flatten(0, 1), clips.present[:, 1:].flatten()
    parts = stmtrack_loss(answer.maps, boxes, present, stride=stride, offset=offset)
    assert answer.mask is not None
    parts['mask'] = query_mask_loss(answer.mask, clips)
    return parts


def query_mask_loss(logits: Tensor, clips: Clips) -> Tensor:
    """`mask_loss` of the mask logits (N, 1, S/2, S/2) of all N frames but the clips' first."""
    masks, exact = clips.masks[:, 1:].flatten(0, 1), clips.exact[:, 1:].flatten()
    return mask_loss(logits, half_size(masks), exact)


def anchor_loss(
    maps: AnchorMaps, anchors: Anchors, boxes: Tensor, present: Tensor
) -> dict[str, Tensor]:
    """DMV's losses: focal for the centre scores, smooth L1 for the displacements (eq. 2 to 5).

    `boxes` (B, 4: x1, y1, x2, y2) in crop pixels; `present` (B,) bool, false where there is nothing
    to be found. Positive is an anchor whose IoU is above POSITIVE, and the best one; the paper
    gives no threshold. It has as many negatives as positives, the hardest. From random weights
    these outdo the positives, and every score stays at 0.5: here all count, as in STMTrack's loss.
    """
    height, width = maps.logits.shape[-2:]
    matched = (anchors.overlap(boxes, height, width) > POSITIVE) | (
        anchors.best(boxes, height, width) > 0
    )
    positive = (matched & present[:, None, None, None]).float()
    count = positive.sum().clamp_min(1)
    centre = focal(maps.logits.float(), positive, alpha=0.75, gamma=2.0).sum()
    exact = anchors.displacements(boxes, height, width)
    offset = F.smooth_l1_loss(maps.displacements, exact, reduction='none', beta=SMOOTH).sum(2)
    return {'centre': centre / count, 'box': 2 * (offset * positive).sum() / count}


def mask_loss(logits: Tensor, mask: Tensor, exact: Tensor) -> Tensor:
    """Loss of mask logits (B, 1, H, W) against masks in 0..1: cross-entropy and soft IoU.

    Where a mask is not `exact` (B,) but its box, filled, `projection_loss` stands for both.
    """
    logits = logits.float()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, mask, reduction='none')
    probability = logits.sigmoid()
    both = (probability * mask).sum((1, 2, 3))
    either = (probability + mask - probability * mask).sum((1, 2, 3))
    full = 4 * cross_entropy.mean((1, 2, 3)) + 1 - (both + 1) / (either + 1)
    return torch.where(exact, full, projection_loss(probability, mask)).mean()


def projection_loss(probability: Tensor, box: Tensor) -> Tensor:
    """How little the extent of masks along x and y is that of filled boxes: (B,), 0 to 2.

    Dice losses of the projections onto either axis, by maximum (BoxInst, Tian et al. 2021). Of
    (B, 1, H, W) in 0..1 each.
    """
    total = torch.zeros(len(box), device=box.device)
    for axis in (2, 3):
        a, b = probability.amax(axis), box.amax(axis)
        both, either = (a * b).sum((1, 2)), (a.square() + b.square()).sum((1, 2))
        total = total + 1 - (2 * both + 1) / (either + 1)
    return total


def corner_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of boxes x1, y1, x2, y2 along dimension 1, broadcast over the rest."""
    low = torch.maximum(a[:, :2], b[:, :2])
    high = torch.minimum(a[:, 2:], b[:, 2:])
    both = (high - low).clamp_min(0).prod(1)
    area_a = (a[:, 2:] - a[:, :2]).clamp_min(0).prod(1)
    area_b = (b[:, 2:] - b[:, :2]).clamp_min(0).prod(1)
    return both / (area_a + area_b - both).clamp_min(1e-6)
