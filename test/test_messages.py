"""Arrays to messages and back."""

from __future__ import annotations

import sys
from array import array
from math import atan, isnan, nan
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from memtrack_ros import msg
from memtrack_ros.errors import ImageError
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.memory import BankStatus
from memtrack_ros.nodes import messages
from memtrack_ros.session import Estimate, State
from memtrack_ros.wire import images
from memtrack_ros.wire.bearing import CameraCalibration
from memtrack_ros.wire.gain import Gain
from memtrack_ros.wire.stamps import seconds

RNG = np.random.default_rng(7)
FRAME = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREY = RNG.integers(0, 256, (5, 7), np.uint8)
HEADER = Header(stamp=Time(sec=3, nanosec=14), frame_id='eye')


def image(pixels: np.ndarray[Any, Any], encoding: str, **fields: Any) -> Image:
    height, width = pixels.shape[:2]
    made = Image(height=height, width=width, encoding=encoding, step=pixels.nbytes // height)
    made.data = array('B', pixels.tobytes())
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_an_encoding_without_cv_bridge_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    messages._bridge.cache_clear()
    with pytest.raises(ImageError, match="'nv24' needs cv_bridge"):
        messages.image_to_bgr(image(GREY, 'nv24'))
    with pytest.raises(ImageError, match='the image is empty'):
        messages.image_to_bgr(image(GREY, 'nv24', data=[]))
    messages._bridge.cache_clear()


def test_what_cv_bridge_does_not_read_either_is_refused() -> None:
    pytest.importorskip('cv_bridge', reason='cv_bridge comes with ROS only')
    with pytest.raises(ImageError, match="cv_bridge does not turn encoding 'nonsense'"):
        messages.image_to_bgr(image(FRAME, 'nonsense'))


def test_sixteen_bits_are_seen_by_the_gain_of_their_camera() -> None:
    ramp = np.linspace(7000, 8000, 35).astype(np.uint16).reshape(5, 7)
    gain = Gain()
    assert np.ptp(messages.image_to_bgr(image(ramp, 'mono16'), gain)) == 255
    half = image((ramp + 7500) // 2, 'mono16')
    assert np.ptp(messages.image_to_bgr(half, gain)) < 150
    assert np.ptp(messages.image_to_bgr(half)) == 255


def test_frames_and_masks_come_back_from_their_messages() -> None:
    message = messages.bgr_to_image(FRAME[:, ::-1], HEADER)
    assert (message.header, message.encoding, message.step) == (HEADER, 'bgr8', 21)
    assert np.array_equal(messages.image_to_bgr(message), FRAME[:, ::-1])
    mask = np.where(GREY > 127, np.uint8(255), np.uint8(0))
    message = messages.mask_to_image(mask, HEADER)
    assert (message.header, message.encoding, message.step) == (HEADER, 'mono8', 7)
    assert np.array_equal(images.image_to_mask(message), mask)


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
    info = CameraInfo(width=640, height=480, distortion_model='plumb_bob')
    info.k = [400.0, 0.0, 319.5, 0.0, 410.0, 239.5, 0.0, 0.0, 1.0]
    calibration = CameraCalibration(rectified=False, warn=pytest.fail)
    calibration.update(info)
    mask = np.zeros((480, 640), np.uint8)
    mask[100:110, 50:70] = 255
    target = messages.estimate_to_target(
        estimate(OrientedBox.from_box((50, 100, 20, 10)), mask=mask, mask_is_box=True),
        HEADER,
        (640, 480),
        target_id=3,
        tracker='stmtrack',
        calibration=calibration,
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
