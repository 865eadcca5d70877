"""Training: clips with truth that fits, losses worked by hand, a run that stops and goes on."""

from __future__ import annotations

import json
import math
import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.anchors import AnchorMaps, Anchors
from memtrack_ros.nets.compact import CompactTrunk
from memtrack_ros.nets.efficientnet import EfficientNetLite0
from memtrack_ros.nets.heads import Answer, BoxMaps
from memtrack_ros.training import loop, stmtrack
from memtrack_ros.training.__main__ import RECIPES, begin_with
from memtrack_ros.training.calibrate import fit
from memtrack_ros.training.clips import (
    PEAK_ASTRAY,
    PEAK_ERROR,
    Clips,
    boxes_of,
    label_maps,
    peaks,
)
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.losses import anchor_loss, corner_iou, focal, mask_loss, stmtrack_loss
from memtrack_ros.training.recipe import best_boxes, mask_boxes
from memtrack_ros.training.workers import Workers
from memtrack_ros.weights.files import Calibration, load_weights

COUNT, SIDE = 4, 96
"""Clips of a batch, and pixels of their side: half as many as in use."""
UNUSED = {
    # For trackers that label the crops they remember.
    'dmv': {'trunk.label.weight'},
    'memtrack': {'trunk.label.weight'},
    'cmedfl': {'trunk.label.weight'},
}


def batch(tracker: str) -> Clips:
    """Clips for a tracker's recipe."""
    recipe, generator = RECIPES[tracker], torch.Generator().manual_seed(11)
    clips = DrawnClips(None).draw(generator, COUNT, SIDE, recipe.memory, recipe.queries, 1.0)
    return clips.pointed_at()


def test_boxes_of_masks_by_hand() -> None:
    masks = torch.zeros(2, 8, 10, dtype=torch.bool)
    masks[0, 2:5, 3:9] = True
    boxes, filled = boxes_of(masks)
    assert boxes[0].tolist() == [2.5, 1.5, 8.5, 4.5]
    assert filled.tolist() == [True, False]


def test_clips_hold_what_they_say() -> None:
    generator = torch.Generator().manual_seed(11)
    clips = DrawnClips(None).draw(generator, 16, 64, 2, 2, 1.0)
    assert clips.crops.shape == (16, 4, 3, 64, 64)
    assert 0 <= clips.crops.min() <= clips.crops.max() <= 255
    boxes, filled = boxes_of(clips.masks > 0.5)
    assert torch.equal(filled, clips.present)
    assert torch.equal(boxes[filled], clips.boxes[filled])
    assert not clips.present[:, 2:].all()
    usable = clips.pointed_at()
    assert usable.present.shape == clips.present.shape
    assert usable.present[:, 0].all()
    labels = label_maps(generator, usable, 2)
    # A label, mask or box, covers most of its mask.
    covered = (labels[:, 0, 0] * usable.masks[:, 0]).sum((1, 2)) / usable.masks[:, 0].sum((1, 2))
    assert covered.min() > 0.6
    half = label_maps(generator, usable, 2, box_label=0.5).amax((2, 3, 4))
    assert {0.5, 1.0} <= set(half.unique().tolist())


def test_focal_loss_by_hand() -> None:
    # p = 0.5: 0.75 (1 - 0.5)^2 ln 2 where positive, 0.25 0.5^2 ln 2 where negative.
    loss = focal(torch.zeros(2), torch.tensor([1.0, 0.0]), alpha=0.75, gamma=2.0)
    assert loss.tolist() == pytest.approx([0.75 * 0.25 * math.log(2), 0.25 * 0.25 * math.log(2)])


def test_corner_iou_by_hand() -> None:
    a = torch.tensor([[0.0, 0, 10, 10]])
    b = torch.tensor([[5.0, 0, 15, 10]])
    assert corner_iou(a, b).item() == pytest.approx(50 / 150)


def test_a_perfect_answer_has_no_loss_and_an_absent_target_no_box_loss() -> None:
    box = torch.tensor([[4.0, 4.0, 28.0, 28.0]])
    cells = 4  # of stride 8: 0, 8, 16, 24; strictly inside: 8, 16, 24
    inside = torch.zeros(1, 1, cells, cells)
    inside[..., 1:, 1:] = 1
    sure = 30.0 * (2 * inside - 1)
    # Centre-ness by hand: distances 4 : 20, 12 : 12, 20 : 4 along each axis.
    ratio = torch.tensor([4 / 20, 1.0, 4 / 20])
    centred = torch.zeros(1, 1, cells, cells)
    centred[..., 1:, 1:] = (ratio[:, None] * ratio).sqrt()
    maps = BoxMaps(
        sure, torch.logit(centred.clamp(1e-6, 1 - 1e-6)), box[..., None, None].expand(-1, -1, 4, 4)
    )
    perfect = stmtrack_loss(maps, box, torch.tensor([True]), stride=8, offset=0.0)
    assert {name: value.item() for name, value in perfect.items()} == pytest.approx(
        {'classification': 0, 'centreness': 0, 'box': 0}, abs=1e-4
    )
    absent = stmtrack_loss(maps, box, torch.tensor([False]), stride=8, offset=0.0)
    assert absent['box'] == absent['centreness'] == 0
    assert absent['classification'] > 1


def test_mask_loss_prefers_the_mask() -> None:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    exact = torch.tensor([True])
    assert mask_loss(20 * (2 * mask - 1), mask, exact).item() == pytest.approx(0, abs=1e-3)
    # All wrong: cross-entropy 20 (times 4), IoU (0 + 1) / (64 + 1).
    wrong = mask_loss(20 * (1 - 2 * mask), mask, exact).item()
    assert wrong == pytest.approx(80 + 1 - 1 / 65, rel=1e-3)


def test_where_only_the_box_is_known_any_mask_that_spans_it_will_do() -> None:
    box = torch.zeros(1, 1, 8, 8)
    box[..., 2:6, 1:4] = 1
    corner = torch.zeros(1, 1, 8, 8)
    corner[..., 2:6, 1], corner[..., 5, 1:4] = 1, 1
    inexact = torch.tensor([False])

    def loss(mask: torch.Tensor) -> float:
        return mask_loss(20 * (2 * mask - 1), box, inexact).item()

    assert loss(box) == loss(corner) == pytest.approx(0, abs=1e-6)
    # Two columns of three, and one beside: 2 x 2 + 1 over 3 + 3 + 1; the rows are right.
    assert loss(box.roll(1, 3)) == pytest.approx(1 - 5 / 7)
    # Nothing: 1 over 3 + 1 and 1 over 4 + 1.
    assert loss(0 * box) == pytest.approx(3 / 4 + 4 / 5)
    # One of each: the mean.
    both = torch.cat([0 * box, 0 * box])
    half = mask_loss(20 * (2 * both - 1), torch.cat([box, box]), torch.tensor([False, True]))
    alone = mask_loss(20 * (2 * both[:1] - 1), box, torch.tensor([True]))
    assert half.item() == pytest.approx((3 / 4 + 4 / 5 + alone.item()) / 2)


def test_anchor_loss_by_hand() -> None:
    # Anchors of 8 x 8 pixels around the pixels 0 and 8 of both axes; all scores are one half.
    anchors = Anchors(stride=8, size=8.0, ratios=(1.0,))
    displacements = torch.zeros(1, 1, 4, 2, 2)
    displacements[0, 0, 0, 0, 0] = 0.5
    displacements[0, 0, :, 1, 1] = 9.0  # of a negative: counts for nothing
    maps = AnchorMaps(torch.zeros(1, 1, 2, 2), displacements, displacements)
    present, positive = torch.tensor([True]), 0.75 * 0.25 * math.log(2)

    def smooth(x: float) -> float:
        return x - 1 / 18 if x > 1 / 9 else 4.5 * x**2

    # The first anchor itself, the other three negative.
    found = anchor_loss(maps, anchors, torch.tensor([[-4.0, -4, 4, 4]]), present)
    assert found['centre'].item() == pytest.approx(positive + 3 * positive / 3)
    assert found['box'].item() == pytest.approx(2 * smooth(0.5))
    # Twice its size: its IoU is a quarter, but it is the best. Of shift and growth (0, 0, log 2,
    # log 2) the first is a half off.
    found = anchor_loss(maps, anchors, torch.tensor([[-8.0, -8, 8, 8]]), present)
    assert found['centre'].item() == pytest.approx(positive + 3 * positive / 3)
    assert found['box'].item() == pytest.approx(2 * (smooth(0.5) + 2 * smooth(math.log(2))))
    # A quarter of its side away its IoU is 6 / (8 + 8 - 6) = 0.6: of a quarter ours is a half.
    found = anchor_loss(maps, anchors, torch.tensor([[-2.0, -4, 6, 4]]), present)
    assert found['box'].item() == pytest.approx(2 * smooth(0.25))
    # Anchors nearer together: a target between two overlaps both by 7 / 9, those below by 42 / 86.
    near, none = anchors._replace(stride=2), maps._replace(displacements=0 * displacements)
    found = anchor_loss(none, near, torch.tensor([[-3.0, -4, 5, 4]]), present)
    assert found['centre'].item() == pytest.approx((2 * positive + 2 * positive / 3) / 2)
    assert found['box'].item() == pytest.approx(2 * smooth(1 / 8))
    # Nothing there: four negatives, no box.
    found = anchor_loss(maps, anchors, torch.tensor([[-4.0, -4, 4, 4]]), ~present)
    assert found['centre'].item() == pytest.approx(4 * positive / 3)
    assert found['box'] == 0


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


def test_peaks_are_near_the_target_but_for_a_few_and_anywhere_without_one() -> None:
    count, side = 4000, 64
    present = torch.arange(count)[:, None] < count // 2
    boxes = torch.tensor([10.0, 20.0, 30.0, 26.0]).expand(count, 1, 4)
    nothing = torch.zeros(1).expand(count, 1, 3, side, side)
    found = peaks(
        torch.Generator().manual_seed(0),
        Clips(nothing, nothing[:, :, 0], boxes, present, torch.ones_like(present)),
    )
    assert found.shape == (count, 1, 2)
    there, absent = found[present], found[~present]
    error = (there - torch.tensor([20.0, 23.0])).abs() / torch.tensor([20.0, 6.0])
    near = (error <= PEAK_ERROR).all(1)
    assert near.float().mean().item() == pytest.approx(1 - PEAK_ASTRAY, abs=0.02)
    assert error[near].max().item() == pytest.approx(PEAK_ERROR, rel=0.01)
    for away in (absent, there[~near]):
        assert 0 <= away.min() <= away.max() <= side
    # As spread as what is uniform is, side / sqrt(12).
    assert absent.mean(0).tolist() == pytest.approx([side / 2] * 2, abs=1.5)
    assert absent.std(0).tolist() == pytest.approx([side / 12**0.5] * 2, abs=1.0)


@pytest.mark.parametrize('tracker', RECIPES)
def test_every_parameter_in_use_learns_from_a_batch(tracker: str) -> None:
    torch.manual_seed(0)
    net, generator = RECIPES[tracker].net(), torch.Generator().manual_seed(0)
    parts = RECIPES[tracker].losses(net, batch(tracker), generator)
    assert all(part.shape == () and part.isfinite() for part in parts.values())
    torch.stack(list(parts.values())).sum().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
    # What a bias does to all alike before a normalisation or a softmax is undone there: it learns
    # nothing but rounding.
    still = {name for name, grad in gradients.items() if not (grad.any() or 'bias' in name)}
    assert still == UNUSED.get(tracker, set())


@pytest.mark.parametrize('tracker', RECIPES)
@torch.inference_mode()
def test_every_query_is_answered_with_a_box_a_score_and_a_mask(tracker: str) -> None:
    torch.manual_seed(0)
    net, generator = RECIPES[tracker].net().eval(), torch.Generator().manual_seed(0)
    answers = RECIPES[tracker].answers(net, batch(tracker), generator)
    queries = COUNT * RECIPES[tracker].queries
    assert answers.boxes.shape == (queries, 4)
    assert answers.score.shape == (queries,)
    assert answers.mask.shape == (queries, 1, SIDE // 2, SIDE // 2)
    assert all(answer.isfinite().all() for answer in answers)
    assert 0 <= answers.score.min() <= answers.score.max() <= 1


@pytest.mark.parametrize('tracker', RECIPES)
def test_ten_steps_on_one_batch_lower_its_loss(tracker: str) -> None:
    torch.manual_seed(0)
    net, clips = RECIPES[tracker].net(), batch(tracker)
    optimiser = torch.optim.AdamW(net.parameters(), loop.PEAK_RATE)
    losses = []
    for _ in range(10):
        # The same labels and peaks are drawn every time.
        parts = RECIPES[tracker].losses(net, clips, torch.Generator().manual_seed(0))
        total = torch.stack(list(parts.values())).sum()
        losses.append(total.item())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    assert losses[-1] < 0.9 * losses[0]


def test_all_share_one_backbone() -> None:
    own = {f'trunk.{name}' for name in CompactTrunk().state_dict()}
    for recipe in RECIPES.values():
        assert {name for name in recipe.net().state_dict() if name.startswith('trunk.')} == own


def test_a_given_body_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, 'STAGES', ((1.0, 64, 4),))
    torch.manual_seed(0)
    given = {
        f'trunk.{name}': tensor + 0.1 * torch.rand(tensor.shape)
        if tensor.is_floating_point()
        else tensor + 7
        for name, tensor in CompactTrunk().state_dict().items()
    }
    body = {name for name in given if name.startswith(loop.BODY)}

    def moved(trunk: dict[str, torch.Tensor]) -> set[str]:
        """What one step of a training changes."""
        run = loop.Run('stmtrack', stmtrack.RECIPE, tmp_path, trunk, torch.device('cpu'), Workers())
        before = {name: tensor.clone() for name, tensor in run.net.state_dict().items()}
        assert all(torch.equal(before[name], tensor) for name, tensor in trunk.items())
        run.step(torch.Generator().manual_seed(0), 0.0, DrawnClips(None))
        after = run.net.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        if trunk:
            run.save('a test')
            again = loop.Run(
                'stmtrack', stmtrack.RECIPE, tmp_path, {}, torch.device('cpu'), Workers()
            )
            assert 'trunk.body' in again.still  # whoever goes on need not give it again
            run.checkpoint.unlink()
        return changed

    assert moved({}) >= given.keys()
    assert moved(given) == moved({}) - body


def test_what_a_filter_sees_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, 'STAGES', ((1.0, 64, 4),))
    torch.manual_seed(0)
    recipe = RECIPES['cmedfl']
    given = recipe.net().state_dict()
    run = loop.Run('cmedfl', recipe, tmp_path, given, torch.device('cpu'), Workers())
    before = {name: tensor.clone() for name, tensor in given.items()}
    run.step(torch.Generator().manual_seed(0), 0.0, DrawnClips(None))
    after = run.net.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split('.')[0] for name in moved} == {'adjust', 'segmenter'}


def test_a_training_begins_with_what_fits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = RECIPES['stmtrack'].net().state_dict()
    recipe = RECIPES['memtrack']
    run = loop.Run('memtrack', recipe, tmp_path, other, torch.device('cpu'), Workers())
    begun = run.net.state_dict()
    for name in ('trunk.merged.first.0.weight', 'head.si', 'mask_decoder.answer.weight'):
        torch.testing.assert_close(begun[name], other[name])
    assert 'trunk.body' in run.still
    assert 'neck_m.weight' not in begun
    assert begun.keys() - other.keys()  # its controller is its own


def test_a_training_that_begins_with_a_whole_network_ends_halfway_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, 'STAGES', ((1.0, 64, 4),))
    torch.manual_seed(0)
    recipe = RECIPES['stmtrack']
    whole = recipe.net().state_dict()
    part = {name: tensor for name, tensor in whole.items() if not name.startswith('head.')}
    for given, share in ((whole, 0.5), (part, 0.0)):
        begun = {name: tensor.clone() for name, tensor in given.items()}
        run = loop.Run('stmtrack', recipe, tmp_path, given, torch.device('cpu'), Workers())
        run.step(torch.Generator().manual_seed(0), 0.0, DrawnClips(None))
        run.save('a test')
        run = loop.Run('stmtrack', recipe, tmp_path, {}, torch.device('cpu'), Workers())
        learnt = {name: tensor.clone() for name, tensor in run.average.state_dict().items()}
        run.go_halfway_back()
        ended = run.average.state_dict()
        for name in ('neck_m.weight', 'trunk.merged.first.0.weight'):
            assert not torch.equal(learnt[name], begun[name])
            expected = (1 - share) * learnt[name] + share * begun[name]
            torch.testing.assert_close(ended[name], expected)
        run.checkpoint.unlink()


def test_a_backbone_comes_from_a_published_checkpoint(tmp_path: Path) -> None:
    body = EfficientNetLite0().state_dict()
    torch.save(
        {f'_{name}'.replace('.', '._'): tensor for name, tensor in body.items()}, tmp_path / 'a'
    )
    taken = begin_with(str(tmp_path / 'a'))
    assert taken.keys() == {loop.BODY + name for name in body}
    torch.save({'other': torch.zeros(1)}, tmp_path / 'b')
    with pytest.raises(ConfigurationError, match='no checkpoint of EfficientNet-Lite0'):
        begin_with(str(tmp_path / 'b'))
    with pytest.raises(ConfigurationError, match='nowhere'):
        begin_with('nowhere')


def test_a_training_stops_goes_on_and_writes_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, 'STAGES', ((1.0, 64, 4),))
    monkeypatch.setattr(loop, 'VALIDATION_BATCHES', 1)
    monkeypatch.setattr(loop, 'VALIDATION_COUNT', 4)
    monkeypatch.setattr(loop, 'VALIDATION_SIDE', 64)
    monkeypatch.setattr(loop, 'calibrate', lambda tracker: Calibration(2.0, 1.0))

    def run(minutes: float) -> list[dict[str, float]]:
        loop.train(
            'stmtrack',
            stmtrack.RECIPE,
            tmp_path,
            beginning={},
            minutes=minutes,
            seed=1,
            rate=loop.PEAK_RATE,
            device=torch.device('cpu'),
            source=DrawnClips(None),
            scenes=DrawnClips(None),
            attribution='a test',
            command='as a test',
            workers=Workers(),
        )
        return [json.loads(line) for line in (tmp_path / 'log.jsonl').read_text().splitlines()]

    first = run(0.01)[-1]
    *_, validated, calibrated = run(first['seconds'] / 60 + 0.01)
    assert calibrated['step'] > first['step'] > 0
    assert calibrated['slope'] == 2.0
    assert 0 <= validated['valid_box_iou'] <= 1
    weights = load_weights(tmp_path / 'stmtrack-compact.safetensors', 'stmtrack', 'compact')
    assert all(torch.isfinite(tensor.float()).all() for tensor in weights.tensors.values())
    assert weights.calibration == Calibration(2.0, 1.0)
    assert cv2.imread(str(tmp_path / 'training.png')) is not None
    card = (tmp_path / 'stmtrack-compact.md').read_text()
    steps = calibrated['step']
    for line in (
        '| command | `as a test` |',
        f'{steps} steps, {4 * steps} clips |',
        f'mask iou {validated["valid_mask_iou"]:.3f}',
        'slope 2.00, intercept 1.00',
    ):
        assert line in card


def test_calibration_finds_the_curve_that_made_the_outcomes() -> None:
    random = np.random.default_rng(0)
    scores = random.uniform(0.02, 0.98, 20_000)
    truth = Calibration(1.5, -0.7)
    hits = random.random(len(scores)) < [truth.confidence(score) for score in scores]
    found = fit(scores, hits.astype(float))
    assert [found.slope, found.intercept] == pytest.approx([1.5, -0.7], abs=0.06)
    with pytest.raises(ValueError, match='were right'):
        fit(scores, np.ones_like(scores))


def work(rank: int, port: int, folder: str) -> None:
    """What each of two processes does."""
    os.environ.update(
        MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), WORLD_SIZE='2', RANK=str(rank)
    )
    workers = Workers.join(torch.device('cpu'))
    net = torch.nn.Linear(2, 1)
    net.weight.grad = torch.tensor([[2.0 * rank, 4.0]])  # and none for its bias
    workers.average_gradients(net)
    said = workers.agree(7.0 + rank, torch.device('cpu'))
    torch.save([net.weight.grad, net.bias.grad, said], f'{folder}/{rank}')
    workers.leave()


def test_workers_share_their_gradients_and_the_time(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, str(tmp_path)), nprocs=2)
    for rank in '01':
        weight, bias, said = torch.load(tmp_path / rank, weights_only=True)
        assert weight.tolist() == [[1.0, 4.0]]
        assert bias is None
        assert said == 7.0
