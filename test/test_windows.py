"""Search windows: where crop pixels lie in the frame, what they show, how maps are laid back."""

from __future__ import annotations

import numpy as np
import pytest

from memtrack_ros.geometry.windows import Window, cut, paste


def ramp(height: int, width: int) -> np.ndarray:
    """An image whose value is 2 x + y: any linear resampling of it is known exactly."""
    y, x = np.mgrid[:height, :width]
    return np.repeat((2 * x + y)[..., None], 3, 2).astype(np.uint8)


def test_the_middle_of_the_crop_is_the_centre_of_the_window() -> None:
    window = Window.around([10.0, 20.0], 2.0, 5)
    assert window.to_frame([2.0, 2.0]) == pytest.approx([10.0, 20.0])
    assert window.to_frame([0.0, 4.0]) == pytest.approx([6.0, 24.0])
    assert window.to_crop(window.to_frame([1.25, 3.5])) == pytest.approx([1.25, 3.5])


def test_a_crop_of_pitch_one_is_a_copy() -> None:
    image = ramp(40, 60)
    crop = cut(image, Window.around([22.0, 17.0], 1.0, 9), 0)
    assert np.array_equal(crop, image[13:22, 18:27])


def test_an_enlarged_crop_interpolates_linearly() -> None:
    crop = cut(ramp(40, 60), Window.around([22.0, 17.0], 0.5, 9), 0)
    x, y = 20 + 0.5 * np.arange(9), 15 + 0.5 * np.arange(9)[:, None]
    assert np.abs(crop[..., 0] - (2 * x + y)).max() <= 0.5


@pytest.mark.parametrize('pitch', [2.0, 2.5, 3.7, 6.2])
def test_a_reduced_crop_averages_and_stays_in_place(pitch: float) -> None:
    window = Window.around([33.3, 21.7], pitch, 5)
    crop = cut(ramp(48, 72), window, 0)
    x, y = window.to_frame([1.0, 3.0])
    assert float(crop[3, 1, 0]) == pytest.approx(2 * x + y, abs=1.01)


def test_beyond_the_image_is_the_border() -> None:
    crop = cut(ramp(40, 60), Window.around([0.0, 0.0], 1.0, 5), [7.0, 8.0, 9.0])
    assert crop[0, 0].tolist() == [7, 8, 9]
    assert crop[2, 2].tolist() == [0, 0, 0]
    far = cut(ramp(40, 60), Window.around([900.0, -900.0], 4.0, 5), [7.0, 8.0, 9.0])
    assert (far == [7, 8, 9]).all()


@pytest.mark.parametrize('cells', [32, 16, 8])
def test_a_pasted_map_lies_where_it_was_cut(cells: int) -> None:
    window = Window.around([50.0, 30.0], 1.5, 32)
    crop = np.zeros((cells, cells), np.float32)
    crop[cells // 4 : cells // 2, cells // 4 : cells // 2] = 1
    laid = paste(crop, window, 60, 100) > 0.5
    rows, columns = np.nonzero(laid)
    # The marked quarter covers crop pixels 8 to 15: edges 7.5 and 15.5, 12 frame pixels apart.
    left, top = window.to_frame([7.5, 7.5])
    assert [columns.min(), rows.min()] == pytest.approx([left + 0.5, top + 0.5], abs=1.0)
    assert laid.sum() == pytest.approx(144, abs=30)
