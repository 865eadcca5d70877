"""STMTrack against the authors' numbers, and against its own promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.windows import Window
from memtrack_ros.nets.readers import soft_read
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.trackers import Prior, Target
from memtrack_ros.trackers.search import change_penalty, pseudo_mask
from memtrack_ros.trackers.stmtrack import label_corners


def test_soft_read_is_the_weighted_mean_of_the_cells() -> None:
    # Two memory cells of two channels, one query cell; weights by hand:
    # <k1, q> / sqrt(2) = 2 / sqrt 2, <k2, q> / sqrt(2) = 0: e^1.41421 : 1 = 0.80443 : 0.19557.
    keys = torch.tensor([[[1.0, -1.0], [1.0, 1.0]]])
    query = torch.ones(1, 2, 1, 1)
    both = torch.ones(1, 2, dtype=torch.bool)
    read = soft_read(keys, keys, query, both)
    assert read.flatten().tolist() == pytest.approx([0.80443 - 0.19557, 1.0], abs=1e-5)
    second = torch.tensor([[False, True]])
    assert soft_read(keys, keys, query, second).flatten().tolist() == [-1.0, 1.0]


def test_change_penalty_by_hand() -> None:
    before = np.array([10.0, 20.0])
    # Twice as large: sqrt((w + p)(h + p)) doubles, the aspect stays: exp(-0.1 (2 - 1)).
    assert change_penalty(np.array([20.0, 40.0]), before, 0.1) == pytest.approx(np.exp(-0.1))
    # Turned: the same padded size, the aspect 4 times as large: exp(-0.1 (4 - 1)).
    assert change_penalty(np.array([20.0, 10.0]), before, 0.1) == pytest.approx(np.exp(-0.3))
    assert change_penalty(before, before, 0.1) == 1.0


def test_the_authors_label_box_is_clipped_to_the_crop() -> None:
    # 289 pixels, middle 144; 61 x 41 target pixels at pitch 1: 144 -+ 30 and 144 -+ 20.
    window = Window.around([0.0, 0.0], 1.0, 289)
    assert label_corners(np.array([0.0, 0.0, 61.0, 41.0]), window) == (114, 124, 174, 164)
    assert label_corners(np.array([0.0, 0.0, 900.0, 41.0]), window) == (0, 124, 288, 164)


def test_a_pseudo_mask_stays_near_its_box_or_is_the_box() -> None:
    box = np.array([10.0, 10.0, 20.0, 20.0])
    filled = boxes.box_mask(box, 50, 50)
    everything = np.full((50, 50), 255, np.uint8)
    assert np.count_nonzero(pseudo_mask(everything, box, filled)) == 24 * 24
    nothing = np.zeros((50, 50), np.uint8)
    assert np.array_equal(pseudo_mask(nothing, box, filled), filled)


@pytest.fixture(scope='module')
def compact() -> trackers.Tracker:
    return trackers.create('stmtrack', device='cpu')


def test_locating_changes_nothing(compact: trackers.Tracker) -> None:
    scene = drawn_scene(9, width=320, height=240)
    first, second = scene.render(0), scene.render(3)
    compact.initialise(first.image, Target(first.box, None))
    status = compact.bank.status()
    once = compact.locate(second.image, Prior(first.box))
    again = compact.locate(second.image, Prior(first.box))
    assert once.score == again.score
    assert np.array_equal(once.box, again.box)
    assert np.array_equal(once.mask, again.mask)
    assert compact.bank.status() == status


def test_the_compact_tracker_finds_and_segments_a_drawn_target(compact: trackers.Tracker) -> None:
    scene = drawn_scene(9, width=320, height=240)
    first, second = scene.render(0), scene.render(3)
    compact.initialise(first.image, Target(first.box, first.mask))
    found = compact.locate(second.image, Prior(first.box))
    assert boxes.iou(found.box, second.box) > 0.6
    both = np.count_nonzero(found.mask & second.mask)
    assert both / np.count_nonzero(found.mask | second.mask) > 0.6
