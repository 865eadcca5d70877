"""Axis-aligned boxes, on cases worked by hand."""

import numpy as np
import pytest

from memtrack_ros.geometry import boxes

NAN = [np.nan] * 4


def test_scale_is_the_side_of_the_square_of_the_same_area() -> None:
    assert boxes.scale([5, 6, 4, 9]) == 6


def test_iou_of_two_squares_that_share_a_quarter() -> None:
    # 2 x 2 and 2 x 2 share 1 x 1: 1 / (4 + 4 - 1)
    assert boxes.iou([0, 0, 2, 2], [1, 1, 2, 2]) == pytest.approx(1 / 7)


@pytest.mark.parametrize(
    ('a', 'b', 'expected'),
    [
        ([3, 4, 10, 20], [3, 4, 10, 20], 1.0),
        ([0, 0, 10, 10], [0, 0, 10, 5], 0.5),
        ([0, 0, 10, 10], [10, 0, 10, 10], 0.0),  # side by side: the extent is half open
        ([0, 0, 10, 10], [40, 40, 1, 1], 0.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
        ([5, 5, -3, 4], [0, 0, 9, 9], 0.0),  # a negative size is an empty box
        (NAN, [0, 0, 1, 1], np.nan),
    ],
)
def test_iou(a: list[float], b: list[float], expected: float) -> None:
    assert boxes.iou(a, b) == pytest.approx(expected, nan_ok=True)
    assert boxes.iou(b, a) == pytest.approx(expected, nan_ok=True)


def test_iou_broadcasts() -> None:
    many = np.array([[0, 0, 2, 2], [1, 1, 2, 2], NAN])
    np.testing.assert_allclose(boxes.iou(many, [0, 0, 2, 2]), [1, 1 / 7, np.nan])
    assert boxes.iou(many[:, None], many[None]).shape == (3, 3)


def test_centre_is_that_of_the_pixels() -> None:
    # the pixels 10, 11, 12 and 5, 6
    np.testing.assert_array_equal(boxes.centre([10, 5, 3, 2]), [11, 5.5])
    np.testing.assert_array_equal(boxes.from_centre([11, 5.5], [3, 2]), [10, 5, 3, 2])
    several = boxes.from_centre(np.array([[11, 5.5], [0, 0]]), [3, 2])
    np.testing.assert_array_equal(several, [[10, 5, 3, 2], [-1, -0.5, 3, 2]])


def test_bounds_of_polygons() -> None:
    diamond = [4, 0, 8, 3, 4, 6, 0, 3]
    np.testing.assert_array_equal(boxes.bounds(diamond), [0, 0, 8, 6])
    upright = [2, 3, 12, 3, 12, 8, 2, 8]
    np.testing.assert_array_equal(boxes.bounds([diamond, upright]), [[0, 0, 8, 6], [2, 3, 10, 5]])


def test_intersect_keeps_what_is_inside() -> None:
    given = np.array([[-3, 2, 10, 4], [15, 15, 10, 10], [50, 0, 5, 5], [2, 2, 3, 3], NAN])
    expected = [[0, 2, 7, 4], [15, 15, 5, 3], [20, 0, 0, 5], [2, 2, 3, 3], NAN]
    np.testing.assert_array_equal(boxes.intersect(given, width=20, height=18), expected)


def test_a_part_is_between_shares_of_the_sides() -> None:
    parts = boxes.part([[10, 20, 40, 80], [0, 0, 8, 8]], [0.25, 0, 0.75, 0.5])
    np.testing.assert_array_equal(parts, [[20, 20, 20, 40], [2, 0, 4, 4]])


def test_box_mask_fills_the_pixels_of_the_extent() -> None:
    mask = boxes.box_mask([1, 2, 3, 1], height=4, width=6)
    assert mask.dtype == np.uint8
    expected = np.zeros((4, 6))
    expected[2, 1:4] = 255
    np.testing.assert_array_equal(mask, expected)


def test_box_mask_rounds_to_pixel_centres_and_clips() -> None:
    columns = boxes.box_mask([0.6, 0, 2, 1], height=1, width=4)[0]
    np.testing.assert_array_equal(columns, [0, 255, 255, 0])
    assert boxes.box_mask([-2, -2, 100, 100], height=3, width=5).min() == 255
    assert boxes.box_mask([-9, 0, 4, 4], height=3, width=5).max() == 0
    assert boxes.box_mask(NAN, height=3, width=5).max() == 0
