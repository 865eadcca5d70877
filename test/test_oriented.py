"""Oriented boxes, on cases worked by hand."""

from math import pi, radians, sqrt

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.oriented import OrientedBox


def rasterised(box: OrientedBox, height: int, width: int) -> NDArray[np.uint8]:
    """255 on every pixel whose centre the box covers."""
    y, x = np.mgrid[:height, :width]
    x, y = x - box.center_x, y - box.center_y
    along = x * np.cos(box.theta) + y * np.sin(box.theta)
    across = -x * np.sin(box.theta) + y * np.cos(box.theta)
    inside = (abs(along) <= box.size_x / 2) & (abs(across) <= box.size_y / 2)
    return np.where(inside, np.uint8(255), np.uint8(0))


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (0.0, 0.0),
        (pi / 2, pi / 2),
        (-pi / 2, pi / 2),
        (pi, 0.0),
        (-pi, 0.0),
        (3 * pi / 2, pi / 2),
        (radians(100), radians(-80)),
        (radians(-100), radians(80)),
        (radians(370), radians(10)),
    ],
)
def test_theta_is_brought_into_its_range(given: float, expected: float) -> None:
    theta = OrientedBox(0, 0, 2, 1, given).theta
    assert -pi / 2 < theta <= pi / 2
    assert theta == pytest.approx(expected, abs=1e-12)


def test_box_and_back() -> None:
    box = OrientedBox.from_box([10, 20, 3, 6])
    assert box == OrientedBox(11, 22.5, 3, 6, 0)
    np.testing.assert_array_equal(box.bounds(), [10, 20, 3, 6])
    rng = np.random.default_rng(0)
    for given in rng.uniform(0.1, 500, (100, 4)):
        np.testing.assert_allclose(OrientedBox.from_box(given).bounds(), given, rtol=1e-12)


def test_corners_go_round_from_the_top_left() -> None:
    # the pixels 10..12 x 20..25 reach from 9.5 to 12.5 and from 19.5 to 25.5
    box = OrientedBox.from_box([10, 20, 3, 6])
    np.testing.assert_array_equal(
        box.corners(), [[9.5, 19.5], [12.5, 19.5], [12.5, 25.5], [9.5, 25.5]]
    )
    np.testing.assert_array_equal(box.polygon(), [10, 20, 13, 20, 13, 26, 10, 26])


def test_positive_theta_turns_from_right_to_down() -> None:
    # 30 degrees, long side 20 along it: its end is to the right of and below the centre
    box = OrientedBox(0, 0, 20, 2, radians(30))
    right_end = box.corners()[1:3].mean(0)
    np.testing.assert_allclose(right_end, [10 * sqrt(3) / 2, 10 / 2])


def test_a_quarter_turn_swaps_the_bounds() -> None:
    box = OrientedBox(50, 50, 21, 11, pi / 2)
    np.testing.assert_allclose(box.bounds(), [45, 40, 11, 21])


def test_bounds_of_a_turned_square() -> None:
    # the diagonal of a square of 10 is 10 sqrt(2)
    side = 10 * sqrt(2)
    expected = boxes.from_centre([50, 40], [side, side])
    np.testing.assert_allclose(OrientedBox(50, 40, 10, 10, pi / 4).bounds(), expected)
    np.testing.assert_allclose(OrientedBox(50, 40, 10, 10, -pi / 4).bounds(), expected)


def test_bounds_of_the_polygon_are_the_bounds() -> None:
    box = OrientedBox(30, 20, 12, 5, radians(25))
    np.testing.assert_allclose(boxes.bounds(box.polygon()), box.bounds())


@pytest.mark.parametrize('degrees', [0, 1, 30, 45, 89, 90, -1, -45, -89])
def test_corners_and_back(degrees: float) -> None:
    given = OrientedBox(30, 20, 12, 5, radians(degrees))
    found = OrientedBox.from_corners(given.corners())
    assert found.theta == pytest.approx(given.theta)
    assert (found.center_x, found.center_y) == pytest.approx((30, 20))
    assert (found.size_x, found.size_y) == pytest.approx((12, 5))


def test_corners_from_the_opposite_start_are_the_same_box() -> None:
    given = OrientedBox(30, 20, 12, 5, radians(40))
    found = OrientedBox.from_corners(np.roll(given.corners(), 2, axis=0))
    assert found.theta == pytest.approx(radians(40))
    assert (found.size_x, found.size_y) == pytest.approx((12, 5))


def test_corners_from_the_next_start_turn_it_a_quarter() -> None:
    given = OrientedBox(30, 20, 12, 5, radians(40))
    found = OrientedBox.from_corners(np.roll(given.corners(), -1, axis=0))
    assert found.theta == pytest.approx(radians(-50))
    assert (found.size_x, found.size_y) == pytest.approx((5, 12))


def test_a_box_without_width_keeps_its_direction() -> None:
    found = OrientedBox.from_corners([[3, 4], [3, 4], [3, 9], [3, 9]])
    assert (found.size_x, found.size_y, found.theta) == pytest.approx((0, 5, 0))


@pytest.mark.parametrize('box', [(2, 3, 10, 4), (2, 3, 4, 10), (5, 5, 7, 7), (0, 0, 40, 30)])
def test_a_filled_box_gives_its_sizes(box: tuple[int, ...]) -> None:
    found = OrientedBox.from_mask(boxes.box_mask(box, height=30, width=40))
    assert found is not None
    assert found.theta == 0
    np.testing.assert_allclose(found.bounds(), box, atol=1e-4)


@pytest.mark.parametrize('box', [(7, 9, 1, 1), (7, 9, 6, 1), (7, 9, 1, 6)])
def test_single_pixels_and_lines(box: tuple[int, ...]) -> None:
    found = OrientedBox.from_mask(boxes.box_mask(box, height=30, width=40))
    assert found is not None
    assert found.theta == 0
    np.testing.assert_allclose(found.bounds(), box, atol=1e-4)


def test_a_diagonal_line_is_one_component() -> None:
    mask = np.eye(10, dtype=np.uint8)  # down and to the right; any value but 0 is the target
    found = OrientedBox.from_mask(mask)
    assert found is not None
    assert (found.center_x, found.center_y) == pytest.approx((4.5, 4.5), abs=1e-4)
    # 9 steps and one diagonal pixel along, one diagonal pixel across
    assert sorted((found.size_x, found.size_y)) == pytest.approx([sqrt(2), 10 * sqrt(2)], abs=1e-3)


@pytest.mark.parametrize('degrees', [-40, -20, -5, 5, 20, 40])
def test_a_turned_rectangle_is_found(degrees: float) -> None:
    given = OrientedBox(80, 60, 90, 30, radians(degrees))
    found = OrientedBox.from_mask(rasterised(given, 120, 160))
    assert found is not None
    assert found.theta == pytest.approx(given.theta, abs=radians(0.5))
    assert (found.center_x, found.center_y) == pytest.approx((80, 60), abs=0.5)
    assert (found.size_x, found.size_y) == pytest.approx((90, 30), abs=1.5)


def test_a_steep_rectangle_is_named_by_its_flatter_side() -> None:
    found = OrientedBox.from_mask(rasterised(OrientedBox(80, 60, 90, 30, radians(70)), 120, 160))
    assert found is not None
    assert found.theta == pytest.approx(radians(-20), abs=radians(0.5))
    assert (found.size_x, found.size_y) == pytest.approx((30, 90), abs=1.5)


def test_a_triangle_has_the_rectangle_of_least_area() -> None:
    # legs 80 and 60, hypotenuse 100: on the legs 81 x 61 pixels, on the hypotenuse more
    mask = np.zeros((100, 100), np.uint8)
    cv2.fillPoly(mask, [np.array([[10, 10], [90, 10], [10, 70]])], 255)
    found = OrientedBox.from_mask(mask)
    assert found is not None
    np.testing.assert_allclose(found.bounds(), [10, 10, 81, 61], atol=1e-4)


def test_only_the_largest_component_counts() -> None:
    mask = boxes.box_mask([5, 5, 10, 6], 60, 80) | boxes.box_mask([60, 40, 4, 4], 60, 80)
    found = OrientedBox.from_mask(mask)
    assert found is not None
    np.testing.assert_allclose(found.bounds(), [5, 5, 10, 6], atol=1e-4)


def test_an_empty_mask_has_no_box() -> None:
    assert OrientedBox.from_mask(np.zeros((5, 5), np.uint8)) is None
