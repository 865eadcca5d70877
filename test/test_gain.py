"""The gain that makes eight bits of sixteen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memtrack_ros.wire.gain import Gain

Array = np.ndarray[Any, Any]


def scene(low: int, high: int, noise: float = 0.0, seed: int = 0) -> Array:
    """A ramp from the left to the right, (120, 160, 1)."""
    ramp = np.linspace(low, high, 160)[None] + np.zeros((120, 1))
    ramp = ramp + np.random.default_rng(seed).normal(0, noise, ramp.shape)
    return np.clip(np.round(ramp), 0, 65535).astype(np.uint16)[:, :, None]


def levels(grey: Array) -> int:
    return len(np.unique(grey))


@pytest.mark.parametrize(('low', 'high'), [(0, 1023), (7000, 9400), (0, 16383), (0, 65535)])
def test_cameras_of_every_depth_keep_their_grey_levels(low: int, high: int) -> None:
    grey = Gain()(scene(low, high, noise=(high - low) / 200), 'mono16')
    assert grey.dtype == np.uint8
    assert grey.shape == (120, 160, 1)
    assert levels(grey) >= 250
    columns = grey[:, :, 0].mean(0)
    assert np.all(np.diff(columns[4:-4]) > -3)  # brighter stays brighter
    assert columns[2] < 5
    assert columns[-3] > 250


def test_neither_dead_pixels_nor_the_sun_set_the_range() -> None:
    plain = scene(7000, 9400)
    marred = plain.copy()
    marred[::12, ::12] = 0  # 0.7 % each
    marred[6::12, 6::12] = 65535
    grey, kept = Gain()(plain, 'mono16'), Gain()(marred, 'mono16')
    same = marred == plain
    assert np.abs(grey[same].astype(int) - kept[same]).max() <= 6
    assert kept[0, 0] == 0
    assert kept[6, 6] == 255


@pytest.mark.parametrize(('value', 'grey'), [(0, 0), (8000, 128), (65535, 255)])
def test_an_even_image_stays_even(value: int, grey: int) -> None:
    given = Gain()(scene(value, value), 'mono16')
    assert np.all(np.abs(given.astype(int) - grey) <= 1)
    noisy = Gain()(scene(8000, 8000, noise=2.0), 'mono16')
    assert noisy.std() < 2.5
    assert np.ptp(noisy) < 25


def test_a_hot_thing_that_comes_and_goes_does_not_make_the_rest_flicker() -> None:
    gain = Gain()
    background = []
    for number in range(120):
        pixels = scene(7000, 7600, noise=3, seed=number)
        if 20 <= number < 80:  # a twelfth of the image, ten times as bright as the range is wide
            pixels[40:80, 60:100] = 14000
        background.append(gain(pixels, 'mono16')[:30].astype(float).mean((0, 2)))
    assert np.abs(np.diff(background, axis=0)).max() <= 6
    assert background[79].max() < background[19].max() / 2  # though it does see the hot thing
    assert levels(gain(scene(7000, 7600), 'mono16')) > 100


def test_a_slow_drift_is_followed_and_a_jump_at_once() -> None:
    gain = Gain()
    for number in range(100):
        grey = gain(scene(7000 + 5 * number, 7600 + 5 * number), 'mono16')
        assert levels(grey) > 130
    jumped = gain(scene(3000, 3500), 'mono16')  # a shutter that calibrates the sensor
    assert np.array_equal(jumped, Gain()(scene(3000, 3500), 'mono16'))


@pytest.mark.parametrize('other', ['size', 'encoding'])
def test_another_camera_starts_anew(other: str) -> None:
    gain = Gain()
    gain(scene(0, 30000), 'mono16')
    pixels = scene(9000, 10000)
    if other == 'size':
        pixels = pixels[:100]
    name = 'mono16' if other == 'size' else '16UC1'
    assert np.array_equal(gain(pixels, name), Gain()(pixels, name))


def test_colours_keep_their_hue() -> None:
    grey = scene(0, 4000).astype(float)
    pixels = np.concatenate([grey * 0.25, grey * 0.5, grey], axis=2).astype(np.uint16)
    frame = Gain()(pixels, 'bgr16').astype(float)
    middle = frame[:, 40:120]
    assert middle[:, :, 1] / middle[:, :, 2] == pytest.approx(0.5, abs=0.03)
    assert middle[:, :, 0] / middle[:, :, 2] == pytest.approx(0.25, abs=0.03)
