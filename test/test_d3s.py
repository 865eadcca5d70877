"""Crop, box and size as D3S has them, worked by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from memtrack_ros.geometry import boxes
from memtrack_ros.trackers.d3s import D3S_CROP, Square, TargetSize, fitted_box, outline, patch

FRAME = (480, 640, 3)


def filled(box: tuple[int, int, int, int]) -> np.ndarray:
    """Probabilities of 1 in the box."""
    return boxes.box_mask(np.array(box, float), D3S_CROP, D3S_CROP).astype(np.float32) / 255


def test_the_square_lies_on_whole_pixels_around_the_target() -> None:
    # A box x 10, y 20, w 25, h 16 spans 10 .. 35 and 20 .. 36: sqrt(400) * 4 = 80 pixels from
    # 22.5 - 40 = -17.5, to even -18, and 28 - 40 = -12 on.
    box = np.array([10.0, 20.0, 25.0, 16.0])
    square = Square.around(boxes.centre(box), box[2:])
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
    sample = patch(frame, [50.3, 39.6], 2.2, 4)
    assert sample[0, :, 1].tolist() == [48, 50, 52, 54]
    assert sample[:, 0, 0].tolist() == [38, 40, 42, 44]
    beyond = patch(frame, [0.0, 99.0], 1.0, 4)
    assert beyond[0, :, 1].tolist() == [0, 0, 1, 2]
    assert beyond[:, 0, 0].tolist() == [98, 99, 99, 99]


def test_the_outline_is_that_of_the_largest_thing() -> None:
    both = np.maximum(filled((100, 120, 61, 41)), filled((200, 300, 9, 9)))
    found = outline(both)
    assert found is not None
    assert found.box.tolist() == [100, 120, 61, 41]
    assert found.area == 60 * 40  # between the centres of the outer pixels
    assert np.count_nonzero(found.mask) == 61 * 41
    # The smallest rectangle is 60 x 40 and upright: nothing to shrink, one pixel is added.
    assert found.scale == pytest.approx(math.sqrt(61 * 41), rel=1e-6)
    assert outline(filled((100, 100, 8, 8))) is None  # 49 are not enough


def test_the_fitted_box_leaves_out_what_hardly_counts() -> None:
    # A body of 121 x 41 with a thin tail of 60 x 2 pixels: 120 of 5081 are less than a tenth.
    body = np.maximum(filled((100, 150, 121, 41)), filled((221, 170, 60, 2)))
    found = outline(body)
    assert found is not None
    assert found.box[2] == 181
    fitted = fitted_box(found)
    assert max(fitted.size_x, fitted.size_y) < 150
    assert abs(math.sin(2 * fitted.theta)) < 0.1


def test_the_fitted_box_turns_with_the_target() -> None:
    picture = np.zeros((D3S_CROP, D3S_CROP), np.uint8)
    corners = cv2.boxPoints(((190.0, 200.0), (120.0, 50.0), 30.0))
    cv2.fillConvexPoly(picture, corners.astype(np.int32), 1)
    found = outline(picture.astype(np.float32))
    assert found is not None
    fitted = fitted_box(found)
    assert [fitted.center_x, fitted.center_y] == pytest.approx([190, 200], abs=2)
    long, short = sorted([fitted.size_x, fitted.size_y], reverse=True)
    assert [long, short] == pytest.approx([120, 50], abs=4)
    along = fitted.theta if fitted.size_x > fitted.size_y else fitted.theta + math.pi / 2
    assert math.sin(2 * (along - math.radians(30))) == pytest.approx(0, abs=0.05)


def test_the_size_follows_slowly_and_only_what_is_believed() -> None:
    size = TargetSize()
    size.begin((60, 40), FRAME)
    size.expect(2400)
    larger = outline(filled((100, 120, 79, 54)))
    assert larger is not None
    size.follow(larger, 1.0, FRAME)  # sqrt(79 * 54 / 2400) = 1.33, at most 1.05
    assert size.within(FRAME) == pytest.approx([63, 42])
    size.follow(larger, 0.5, FRAME)  # 0.65, at least 0.95
    assert size.within(FRAME) == pytest.approx([63 * 0.95, 42 * 0.95])
    # Areas accepted: 2400 and twice 78 * 53 = 4134; three times their mean is believed no more.
    assert size.believes(larger)
    huge = outline(filled((50, 50, 130, 90)))
    assert huge is not None
    assert not size.believes(huge)
    size.follow(huge, 1.0, FRAME)
    assert size.within(FRAME) == pytest.approx([63 * 0.95, 42 * 0.95])
