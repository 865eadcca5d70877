"""Training: clips with truth that fits, losses worked by hand, a run that stops and goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from memtrack_ros.nets.heads import BoxMaps
from memtrack_ros.training import loop, stmtrack
from memtrack_ros.training.calibrate import fit
from memtrack_ros.training.clips import boxes_of, draw_clips, label_maps
from memtrack_ros.training.losses import corner_iou, focal, mask_loss, stmtrack_loss
from memtrack_ros.weights.files import Calibration, load_weights


def test_boxes_of_masks_by_hand() -> None:
    masks = torch.zeros(2, 8, 10, dtype=torch.bool)
    masks[0, 2:5, 3:9] = True
    boxes, filled = boxes_of(masks)
    assert boxes[0].tolist() == [2.5, 1.5, 8.5, 4.5]
    assert filled.tolist() == [True, False]


def test_clips_hold_what_they_say() -> None:
    generator = torch.Generator().manual_seed(11)
    clips = draw_clips(generator, 16, 64, 2, 2, 1.0, None)
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
    assert mask_loss(20 * (2 * mask - 1), mask).item() == pytest.approx(0, abs=1e-3)
    # All wrong: cross-entropy 20 (times 4), IoU (0 + 1) / (64 + 1).
    assert mask_loss(20 * (1 - 2 * mask), mask).item() == pytest.approx(80 + 1 - 1 / 65, rel=1e-3)


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
            trunk={},
            minutes=minutes,
            seed=1,
            device=torch.device('cpu'),
            imagery=None,
            attribution='a test',
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


def test_calibration_finds_the_curve_that_made_the_outcomes() -> None:
    random = np.random.default_rng(0)
    scores = random.uniform(0.02, 0.98, 20_000)
    truth = Calibration(1.5, -0.7)
    hits = random.random(len(scores)) < [truth.confidence(score) for score in scores]
    found = fit(scores, hits.astype(float))
    assert [found.slope, found.intercept] == pytest.approx([1.5, -0.7], abs=0.06)
    with pytest.raises(ValueError, match='were right'):
        fit(scores, np.ones_like(scores))
