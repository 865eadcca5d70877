"""Coarse maps laid along the edges of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from memtrack_ros.geometry.windows import Window, paste
from memtrack_ros.masks.guided import laid_along_edges

WINDOW = Window.around([99.5, 79.5], 2.0, 64)  # 128 pixels of the frame across


def picture(bright: int, dark: int) -> np.ndarray:
    """A disc of radius 30 around (99, 79) on darker ground."""
    y, x = np.mgrid[:160, :200]
    disc = np.hypot(x - 99, y - 79) <= 30
    return np.where(disc[..., None], np.uint8(bright), np.uint8(dark)).repeat(3, 2)


def astray() -> np.ndarray:
    """The disc as a map of 32 x 32 cells of 4 pixels knows it that is a cell off: too far left."""
    y, x = np.mgrid[:32, :32] - 15.5
    return (np.hypot(x + 1, y) <= 7.5).astype(np.float32)


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / (mask | other).sum())


@pytest.mark.parametrize('bright', [220, 60], ids=['in the light', 'in the dark'])
def test_a_coarse_map_takes_on_the_edges_of_the_picture(bright: int) -> None:
    frame = picture(bright, 40)
    disc = frame[..., 0] == bright
    coarse = astray()
    assert overlap(paste(coarse, WINDOW, 160, 200) > 0.5, disc) < 0.88
    assert overlap(laid_along_edges(coarse, WINDOW, frame) > 0, disc) > 0.97


def test_without_edges_it_is_the_map_itself_less_its_corners() -> None:
    frame = np.full((160, 200, 3), 90, np.uint8)
    coarse = np.full((32, 32), 0.05, np.float32)
    coarse[8:24, 8:24] = 0.95
    laid = laid_along_edges(coarse, WINDOW, frame)
    assert laid.shape == (160, 200)
    assert laid[79, 99] == 255
    assert laid[0, 0] == laid[-1, -1] == 0
    assert overlap(laid > 0, paste(coarse, WINDOW, 160, 200) > 0.5) > 0.85


def test_of_nothing_and_of_what_lies_beyond_the_frame_there_is_nothing() -> None:
    frame = picture(220, 40)
    assert not laid_along_edges(np.zeros((32, 32), np.float32), WINDOW, frame).any()
    beyond = Window.around([-400.0, 900.0], 2.0, 64)
    assert not laid_along_edges(np.ones((32, 32), np.float32), beyond, frame).any()
    partly = Window.around([0.0, 79.5], 2.0, 64)
    laid = laid_along_edges(np.ones((32, 32), np.float32), partly, frame)
    assert laid[79, 10] == 255
    assert laid[79, 150] == 0
