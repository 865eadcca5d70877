"""Maps brought into agreement with the colours of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from memtrack_ros.masks.colour import agreed_with_colours


def test_a_part_that_the_map_missed_is_found_by_its_colour_and_its_rim_is_left_out() -> None:
    """An L, dark on bright ground, of which the map knows a part, with ground around it."""
    dark = np.zeros((40, 40), bool)
    dark[5:35, 10:15] = dark[30:35, 10:30] = True
    picture = np.where(dark[..., None], np.uint8(20), np.uint8(200)).repeat(3, 2)
    shares = np.full((40, 40), 0.1, np.float32)
    shares[12:35, 9:17] = shares[27:35, 9:22] = 0.6
    shares[15:35, 10:15] = shares[30:35, 10:20] = 0.9
    agreed = agreed_with_colours(shares, picture, np.ones_like(dark))
    assert ((shares > 0.5) & dark).sum() < 0.8 * dark.sum()
    assert np.array_equal(agreed > 0.5, dark)


def test_colours_are_weighed_by_bayes_rule() -> None:
    # Two colours, far apart: the left of 8 x 8 cells is 0.8 target, the right 0.2, but for one.
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:] = 255
    shares = np.full((8, 8), 0.8, np.float32)
    shares[:, 4:] = 0.2
    agreed = agreed_with_colours(shares, picture, np.ones((8, 8), bool))
    # P(left | target) is 0.8; half of a colour at the end of the scale falls to the next level,
    # a quarter on each axis.
    kept = 0.75**3
    ratio = np.log((0.8 * kept + 0.0005) / (0.2 * kept + 0.0005))
    odds = np.log(4) + 1.5 * ratio
    assert agreed[0, 0] == pytest.approx(1 / (1 + np.exp(-odds)), rel=1e-5)
    assert agreed[0, 7] == pytest.approx(1 / (1 + np.exp(odds)), rel=1e-5)


def test_without_anything_to_tell_from_nothing_changes() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    shares = np.zeros((16, 16), np.float32)
    shares[8, 8] = 1
    everywhere = np.ones((16, 16), bool)
    assert np.array_equal(agreed_with_colours(shares, picture, everywhere), shares)
    shares[4:12, 4:12] = 0.7
    nowhere = ~everywhere
    assert np.array_equal(agreed_with_colours(shares, picture, nowhere), shares)
    agreed = agreed_with_colours(shares, picture, everywhere)
    assert (agreed[shares == 0] == 0).all()
    assert (agreed != shares).any()
