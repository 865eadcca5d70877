"""Arrays to messages and back."""

from __future__ import annotations

import sys
from array import array
from math import atan, isnan, nan, radians, tan
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from memtrack_ros import msg
from memtrack_ros.errors import ImageError
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.memory import BankStatus
from memtrack_ros.nodes import messages
from memtrack_ros.session import Estimate, State
from memtrack_ros.wire import images, targets
from memtrack_ros.wire.stamps import seconds

RNG = np.random.default_rng(7)
FRAME = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREY = RNG.integers(0, 256, (5, 7), np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7, 1), np.uint8)
HEADER = Header(stamp=Time(sec=3, nanosec=14), frame_id='eye')


def image(pixels: np.ndarray[Any, Any], encoding: str, padding: int = 0, **fields: Any) -> Image:
    """A message of these pixels, its rows followed by `padding` bytes of noise."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    rows = np.hstack([rows, RNG.integers(0, 256, (len(rows), padding), np.uint8)])
    height, width = pixels.shape[:2]
    made = Image(height=height, width=width, encoding=encoding, step=rows.shape[1], header=HEADER)
    made.data = array('B', rows.tobytes())
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize('padding', [0, 1, 9])
@pytest.mark.parametrize('bigendian', [0, 1])
@pytest.mark.parametrize(
    ('encoding', 'pixels', 'expected'),
    [
        ('bgr8', FRAME, FRAME),
        ('rgb8', FRAME[:, :, ::-1], FRAME),
        ('bgra8', np.dstack([FRAME, ALPHA]), FRAME),
        ('rgba8', np.dstack([FRAME[:, :, ::-1], ALPHA]), FRAME),
        ('mono8', GREY, np.dstack([GREY] * 3)),
    ],
)
def test_eight_bit_encodings(
    encoding: str,
    pixels: np.ndarray[Any, Any],
    expected: np.ndarray[Any, Any],
    padding: int,
    bigendian: int,
) -> None:
    frame = messages.image_to_bgr(image(pixels, encoding, padding, is_bigendian=bigendian))
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    assert np.array_equal(frame, expected)


@pytest.mark.parametrize('padding', [0, 2, 5])
@pytest.mark.parametrize('order', ['<', '>'])
def test_of_mono16_the_high_byte_is_seen(order: str, padding: int) -> None:
    deep = (GREY.astype(np.uint16) << 8 | 0x5A).astype(f'{order}u2')
    frame = messages.image_to_bgr(image(deep, 'mono16', padding, is_bigendian=order == '>'))
    assert np.array_equal(frame, np.dstack([GREY] * 3))


def test_plain_bgr_is_not_copied() -> None:
    message = image(FRAME, 'bgr8')
    assert np.shares_memory(messages.image_to_bgr(message), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize('encoding', ['bgr8', 'mono16', 'yuv422_yuy2'])
@pytest.mark.parametrize('fields', [{'data': []}, {'width': 0}, {'height': 0}])
def test_an_empty_image_is_refused(encoding: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match='the image is empty'):
        messages.image_to_bgr(image(FRAME, encoding, **fields))


@pytest.mark.parametrize(
    ('step', 'reason'),
    [(0, 'step 0 is below the 21 bytes'), (20, 'step 20 is below'), (22, '105 bytes, not step 22')],
)
def test_a_wrong_step_is_refused(step: int, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        messages.image_to_bgr(image(FRAME, 'bgr8', step=step))


def test_data_of_another_length_are_refused() -> None:
    for data in (bytes(104), bytes(126)):
        with pytest.raises(ImageError, match=f'data has {len(data)} bytes, not step 21 times'):
            messages.image_to_bgr(image(FRAME, 'bgr8', data=array('B', data)))


def test_an_encoding_without_cv_bridge_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    messages._bridge.cache_clear()
    with pytest.raises(ImageError, match="'bayer_rggb8' needs cv_bridge"):
        messages.image_to_bgr(image(GREY, 'bayer_rggb8'))
    messages._bridge.cache_clear()


def test_an_encoding_goes_through_cv_bridge() -> None:
    pytest.importorskip('cv_bridge', reason='cv_bridge comes with ROS only')
    wide = FRAME.astype(np.uint16) * 257
    assert np.array_equal(messages.image_to_bgr(image(wide, 'bgr16')), FRAME)
    with pytest.raises(ImageError, match='step 6 is too short for 7 pixels'):
        messages.image_to_bgr(image(GREY, 'bayer_rggb8', step=6, data=array('B', bytes(30))))
    with pytest.raises(ImageError, match="cv_bridge does not turn encoding 'nonsense'"):
        messages.image_to_bgr(image(FRAME, 'nonsense'))


def test_frames_and_masks_come_back_from_their_messages() -> None:
    message = messages.bgr_to_image(FRAME[:, ::-1], HEADER)
    assert (message.header, message.encoding, message.step) == (HEADER, 'bgr8', 21)
    assert np.array_equal(messages.image_to_bgr(message), FRAME[:, ::-1])
    mask = np.where(GREY > 127, np.uint8(255), np.uint8(0))
    message = messages.mask_to_image(mask, HEADER)
    assert (message.header, message.encoding, message.step) == (HEADER, 'mono8', 7)
    assert np.array_equal(images.image_to_mask(message), mask)


def test_a_mask_is_what_is_not_zero() -> None:
    mask = images.image_to_mask(image(GREY % 3, 'mono8', padding=2))
    assert np.array_equal(mask, (GREY % 3 > 0) * 255)
    with pytest.raises(ImageError, match="the mask is 'bgr8': send mono8"):
        images.image_to_mask(image(FRAME, 'bgr8'))


def test_compressed_images_are_read() -> None:
    ok, png = cv2.imencode('.png', FRAME)
    assert ok
    message = CompressedImage(format='png', data=array('B', png.tobytes()))
    assert np.array_equal(images.compressed_to_bgr(message), FRAME)
    ok, png = cv2.imencode('.png', GREY)
    message.data = array('B', png.tobytes())
    assert np.array_equal(images.compressed_to_bgr(message), np.dstack([GREY] * 3))


def test_a_compressed_image_that_does_not_decode_is_refused() -> None:
    with pytest.raises(ImageError, match='is empty'):
        images.compressed_to_bgr(CompressedImage(format='jpeg'))
    with pytest.raises(ImageError, match="'jpeg'.* does not decode"):
        images.compressed_to_bgr(CompressedImage(format='jpeg', data=array('B', bytes(50))))


def estimate(box: OrientedBox | None, **fields: Any) -> Estimate:
    values: dict[str, Any] = {
        'state': State.TRACKING,
        'confidence': 0.75,
        'score': 0.5,
        'box': box,
        'roi': None if box is None else box.bounds(),
        'mask': None,
        'mask_is_box': False,
        'frames_tracked': 4,
        'spread': 2.5,
    }
    return Estimate(**(values | fields))


def test_an_estimate_becomes_a_target() -> None:
    mask = np.zeros((480, 640), np.uint8)
    mask[100:110, 50:70] = 255
    target = messages.estimate_to_target(
        estimate(OrientedBox.from_box((50, 100, 20, 10)), mask=mask, mask_is_box=True),
        HEADER,
        (640, 480),
        target_id=3,
        tracker='stmtrack',
        calibration=calibrated(),
        last_seen=HEADER.stamp,
        memory=BankStatus(entries=1, capacity=2, bytes=3, writes=4, refused=5, frozen=True),
        processing_time=0.25,
        image_age=0.5,
        frames_dropped=7,
    )
    assert (target.processing_time, target.image_age, target.frames_dropped) == (0.25, 0.5, 7)
    assert target.header == HEADER
    assert (target.target_id, target.tracker, target.state) == (3, 'stmtrack', 1)
    assert (target.confidence, target.score, target.frames_tracked) == (0.75, 0.5, 4)
    assert target.spread == 2.5
    box = target.box
    assert (box.center_x, box.center_y) == (59.5, 104.5)
    assert (box.size_x, box.size_y, box.theta) == (20, 10, 0)
    assert list(target.roi) == [50, 100, 20, 10]
    assert (target.has_mask, target.mask_is_box, target.mask_area) == (True, True, 200)
    assert (target.image_width, target.image_height) == (640, 480)
    assert target.error_x == pytest.approx((60 - 320) / 320)
    assert target.error_y == pytest.approx((105 - 240) / 240)
    assert target.bearing_valid
    angles = atan((59.5 - 319.5) / 400), atan((104.5 - 239.5) / 410)
    assert (target.bearing_x, target.bearing_y) == pytest.approx(angles)
    assert target.last_seen == HEADER.stamp
    assert target.memory == msg.MemoryStatus(
        entries=1, capacity=2, bytes=3, writes=4, refused=5, frozen=True
    )


def test_what_is_unknown_is_nan_and_its_flag_false() -> None:
    idle = estimate(None, state=State.IDLE, confidence=nan, score=nan, frames_tracked=0, spread=nan)
    target = messages.estimate_to_target(idle, HEADER, (640, 480))
    numbers = [target.confidence, target.score, target.spread, *target.roi]
    numbers += [target.error_x, target.error_y]
    numbers += [target.bearing_x, target.bearing_y, *target.position_covariance]
    numbers += [target.position.x, target.position.y, target.position.z]
    numbers += [getattr(target.box, name) for name in msg.OrientedBox.get_fields_and_field_types()]
    assert all(isnan(number) for number in numbers)
    flags = target.has_mask, target.mask_is_box, target.bearing_valid, target.position_valid
    assert flags == (False,) * 4
    assert target.last_seen == Time()


def test_stamps_are_seconds_and_zero_is_none() -> None:
    assert seconds(Time(sec=1_700_000_000, nanosec=250_000_000)) == 1_700_000_000.25
    assert seconds(Time(nanosec=1)) == 1e-9
    assert seconds(Time()) is None


def calibrated(model: str = 'plumb_bob', d: tuple[float, ...] = (), **fields: Any) -> CameraInfo:
    info = CameraInfo(width=640, height=480, distortion_model=model, d=list(d))
    info.k = [400.0, 0.0, 319.5, 0.0, 410.0, 239.5, 0.0, 0.0, 1.0]
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def test_bearing_without_distortion() -> None:
    assert targets.bearing(calibrated(), (319.5, 239.5), (640, 480)) == pytest.approx((0, 0))
    right_and_below = targets.bearing(calibrated(), (419.5, 249.5), (640, 480))
    assert right_and_below == pytest.approx((atan(100 / 400), atan(10 / 410)))


@pytest.mark.parametrize(
    ('model', 'd'),
    [
        ('plumb_bob', (-0.3, 0.1, 0.001, -0.002, 0.01)),
        ('rational_polynomial', (0.4, -0.2, 0.001, 0.002, 0.05, 0.6, -0.1, 0.1)),
        ('equidistant', (0.05, -0.02, 0.01, -0.003)),
    ],
)
def test_bearing_has_the_distortion_removed(model: str, d: tuple[float, ...]) -> None:
    angles = radians(17), radians(-11)
    info = calibrated(model, d)
    ray = np.array([[[tan(angles[0]), tan(angles[1]), 1.0]]])
    project = cv2.fisheye.projectPoints if model == 'equidistant' else cv2.projectPoints
    zero = np.zeros(3)
    point = project(ray, zero, zero, info.k.reshape(3, 3), np.array(d))[0].reshape(2)
    assert targets.bearing(info, tuple(point), (640, 480)) == pytest.approx(angles, abs=1e-4)


def test_bearing_honours_binning_and_region_of_interest() -> None:
    info = calibrated(binning_x=2, binning_y=2)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 40, 400, 300
    x, y = (319.5 + 100 - 100 + 0.5) / 2 - 0.5, (239.5 - 40 + 0.5) / 2 - 0.5
    assert targets.bearing(info, (x, y), (200, 150)) == pytest.approx((atan(0.25), 0))


@pytest.mark.parametrize(
    ('info', 'size'),
    [
        (CameraInfo(width=640, height=480), (640, 480)),
        (calibrated(), (320, 240)),
        (calibrated(d=(0.1, 0.2, 0.3)), (640, 480)),
    ],
    ids=['not calibrated', 'of another size', 'no such model'],
)
def test_no_bearing(info: CameraInfo, size: tuple[int, int]) -> None:
    assert targets.bearing(info, (10, 10), size) is None
