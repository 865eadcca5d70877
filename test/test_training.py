"""Training: clips with truth that fits, losses worked by hand, a run that stops and goes on."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.anchors import AnchorMaps, Anchors
from memtrack_ros.nets.compact import CompactTrunk
from memtrack_ros.nets.efficientnet import EfficientNetLite0
from memtrack_ros.nets.heads import BoxMaps
from memtrack_ros.scenes.bounds import boxes_of
from memtrack_ros.training import __main__ as command
from memtrack_ros.training import loop, record
from memtrack_ros.training.__main__ import RECIPES
from memtrack_ros.training.average import average
from memtrack_ros.training.average import main as write_average
from memtrack_ros.training.beginning import BODY, begin_with, origin
from memtrack_ros.training.calibrate import fit
from memtrack_ros.training.clips import (
    PEAK_ASTRAY,
    PEAK_ERROR,
    Clips,
    label_maps,
    label_of,
    peaks,
)
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.losses import anchor_loss, corner_iou, focal, mask_loss, stmtrack_loss
from memtrack_ros.training.workers import Workers
from memtrack_ros.weights.files import (
    Calibration,
    Weights,
    load_weights,
    save_weights,
    shipped_file,
)

CPU = torch.device('cpu')


def test_boxes_of_masks_by_hand() -> None:
    masks = torch.zeros(2, 8, 10, dtype=torch.bool)
    masks[0, 2:5, 3:9] = True
    boxes, filled = boxes_of(masks)
    assert boxes[0].tolist() == [2.5, 1.5, 8.5, 4.5]
    assert filled.tolist() == [True, False]


def test_clips_hold_what_they_say() -> None:
    generator = torch.Generator().manual_seed(11)
    clips = DrawnClips(None).draw(generator, 16, 64, 4, 1.0)
    assert clips.crops.shape == (16, 4, 3, 64, 64)
    assert 0 <= clips.crops.min() <= clips.crops.max() <= 255
    boxes, filled = boxes_of(clips.masks > 0.5)
    assert torch.equal(filled, clips.present)
    assert torch.equal(boxes[filled], clips.boxes[filled])
    assert not clips.present[:, 1:].all()
    usable = clips.pointed_at()
    assert usable.present.shape == clips.present.shape
    assert usable.present[:, 0].all()
    labels = label_maps(generator, usable)
    assert labels.shape == (16, 1, 64, 64)
    # A label, mask or box, covers most of its mask.
    covered = (labels[:, 0] * usable.masks[:, 0]).sum((1, 2)) / usable.masks[:, 0].sum((1, 2))
    assert covered.min() > 0.6
    half = label_maps(generator, usable, box_label=0.5).amax((1, 2, 3))
    assert {0.5, 1.0} <= set(half.unique().tolist())


def test_a_found_mask_becomes_a_label_of_the_whole_crop() -> None:
    logits = torch.full((1, 1, 8, 8), -20.0, requires_grad=True)
    with torch.no_grad():
        logits[0, 0, 2:6, 3:7] = 20.0
    label = label_of(logits)
    assert not label.requires_grad
    expected = torch.zeros(1, 1, 16, 16)
    expected[..., 4:12, 6:14] = 1
    assert torch.equal(label, expected)
    soft = label_of(torch.zeros(1, 1, 8, 8), soft=True)
    assert torch.equal(soft, torch.full((1, 1, 16, 16), 0.5))


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


def test_all_share_one_backbone() -> None:
    own = {f'trunk.{name}' for name in CompactTrunk().state_dict()}
    for recipe in RECIPES.values():
        assert {name for name in recipe.net().state_dict() if name.startswith('trunk.')} == own


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings with small crops, and little to validate with."""
    monkeypatch.setattr(loop, 'STAGES', ((1.0, 64, 0.25),))
    monkeypatch.setattr(loop, 'VALIDATION_BATCHES', 1)
    monkeypatch.setattr(loop, 'VALIDATION_COUNT', 4)
    monkeypatch.setattr(loop, 'VALIDATION_SIDE', 64)


def begun(
    out: Path,
    *names: str,
    beginning: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    trunk_rate: float = 0.0,
) -> loop.Run:
    """A run of some trackers."""
    torch.manual_seed(0)
    recipes = {name: RECIPES[name] for name in names}
    return loop.Run(recipes, out, beginning or {}, CPU, Workers(), trunk_rate=trunk_rate, frames=3)


def learn(run: loop.Run) -> None:
    """One step."""
    generator = torch.Generator().manual_seed(0)
    run.step(generator, 0.0, run.draw(generator, 0.0, DrawnClips(None)))


@pytest.mark.usefixtures('small')
def test_the_trunk_stands_still_but_each_label_learns(tmp_path: Path) -> None:
    run = begun(tmp_path, 'stmtrack', 'samn')
    before = {name: tensor.clone() for name, tensor in run.nets.state_dict().items()}
    learn(run)
    after = run.nets.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    for name in run.recipes:
        own = {part.removeprefix(f'{name}.') for part in changed if part.startswith(f'{name}.')}
        # Statistics of its normalisations stand still, too.
        assert {part for part in own if part.startswith('trunk.')} == {'trunk.label.weight'}
        assert len(own) > 1
    labels = [after[f'{name}.trunk.label.weight'] for name in run.recipes]
    assert not torch.equal(*labels)


def trunk_within(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What of a network's parameters is the trunk that all stand on."""
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith('trunk.') and not name.startswith(loop.LABEL)
    }


@pytest.mark.usefixtures('small')
def test_a_trunk_that_learns_stays_one_for_all(tmp_path: Path) -> None:
    run = begun(tmp_path, 'stmtrack', 'samn', trunk_rate=0.1)
    before = {n: t.clone() for n, t in trunk_within(run.nets['samn'].state_dict()).items()}
    learn(run)
    trunks = [trunk_within(net.state_dict()) for net in run.nets.values()]
    averages = [trunk_within(net.state_dict()) for net in run.averaged.values()]
    for name, tensor in before.items():
        assert torch.equal(trunks[0][name], trunks[1][name])
        assert torch.equal(averages[0][name], averages[1][name])
        # What its normalisations know of features is not learned.
        learned = name.endswith(('weight', 'bias'))
        assert torch.equal(tensor, trunks[0][name]) != learned, name


@pytest.mark.usefixtures('small')
def test_what_is_written_are_means_over_the_latest_steps(tmp_path: Path) -> None:
    run = begun(tmp_path, 'stmtrack')
    learnt, written = (
        dict(nets['stmtrack'].named_parameters()) for nets in (run.nets, run.averaged)
    )
    name = next(name for name in learnt if name.startswith('head.') and name.endswith('weight'))
    learn(run)  # the first is taken as it is
    mean = learnt[name].detach().clone()
    assert torch.equal(written[name], mean)
    for _ in range(2):
        learn(run)
        mean += 0.01 * (learnt[name].detach() - mean)
        torch.testing.assert_close(written[name], mean, rtol=1e-4, atol=1e-6)
    assert not torch.equal(written[name], learnt[name])


@pytest.mark.usefixtures('small')
def test_all_of_a_run_stand_on_the_first_ones_trunk(tmp_path: Path) -> None:
    shipped = {name: begin_with(name) for name in ('dmv', 'stmtrack')}
    run = begun(tmp_path, 'stmtrack', 'dmv', 'cmedfl', beginning=shipped)
    trunks = [trunk_within(net.state_dict()) for net in run.nets.values()]
    assert len(trunks[0]) == len(CompactTrunk().state_dict()) - 1
    for trunk in trunks:
        assert all(torch.equal(trunk[name], shipped['stmtrack'][name]) for name in trunks[0])
    for name, own in shipped.items():
        net = run.nets[name].state_dict()
        for part in net.keys() - trunks[0].keys():
            assert torch.equal(net[part], own[part])
    learn(run)
    for name in run.recipes:
        run.export(name, Calibration(1.0, 0.0), 'a test')
        tracker = trackers.create(name, weights=run.weights(name))
        assert tracker.segments
    written = [load_weights(run.weights(name), name, 'compact').tensors for name in run.recipes]
    for name in trunks[0]:
        assert all(torch.equal(tensors[name], written[0][name]) for tensors in written)


def test_a_training_begins_with_what_fits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = RECIPES['stmtrack'].net().state_dict()
    misshapen = {'head.si': torch.zeros(7), 'mask_decoder.answer.weight': torch.zeros(2)}
    run = begun(tmp_path, 'memtrack', 'dmv', beginning={'memtrack': other, 'dmv': misshapen})
    net = run.nets['memtrack'].state_dict()
    for name in ('trunk.merged.first.0.weight', 'head.si', 'mask_decoder.answer.weight'):
        torch.testing.assert_close(net[name], other[name])
    assert 'neck_m.weight' not in net
    assert net.keys() - other.keys()  # its controller is its own


def test_a_backbone_comes_from_a_published_checkpoint(tmp_path: Path) -> None:
    body = EfficientNetLite0().state_dict()
    torch.save(
        {f'_{name}'.replace('.', '._'): tensor for name, tensor in body.items()}, tmp_path / 'a'
    )
    taken = begin_with(str(tmp_path / 'a'))
    assert taken.keys() == {BODY + name for name in body}
    torch.save({'other': torch.zeros(1)}, tmp_path / 'b')
    with pytest.raises(ConfigurationError, match='no checkpoint of EfficientNet-Lite0'):
        begin_with(str(tmp_path / 'b'))
    with pytest.raises(ConfigurationError, match='nowhere'):
        begin_with('nowhere')


def test_weights_to_begin_with_are_those_shipped_or_in_a_file(tmp_path: Path) -> None:
    named, file = begin_with('samn'), begin_with(str(shipped_file('samn', 'compact')))
    assert named.keys() == file.keys()
    assert all(torch.equal(named[name], file[name]) for name in named)
    assert {x.dtype for x in named.values() if x.is_floating_point()} == {torch.float32}
    assert origin('samn') == origin(str(shipped_file('samn', 'compact')))
    assert 'drawn scenes' in origin('samn')
    damaged = tmp_path / 'a.safetensors'
    damaged.write_bytes(b'none')
    with pytest.raises(ConfigurationError, match='damaged or no weight file'):
        begin_with(str(damaged))


@pytest.mark.usefixtures('small')
def test_a_training_of_two_stops_goes_on_and_writes_weights_and_cards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes = {'dmv': 2.0, 'memtrack': 3.0}

    def calibrated(tracker: trackers.AnyTracker) -> Calibration:
        """Instead of following 24 scenes twice, which takes a minute."""
        return Calibration(slopes[type(tracker).__module__.split('.')[-1]], 1.0)

    monkeypatch.setattr(loop, 'calibrate', calibrated)

    def run(minutes: float) -> list[dict[str, float]]:
        loop.train(
            {name: RECIPES[name] for name in slopes},
            tmp_path,
            beginning={},
            minutes=minutes,
            seed=1,
            rate=loop.PEAK_RATE,
            frames=3,
            device=CPU,
            sources=loop.Sources(
                DrawnClips(None), {'drawn': DrawnClips(None), 'real': DrawnClips(None)}
            ),
            attribution='a test',
            command='as a test',
            workers=Workers(),
        )
        return record.read_log(tmp_path / 'log.jsonl')

    first = run(0.01)[-1]
    *_, validated, _, fitted = run(first['seconds'] / 60 + 0.01)
    steps = fitted['step']
    assert steps > first['step'] > 0
    assert fitted['memtrack_slope'] == 3.0
    assert 0 <= validated['dmv_drawn_box_iou'] <= 1
    assert cv2.imread(str(tmp_path / 'training.png')) is not None
    for name, slope in slopes.items():
        weights = load_weights(tmp_path / f'{name}-compact.safetensors', name, 'compact')
        assert all(torch.isfinite(tensor.float()).all() for tensor in weights.tensors.values())
        assert weights.calibration == Calibration(slope, 1.0)
        card = (tmp_path / f'{name}-compact.md').read_text()
        for line in (
            f'## {name}-compact',
            '| command | `as a test` |',
            f'{steps} steps, {2 * steps} clips |',
            '| on unseen drawn clips | box iou',
            '| on unseen real clips | box iou',
            f'mask iou {validated[f"{name}_real_mask_iou"]:.3f}',
            f'slope {slope:.2f}, intercept 1.00',
        ):
            assert line in card


@pytest.mark.parametrize(
    ('option', 'value', 'least'),
    [
        *[('--minutes', value, 'above 0.') for value in ('0', '-3', 'nan')],
        *[('--frames', value, 'at least 2: the first shows') for value in ('1', '0', '-8')],
    ],
)
def test_a_training_takes_time_and_a_clip_a_frame_to_be_asked_of(
    option: str,
    value: str,
    least: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / 'out'
    monkeypatch.setattr('sys.argv', ['training', 'dmv', option, value, '--out', str(out)])
    assert command.main() == 2
    assert f'{option} is {value}; it must be {least}' in capsys.readouterr().err
    assert not out.exists()
    assert not (tmp_path / 'out').exists()


def test_the_plot_shows_every_tracker_with_all_there_is_of_it(tmp_path: Path) -> None:
    entries = [
        {'step': 10, 'seconds': 60.0, 'dmv_box': 1.0, 'dmv_mask': 2.0, 'stmtrack_box': 5.0},
        {'step': 20, 'seconds': 120.0, 'dmv_drawn_box_iou': 0.5, 'dmv_slope': 1.0},
        {'step': 30, 'seconds': 180.0, 'dmv_box': 0.5, 'dmv_mask': 1.0, 'stmtrack_box': 4.0},
    ]
    own = record.of(entries, 'dmv')
    assert own[0] == {'step': 10, 'seconds': 60.0, 'box': 1.0, 'mask': 2.0}
    assert record.curve(own, record.LOSSES).tolist() == [[1, 3], [3, 1.5]]
    assert record.curve(own, ['drawn_box_iou']).tolist() == [[2], [0.5]]
    assert record.curve(own, ['real_box_iou']).shape == (2, 0)
    record.plot(entries, ['dmv', 'stmtrack', 'samn'], tmp_path / 'a.png')
    assert cv2.imread(str(tmp_path / 'a.png')) is not None


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


def test_the_mean_of_weights_by_hand() -> None:
    def weights(value: float, steps: int) -> Weights:
        tensors = {'w': torch.tensor([value, 2 * value]), 'steps': torch.tensor(steps)}
        return Weights(tensors, Calibration(1.0, 0.0), '')

    mean = average([weights(1.0, 7), weights(3.0, 9), weights(5.0, 1)])
    assert mean['w'].tolist() == [3.0, 6.0]
    assert mean['steps'] == 7
    other = Weights({'w': torch.zeros(2)}, Calibration(1.0, 0.0), '')
    with pytest.raises(ConfigurationError, match='no mean: steps is missing'):
        average([weights(1.0, 7), other])


def test_the_mean_of_weights_and_of_their_double_is_one_and_a_half_of_them(tmp_path: Path) -> None:
    own = load_weights(shipped_file('samn', 'compact'), 'samn', 'compact')
    double, out = tmp_path / 'double.safetensors', tmp_path / 'new' / 'mean.safetensors'
    doubled = {
        name: 2 * tensor if tensor.is_floating_point() else tensor
        for name, tensor in own.tensors.items()
    }
    save_weights(double, 'samn', 'compact', doubled, own.calibration, '')
    write_average(['samn', str(shipped_file('samn', 'compact')), str(double), '--out', str(out)])
    mean = load_weights(out, 'samn', 'compact')
    assert mean.calibration == own.calibration
    assert out.stat().st_size < 1.01 * shipped_file('samn', 'compact').stat().st_size
    for name, tensor in own.tensors.items():
        if tensor.is_floating_point():
            assert mean.tensors[name].equal((1.5 * tensor).half().float())  # as it is written
    assert trackers.create('samn', 'compact', out).name == 'samn'


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
