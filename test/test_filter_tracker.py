"""What SAMN's and CMEDFL's loop makes of a mask, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from memtrack_ros.geometry.windows import Window
from memtrack_ros.trackers.filter_tracker import laid, marked, near_part, presence


def test_presence_is_the_mean_of_what_filter_and_mask_say() -> None:
    probability = np.array([[0.9, 0.7], [0.5, 0.1]], np.float32)
    # The foreground's mean probability is .8.
    assert presence(0.2, probability) == pytest.approx(0.4)
    assert presence(1.0, probability[1:]) == 0.0  # nothing is foreground


def test_the_part_near_the_peak_is_taken_with_its_rim() -> None:
    probability = np.zeros((12, 12), np.float32)
    probability[2:5, 2:5], probability[2:5, 5] = 0.9, 0.3
    probability[2:11, 8:11] = 0.8  # larger, and farther away
    part = near_part(probability, np.array([3.0, 4.0]), 2.0)
    assert np.array_equal(part > 0, np.pad(np.ones((3, 4), bool), ((2, 7), (2, 6))))
    assert part[2, 5] == np.float32(0.3)
    assert near_part(probability, np.array([3.0, 4.0]), 5.0)[6, 9] == np.float32(0.8)
    assert not near_part(probability, np.array([0.0, 11.0]), 1.0).any()


def test_a_mask_is_laid_into_the_frame() -> None:
    window = Window.around([10.0, 6.0], 0.5, 8)  # pixels 8.25 .. 11.75 and 4.25 .. 7.75
    frame = np.zeros((16, 20, 3), np.uint8)
    mask = laid(marked(np.ones((8, 8), np.float32)), window, frame)
    rows, columns = np.nonzero(mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 7, 9, 11)
