"""How trackers learn: they follow clips from memories that hold their own answers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memtrack_ros.nets.heads import Answer, BoxMaps
from memtrack_ros.nets.memtrack import SIDE as TEMPLATE
from memtrack_ros.nets.memtrack import TemplateMemory
from memtrack_ros.training import recipe as recipes
from memtrack_ros.training.__main__ import RECIPES
from memtrack_ros.training.beginning import begin_with
from memtrack_ros.training.clips import Clips
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.loop import PEAK_RATE, own_parameters, trunk_of
from memtrack_ros.training.memtrack import template_at, where
from memtrack_ros.training.recipe import (
    LATEST,
    Answers,
    Seen,
    best_boxes,
    joined,
    kept,
    latest,
    mask_boxes,
)

COUNT, LENGTH, SIDE = 2, 4, 64
"""Clips of a batch, their frames, and pixels of their side: a third of those in use."""
OF_PEAKS = ('samn', 'cmedfl')
"""They are told where a filter would see their target, which takes its true box."""
WITHOUT_LABEL = {'dmv', 'memtrack', 'cmedfl'}


def batch(seed: int = 11) -> Clips:
    generator = torch.Generator().manual_seed(seed)
    return DrawnClips(None).draw(generator, COUNT, SIDE, LENGTH, 1.0).pointed_at()


def network(tracker: str) -> nn.Module:
    torch.manual_seed(0)
    return RECIPES[tracker].net()


def trained(tracker: str) -> nn.Module:
    """Its shipped network: a random one thinks that all cells are alike, and reads any."""
    net = network(tracker)
    net.load_state_dict(begin_with(tracker))
    return net


def asked(tracker: str, net: nn.Module, clips: Clips) -> Any:
    """What it answers to clips; the same labels and peaks are drawn every time."""
    with torch.no_grad():
        seen = Seen.by(trunk_of(net), clips.crops)
    return RECIPES[tracker].ask(net, clips, seen, torch.Generator().manual_seed(0))


@torch.inference_mode()
def masks(tracker: str, net: nn.Module, clips: Clips) -> Tensor:
    """The mask logits (B, T - 1, S/2, S/2) of all frames but the first."""
    found = RECIPES[tracker].answers(asked(tracker, net.eval(), clips)).mask
    return found[:, 0].unflatten(0, (COUNT, LENGTH - 1))


def test_best_boxes_are_those_of_the_cells_with_the_highest_score() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2, 4, 3, 3, generator=generator)
    classification, centreness = torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    classification[0, 0, 1, 2] = math.log(3)
    classification[1, 0, 0, 0] = 2.0  # outdone, as its centre-ness is low
    centreness[1, 0, 0, 0], centreness[1, 0, 2, 0] = -2.0, math.log(3)
    mask = torch.randn(2, 1, 12, 12, generator=generator)
    answers = best_boxes(Answer(BoxMaps(classification, centreness, boxes), mask))
    assert answers.score.tolist() == pytest.approx([3 / 8, 3 / 8])
    assert torch.equal(answers.boxes, torch.stack([boxes[0, :, 1, 2], boxes[1, :, 2, 0]]))
    assert answers.mask is mask


def test_mask_boxes_are_around_the_masks_in_crop_pixels() -> None:
    mask = torch.full((2, 1, 8, 8), -5.0)
    mask[0, 0, 2:5, 3:6] = math.log(3)
    mask[0, 0, 2, 3] = math.log(9)
    answers = mask_boxes(mask)
    # The mask's pixels 3 .. 5 and 2 .. 4 are the crop's 6 .. 11 and 4 .. 9.
    assert answers.boxes[0].tolist() == [5.5, 3.5, 11.5, 9.5]
    assert answers.score.tolist() == pytest.approx([(8 * 0.75 + 0.9) / 9, 0])
    assert answers.mask is mask


def test_the_first_and_the_latest_frames_are_read() -> None:
    frames = [torch.tensor(number) for number in range(9)]
    assert latest(frames[:1]) == frames[:1]
    assert latest(frames[: LATEST + 1]) == frames[: LATEST + 1]
    assert latest(frames) == [frames[0], *frames[-LATEST:]]


def test_an_answer_is_remembered_from_half_on_and_its_score_learns_nothing_by_that() -> None:
    score = torch.tensor([0.0, 0.49, 0.5, 1.0], requires_grad=True)
    assert kept(score).tolist() == [False, False, True, True]
    assert not kept(score).requires_grad


def test_answers_of_frames_are_joined_clip_by_clip() -> None:
    def answer(number: int) -> Answer:
        """Clip 0 says 0, 1, …, clip 1 says 10, 11, … in its frames."""
        clips = torch.tensor([0.0, 10.0]) + number
        maps = BoxMaps(*(part * clips.view(2, 1, 1, 1) for part in (1, 2, 3)))
        return Answer(maps, clips.view(2, 1, 1, 1))

    found: Answer = joined([answer(number) for number in range(3)])
    expected = torch.tensor([0.0, 1, 2, 10, 11, 12]).view(6, 1, 1, 1)
    assert found.mask is not None and torch.equal(found.mask, expected)
    for times, part in enumerate(found.maps, 1):
        assert torch.equal(part, times * expected)


def test_templates_are_the_cells_around_a_box() -> None:
    # A cell says its place, 10 times its row and its column, and all is target.
    places = torch.arange(8.0)
    cells = (10 * places[:, None] + places).expand(3, 1, 8, 8)
    labels = torch.ones(3, 1, 64, 64)
    labels[2, :, :, 36:] = 0
    boxes = torch.tensor(
        [[14.0, 20, 34, 44], [-9.0, -9, 5, 5], [14.0, 20, 34, 44]]
    )  # centred on pixel (24, 32), on cell (3, 4), the first and last; beyond cell (0, 0)
    assert TEMPLATE == 6
    inner, corner, left = template_at(cells, labels, boxes)[:, 0]
    # The middle, place (3, 3) of 6 x 6, is row 4, column 3.
    assert inner[3, 3] == 43
    assert torch.equal(inner, 10 * torch.arange(1.0, 7)[:, None] + torch.arange(6.0))
    expected = torch.zeros(6, 6)
    expected[3:, 3:] = 10 * torch.arange(3.0)[:, None] + torch.arange(3.0)
    assert torch.equal(corner, expected)
    # Target up to pixel 35: all of column 3, pixels 20 to 28, and 8 of the 9 around pixel 32 but
    # the last, 4 of column 4: 28 to 36; nothing of column 5.
    assert torch.equal(left[:, :4], inner[:, :4])
    torch.testing.assert_close(left[:, 4], inner[:, 4] * 8 / 9)
    assert not left[:, 5].any()


def test_a_memory_stays_where_a_frame_is_not_used() -> None:
    shapes = (2, 1, 2, 2), (2, 3, 1, 2, 2), (2, 3), (2, 4), (2, 4)
    new, old = (
        TemplateMemory(*(torch.full(shape, value) for shape in shapes)) for value in (1.0, 0.0)
    )
    for part in where(torch.tensor([True, False]), new, old):
        assert part[0].eq(1).all() and part[1].eq(0).all()


def test_a_trunk_sees_every_frame_of_the_clips_it_is_shown() -> None:
    net = trunk_of(network('dmv')).eval()
    clips = batch()
    with torch.inference_mode():
        seen = Seen.by(net, clips.crops)
        for number in (0, LENGTH - 1):
            expected = net(clips.crops[:, number])
            for found, part in zip(seen.features_at(number), expected, strict=True):
                torch.testing.assert_close(found, part, rtol=1e-4, atol=1e-4)
            again = net.merge(seen.levels_at(number))
            torch.testing.assert_close(again.eighth, expected.eighth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('tracker', RECIPES)
def test_what_is_not_surely_seen_is_not_read_later(
    tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, clips = trained(tracker), batch()
    other = clips._replace(crops=clips.crops.clone())
    other.crops[:, 1] = clips.crops[:, 2]
    for threshold, remembered in ((1.1, False), (0.0, True)):
        monkeypatch.setattr(recipes, 'REMEMBERED', threshold)
        first, second = masks(tracker, net, clips), masks(tracker, net, other)
        assert not torch.equal(first[:, 0], second[:, 0])
        assert torch.equal(first[:, 1:], second[:, 1:]) != remembered


@pytest.mark.parametrize('tracker', RECIPES)
def test_the_truth_of_later_frames_is_not_told(
    tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipes, 'REMEMBERED', 0.0)
    net, clips = trained(tracker), batch()
    other = Clips(*(part.clone() for part in clips))
    other.masks[:, 1:] = 1 - other.masks[:, 1:]
    other.exact[:, 1:] = False
    if tracker not in OF_PEAKS:
        other.boxes[:, 1:] += 20
        other.present[:, 1:] = False
    assert torch.equal(masks(tracker, net, clips), masks(tracker, net, other))


@pytest.mark.parametrize('tracker', RECIPES)
def test_every_parameter_in_use_learns_from_a_batch(tracker: str) -> None:
    net = network(tracker)
    answer = asked(tracker, net, clips := batch())
    parts = RECIPES[tracker].losses(net, answer, clips)
    assert all(part.shape == () and part.isfinite() for part in parts.values())
    torch.stack(list(parts.values())).sum().backward()
    gradients = {name: p.grad for name, p in own_parameters(net).items()}
    unused = {'trunk.label.weight'} if tracker in WITHOUT_LABEL else set()
    assert {name for name, grad in gradients.items() if grad is None} == unused
    learnt = {name: grad for name, grad in gradients.items() if grad is not None}
    assert all(grad.isfinite().all() for grad in learnt.values())
    # What a bias does to all alike before a normalisation or a softmax is undone there: it learns
    # nothing but rounding.
    assert not [name for name, grad in learnt.items() if not (grad.any() or 'bias' in name)]


@pytest.mark.parametrize('tracker', RECIPES)
@torch.inference_mode()
def test_every_frame_is_answered_with_a_box_a_score_and_a_mask(tracker: str) -> None:
    found = RECIPES[tracker].answers(asked(tracker, network(tracker).eval(), batch()))
    frames = COUNT * (LENGTH - 1)
    assert isinstance(found, Answers)
    assert found.boxes.shape == (frames, 4)
    assert found.score.shape == (frames,)
    assert found.mask.shape == (frames, 1, SIDE // 2, SIDE // 2)
    assert all(part.isfinite().all() for part in found)
    assert 0 <= found.score.min() <= found.score.max() <= 1


@pytest.mark.parametrize('tracker', RECIPES)
def test_ten_steps_on_one_batch_lower_its_loss(tracker: str) -> None:
    net, clips = network(tracker), batch()
    optimiser = torch.optim.AdamW(own_parameters(net).values(), PEAK_RATE)
    losses = []
    for _ in range(10):
        parts = RECIPES[tracker].losses(net, asked(tracker, net, clips), clips)
        total = torch.stack(list(parts.values())).sum()
        losses.append(total.item())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert losses[-1] < 0.9 * losses[0]
