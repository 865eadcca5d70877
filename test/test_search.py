"""How the compact trackers look at a frame and choose among cells, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.windows import Window
from memtrack_ros.trackers import Prior
from memtrack_ros.trackers.search import (
    Chooser,
    change_penalty,
    pseudo_mask,
    search_window,
    to_edges,
)

FRAME = np.zeros((80, 100, 3), np.uint8)


def test_change_penalty_by_hand() -> None:
    before = np.array([10.0, 20.0])
    # Twice as large: sqrt((w + p)(h + p)) doubles, the aspect stays: exp(-0.1 (2 - 1)).
    assert change_penalty(np.array([20.0, 40.0]), before, 0.1) == pytest.approx(np.exp(-0.1))
    # Turned: the same padded size, the aspect 4 times as large: exp(-0.1 (4 - 1)).
    assert change_penalty(np.array([20.0, 10.0]), before, 0.1) == pytest.approx(np.exp(-0.3))
    assert change_penalty(before, before, 0.1) == 1.0


def test_the_best_cell_is_liked_for_its_score_its_size_and_in_a_usual_search_its_place() -> None:
    prior, window = Prior(np.array([40.0, 30.0, 20.0, 20.0])), Window.around([49.5, 39.5], 0.5, 80)
    # All boxes are the last one, 40 crop pixels a side, but for one twice as large.
    score = np.array([[0.5, 0.5, 0.9], [0.5, 0.6, 0.5], [0.9, 0.5, 0.5]])
    corners = np.tile([19.5, 19.5, 59.5, 59.5], (3, 3, 1))
    corners[0, 2] = [-0.5, -0.5, 79.5, 79.5]
    chooser = Chooser(penalty_k=0.1, window_influence=0.0, test_lr=0.5, smallest=3.0)
    # exp(-0.1 (2 - 1)) 0.9 < 0.9
    choice = chooser.choose(score, corners, prior, window, FRAME)
    assert choice.cell == (2, 0)
    assert choice.score == choice.best == 0.9
    assert choice.box.tolist() == pytest.approx([40.0, 30.0, 20.0, 20.0])
    # The cosine window of three is 0, 1, 0: 0.6 * 0.6 + 0.4 > 0.6 * 0.9.
    central = chooser._replace(window_influence=0.4)
    choice = central.choose(score, corners, prior, window, FRAME)
    assert choice.cell == (1, 1)
    assert (choice.score, choice.best) == (0.6, pytest.approx(0.76))
    wide = Prior(prior.box, 1.5)
    assert central.choose(score, corners, wide, window, FRAME).cell == (2, 0)
    # The only one left is twice as large: of its size exp(-0.1) 0.9 / 2 is taken over.
    score[2, 0] = 0
    share = np.exp(-0.1) * 0.45
    size = 20 * (1 - share) + 40 * share
    found = chooser.choose(score, corners, prior, window, FRAME).box
    assert found.tolist() == pytest.approx([*boxes.from_centre([49.5, 39.5], size)[:2], size, size])


def test_a_box_has_its_centre_in_the_frame_and_is_neither_larger_nor_too_small() -> None:
    chooser = Chooser(penalty_k=0.1, window_influence=0.0, test_lr=0.5, smallest=3.0)
    far = chooser.within(FRAME, [-20.0, 300.0], [1.0, 500.0])
    assert boxes.centre(far).tolist() == [0.0, 80.0]
    assert far[2:].tolist() == [3.0, 80.0]
    near = chooser.within(FRAME, [50.0, 40.0], [30.0, 20.0])
    assert near.tolist() == boxes.from_centre([50.0, 40.0], [30.0, 20.0]).tolist()


def test_the_window_is_four_targets_wide_but_hardly_wider_than_the_frame() -> None:
    small, large = np.array([40.0, 30.0, 5.0, 20.0]), np.array([0.0, 0.0, 90.0, 32.4])
    # 4 sqrt(5 * 20) = 40 frame pixels, in a wide search 60; then 1.2 * 100; then 2.4 * 54.
    assert search_window(FRAME, small, 1.0, 80).pitch == pytest.approx(40 / 80)
    assert search_window(FRAME, small, 1.5, 80).pitch == pytest.approx(60 / 80)
    assert search_window(FRAME, small, 9.0, 80).pitch == pytest.approx(120 / 80)
    assert search_window(FRAME, large, 1.0, 80).pitch == pytest.approx(129.6 / 80)
    # All of an image of 100 x 80 is the target: 4 sqrt(100 * 80).
    whole = np.array([0.0, 0.0, 100.0, 80.0])
    assert search_window(FRAME, whole, 1.0, 80).pitch == pytest.approx(4 * np.sqrt(8000) / 80)


def test_a_box_that_fills_the_image_reaches_the_edges_that_its_mask_does() -> None:
    mask = np.zeros((80, 100), np.uint8)
    mask[:, 10:] = 255
    # Moved inwards from -20, then as far as top, right and bottom.
    found = to_edges(np.array([-20.0, 5.0, 90.0, 70.0]), mask)
    assert found.tolist() == [0.0, 0.0, 100.0, 80.0]
    mask[:] = 0
    assert to_edges(np.array([15.0, 5.0, 90.0, 70.0]), mask).tolist() == [10.0, 5.0, 90.0, 70.0]
    small = np.array([-20.0, 5.0, 50.0, 50.0])
    assert to_edges(small, mask + np.uint8(255)) is small


def test_a_pseudo_mask_stays_near_its_box_or_is_the_box() -> None:
    box = np.array([10.0, 10.0, 20.0, 20.0])
    filled = boxes.box_mask(box, 50, 50)
    everything = np.full((50, 50), 255, np.uint8)
    assert np.count_nonzero(pseudo_mask(everything, box, filled)) == 24 * 24
    nothing = np.zeros((50, 50), np.uint8)
    assert np.array_equal(pseudo_mask(nothing, box, filled), filled)
