"""STMTrack: its read and its label by hand, and that it follows what is drawn."""

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


def test_the_authors_label_box_is_clipped_to_the_crop() -> None:
    # 289 pixels, middle 144; 61 x 41 target pixels at pitch 1: 144 -+ 30 and 144 -+ 20.
    window = Window.around([0.0, 0.0], 1.0, 289)
    assert label_corners(np.array([0.0, 0.0, 61.0, 41.0]), window) == (114, 124, 174, 164)
    assert label_corners(np.array([0.0, 0.0, 900.0, 41.0]), window) == (0, 124, 288, 164)


def test_the_compact_tracker_finds_and_segments_a_drawn_target() -> None:
    scene = drawn_scene(9, width=320, height=240)
    first, second = scene.render(0), scene.render(3)
    compact = trackers.create('stmtrack', device='cpu')
    compact.initialise(first.image, Target(first.box, first.mask))
    found = compact.locate(second.image, Prior(first.box))
    assert boxes.iou(found.box, second.box) > 0.6
    both = np.count_nonzero(found.mask & second.mask)
    assert both / np.count_nonzero(found.mask | second.mask) > 0.6
