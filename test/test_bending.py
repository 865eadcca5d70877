"""Clips that turn and bend: their first frame stays, masks and crops go together."""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.training.bending import BENT, TURN, BentClips, bending
from memtrack_ros.training.clips import Clips

COUNT, LENGTH, SIDE = 32, 6, 48


def clips(strength: float, among: float = 1.0) -> tuple[Tensor, ...]:
    """Clips of a bar whose colour is its mask, before and after, and what is left of it."""
    masks = torch.zeros(COUNT, LENGTH, SIDE, SIDE)
    masks[..., 20:28, 8:40] = 1
    crops = masks[:, :, None].expand(-1, -1, 3, -1, -1).clone()
    generator = torch.Generator().manual_seed(2)
    chosen = torch.rand(COUNT, generator=generator) < among
    bent = bending(generator, chosen, LENGTH, strength)
    assert not bent.bent[~chosen].any()
    return bent.bent, masks, *bent.of(crops, masks, torch.zeros(COUNT, LENGTH, 3))


def angle(mask: Tensor) -> float:
    """Of a mask's longer axis, in 0..pi."""
    place = mask.nonzero().float()
    (row, column), least = torch.linalg.eigh(place.T.cov()).eigenvectors[:, 1], torch.pi
    return float(torch.atan2(row, column)) % least


def test_first_frames_are_straight_and_crops_go_with_their_masks() -> None:
    bent, before, crops, masks, left = clips(1.0)
    assert 0.25 < bent.float().mean() < 0.75
    assert torch.allclose(masks[:, 0], before[:, 0], atol=1e-4)
    assert torch.allclose(crops, masks[:, :, None].expand_as(crops).clamp(0, 1), atol=1e-5)
    assert torch.equal(masks[~bent], before[~bent])
    assert ((masks[bent, 1:] - before[bent, 1:]).abs().sum((2, 3)) > 1).float().mean() > 0.9
    assert left.min() >= 0
    assert left.max() <= 1
    assert (left[:, 0] > 0.999).all()


class Bars:
    """A source of clips of that bar, in the second half of which only boxes are known."""

    def draw(
        self, generator: torch.Generator, count: int, side: int, length: int, strength: float
    ) -> Clips:
        masks = torch.zeros(count, length, side, side)
        masks[..., 20:28, 8:40] = 1
        present = torch.ones(count, length, dtype=torch.bool)
        exact = (torch.arange(count) < count // 2)[:, None].expand(-1, length)
        crops = 255 * masks[:, :, None].expand(-1, -1, 3, -1, -1)
        return Clips(crops, masks, boxes_of(masks > 0.5)[0], present, exact)


def test_clips_of_a_source_are_bent_where_their_masks_are_known() -> None:
    before = Bars().draw(torch.Generator(), COUNT, SIDE, LENGTH, 1.0)
    clips = BentClips(Bars()).draw(torch.Generator().manual_seed(2), COUNT, SIDE, LENGTH, 1.0)
    known = COUNT // 2
    for now, then in zip(clips, before, strict=True):
        assert torch.equal(now[known:], then[known:])
    boxes, filled = boxes_of(clips.masks > 0.5)
    assert torch.equal(boxes[clips.present], clips.boxes[clips.present])
    assert filled[clips.present].all()
    assert not clips.masks[~clips.present].any()
    assert (clips.boxes[:known] != before.boxes[:known]).any((1, 2)).float().mean() > BENT / 2


def test_some_turn_to_any_side_most_a_little() -> None:
    bent, _, _, masks, _ = clips(1.0)
    turns = torch.tensor([angle(mask > 0.5) for mask in masks[bent, 1:].flatten(0, 1)])
    turns = torch.minimum(turns, torch.pi - turns)
    assert turns.max() > TURN / 4
    assert turns.median() < TURN / 8


def test_without_strength_nothing_is_bent_and_what_may_not_be_never_is() -> None:
    _, before, _, masks, _ = clips(0.0)
    assert torch.allclose(masks, before, atol=1e-4)
    bent, _, _, masks, left = clips(1.0, among=0.0)
    assert not bent.any()
    assert torch.equal(masks, before)
    assert (left == 1).all()
    assert BENT < 1
