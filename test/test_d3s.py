"""Crop, box and size as D3S has them, worked by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.trackers import Target
from memtrack_ros.trackers.d3s import (
    D3S_CROP,
    Contours,
    Square,
    bounds,
    contours_of,
    fitted,
    inside,
    patch,
    upright_size,
)
from memtrack_ros.trackers.d3s_loop import Loop, Start

FRAME = (480, 640, 3)


def filled(box: tuple[int, int, int, int]) -> np.ndarray:
    """Probabilities of 1 in the box."""
    return boxes.box_mask(np.array(box, float), D3S_CROP, D3S_CROP).astype(np.float32) / 255


def test_the_square_lies_on_whole_pixels_around_the_target() -> None:
    # A box x 10, y 20, w 25, h 16 spans 10 .. 35 and 20 .. 36: sqrt(400) * 4 = 80 pixels from
    # 22.5 - 40 = -17.5, to even -18, and 28 - 40 = -12 on.
    box = np.array([10.0, 20.0, 25.0, 16.0])
    square = Square.around(box[:2] + box[2:] / 2, box[2:])
    assert square == (-18, -12, 80)
    # Columns -18 .. 61: their middle is 21.5, a crop pixel is 80 / 384 of the frame's.
    assert square.window.center_x == 21.5
    assert square.window.pitch == 80 / D3S_CROP


def test_the_crop_repeats_the_frames_edge_and_masks_end_there() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[:, :10] = 200
    square = Square(-40, 10, 80)
    shown = square.show(frame)
    assert (shown[:, : D3S_CROP // 2 + 40] == 200).all()
    assert (shown[:, D3S_CROP // 2 + 60 :] == 0).all()
    mask = np.full((100, 100), 255, np.uint8)
    half = square.show_mask(mask)
    assert half[:, : D3S_CROP // 2 - 5].max() == 0
    assert half[:, D3S_CROP // 2 + 5 :].min() == 1


def test_a_square_that_reaches_the_last_column_leaves_it_out() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[:, 99] = 255
    assert Square(20, 10, 80).show(frame).max() == 0
    assert Square(19, 10, 80).show(frame).max() == 0  # column 98 is its last
    assert Square(20, 10, 80).show_mask(frame[..., 0]).max() == 0


def test_a_sample_takes_every_other_pixel_of_a_large_target() -> None:
    # Around pixel (50, 40) at a pitch of 2.2: every second pixel, and of these 4 * 2.2 / 2 = 4 (of
    # 4.4) from one before the middle on: columns 48, 50, 52, 54.
    frame = np.zeros((100, 120, 3), np.uint8)
    frame[..., 0], frame[..., 1] = np.mgrid[:100, :120]
    sample = patch(frame, [50.8, 40.1], 2.2, 4)
    assert sample[0, :, 1].tolist() == [48, 50, 52, 54]
    assert sample[:, 0, 0].tolist() == [38, 40, 42, 44]
    beyond = patch(frame, [0.5, 99.5], 1.0, 4)
    assert beyond[0, :, 1].tolist() == [0, 0, 1, 2]
    assert beyond[:, 0, 0].tolist() == [98, 99, 99, 99]


def outlined(picture: np.ndarray) -> Contours:
    found = contours_of(picture.astype(np.float32), 0.5)
    assert found is not None
    return found


def test_the_outline_is_that_of_the_largest_thing() -> None:
    found = outlined(np.maximum(filled((100, 120, 61, 41)), filled((200, 300, 9, 9))))
    assert bounds(found, together=False)[[0, 2]].tolist() == [[100, 120], [160, 160]]
    assert found.area == 60 * 40  # between the centres of the outer pixels
    assert len(found.parts) == 2
    assert np.count_nonzero(inside(found.largest)) == 61 * 41
    # The smallest rectangle is 60 x 40 and upright: nothing to shrink, one pixel is added.
    assert upright_size(found.smallest) == pytest.approx([61, 41], rel=1e-6)
    assert contours_of(filled((100, 100, 8, 8)), 0.5) is None  # 49 are not enough


def test_the_fitted_box_leaves_out_what_hardly_counts() -> None:
    # A body of 121 x 41 with a thin tail of 60 x 2 pixels: 120 of 5081 are less than a tenth.
    found = outlined(np.maximum(filled((100, 150, 121, 41)), filled((221, 170, 60, 2))))
    assert np.ptp(bounds(found, together=False)[:, 0]) == 180
    box = OrientedBox.from_corners(fitted(found))
    assert max(box.size_x, box.size_y) < 150
    assert abs(math.sin(2 * box.theta)) < 0.1


def test_the_fitted_box_turns_with_the_target() -> None:
    picture = np.zeros((D3S_CROP, D3S_CROP), np.uint8)
    corners = cv2.boxPoints(((190.0, 200.0), (120.0, 50.0), 30.0))
    cv2.fillConvexPoly(picture, corners.astype(np.int32), 1)
    box = OrientedBox.from_corners(fitted(outlined(picture)))
    assert [box.center_x, box.center_y] == pytest.approx([190, 200], abs=2)
    long, short = sorted([box.size_x, box.size_y], reverse=True)
    assert [long, short] == pytest.approx([120, 50], abs=4)
    along = box.theta if box.size_x > box.size_y else box.theta + math.pi / 2
    assert math.sin(2 * (along - math.radians(30))) == pytest.approx(0, abs=0.05)


def test_a_turned_start_keeps_its_area() -> None:
    # 100 x 20 at 45 degrees: extents 84.85 x 84.85, area 2000, so 44.7 x 44.7 and a pixel.
    turned = OrientedBox(160, 120, 100, 20, math.pi / 4)
    mask = np.zeros((240, 320), np.uint8)
    loop = Loop.begun(Target(turned.bounds(), mask, exact=False, pointed=turned.polygon()))
    assert loop.start is Start.CORNERS
    assert loop.place == pytest.approx([160.5, 120.5])
    assert loop.size == pytest.approx(math.sqrt(2000) + 1)
    # The filter sees 256 pixels of it.
    assert 4.5 * math.sqrt(float(loop.base.prod())) == pytest.approx(256)


def test_the_size_follows_slowly_and_only_what_is_believed() -> None:
    loop = Loop.begun(Target(np.array([0.0, 0, 60, 40]), np.ones((1, 1), np.uint8)))
    loop.areas = np.array([2400.0])
    place, square = np.array([200.0, 150.0]), Square(8, 54, D3S_CROP)  # a crop pixel is the frame's
    larger = outlined(filled((100, 120, 79, 54)))
    after = loop.after(larger, square, place, uncertainty=1.0)
    assert after.scale == pytest.approx(1.1 * loop.scale)  # 1.33, at most 1.1 for a mask
    assert after.areas.tolist() == [2400, 78 * 53]
    assert after.place == pytest.approx(place + np.array([139, 146.5]) - 192)
    unsure = loop.after(larger, square, place, uncertainty=4.0)
    assert (unsure.scale, len(unsure.areas)) == (loop.scale, 1)
    assert unsure.place == pytest.approx(after.place)
    # Of an area that is more than twice another only the size is taken, of thrice nothing.
    twice = outlined(filled((100, 120, 88, 60)))
    assert loop.change(twice.area) > 1
    assert loop.after(twice, square, place, 1.0).place == pytest.approx(loop.place)
    assert not loop.believes(outlined(filled((50, 50, 130, 90))))
    assert not Loop.begun(Target(np.array([0.0, 0, 9, 9]), np.ones((1, 1), np.uint8))).believes(
        larger
    )


def test_a_new_size_of_the_frames_is_taken_over() -> None:
    box = np.array([30.0, 20, 60, 40])
    loop = Loop.begun(Target(box, np.ones((1, 1), np.uint8), pointed=box))
    assert loop.towards(box) is loop
    half = loop.towards(np.array([15.0, 20, 30, 40]))
    assert half.place.tolist() == [30, 40]
    assert half.size.tolist() == [30, 40]
    assert half.base * half.scale == pytest.approx([30, 40])
    assert 4.5 * math.sqrt(float(half.base.prod())) == pytest.approx(256)
