"""From pixels to bearings: matrices, lenses, and calibrations that are none."""

from __future__ import annotations

from math import atan, degrees, hypot, inf, isfinite, nan, pi, radians, tan
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sensor_msgs.msg import CameraInfo

from memtrack_ros.wire.bearing import CameraCalibration, is_rectified

SIZE = 640, 480


def info_of(
    model: str = 'plumb_bob', d: tuple[float, ...] = (), size: tuple[int, int] = SIZE, **fields: Any
) -> CameraInfo:
    """A calibration with its axis in the middle; K and P differ."""
    width, height = size
    info = CameraInfo(width=width, height=height, distortion_model=model, d=list(d))
    cx, cy = (width - 1) / 2, (height - 1) / 2
    info.k = [400.0, 0.0, cx, 0.0, 410.0, cy, 0.0, 0.0, 1.0]
    info.p = [450.0, 0.0, cx + 3, -27.0, 0.0, 450.0, cy - 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.r = np.eye(3).ravel()
    for name, value in fields.items():
        setattr(info, name, value)
    return info


def calibration(info: CameraInfo, rectified: bool = False) -> tuple[CameraCalibration, list[str]]:
    """What became of it, and what was said of it."""
    said: list[str] = []
    made = CameraCalibration(rectified, said.append)
    made.update(info)
    return made, said


def bearing(
    info: CameraInfo,
    point: tuple[float, float],
    size: tuple[int, int] = SIZE,
    rectified: bool = False,
) -> tuple[float, float] | None:
    return calibration(info, rectified)[0].bearing(point, size)


def pixel(info: CameraInfo, ray: tuple[float, float]) -> tuple[float, float]:
    """Where OpenCV images a ray (x, y, 1) on the whole sensor."""
    project = (
        cv2.fisheye.projectPoints
        if info.distortion_model in ('equidistant', 'fisheye')
        else cv2.projectPoints
    )
    zero, k, d = np.zeros(3), np.array(info.k).reshape(3, 3), np.array(info.d)
    x, y = project(np.array([[[*ray, 1.0]]]), zero, zero, k, d)[0].ravel()
    return float(x), float(y)


# Which matrix


def test_raw_images_without_distortion() -> None:
    assert bearing(info_of(), (319.5, 239.5)) == pytest.approx((0, 0))
    assert bearing(info_of(), (419.5, 249.5)) == pytest.approx((atan(100 / 400), atan(10 / 410)))


def test_rectified_images_have_the_projection_and_no_distortion() -> None:
    info = info_of(d=(-0.1, 0.02, 0.001, -0.002, 0.0))
    angles = bearing(info, (322.5 + 280, 237.5 - 90), rectified=True)
    assert angles == pytest.approx((atan(280 / 450), atan(-90 / 450)))
    assert degrees(angles[0]) == pytest.approx(31.9, abs=0.05)
    raw = bearing(info, (322.5 + 280, 237.5 - 90))
    assert degrees(raw[0]) > 35
    # What is said of the raw image only does not matter.
    info.distortion_model, info.d = 'of my own', [1.0] * 3
    assert bearing(info, (322.5 + 280, 237.5 - 90), rectified=True) == angles


@pytest.mark.parametrize(
    ('topic', 'rectified'),
    [
        ('/camera/image_rect', True),
        ('/camera/image_rect_color', True),
        ('/camera/depth/image_rect_raw', True),
        ('/camera/image_rect/compressed', True),
        ('image_rect', True),
        ('/camera/image_raw', False),
        ('/camera/image', False),
        ('/rectified/image_raw', False),
        ('/camera/image_raw/compressed', False),
    ],
)
def test_a_topic_says_whether_its_images_are_rectified(topic: str, rectified: bool) -> None:
    assert is_rectified(topic) == rectified


@pytest.mark.parametrize('rectified', [False, True])
def test_binning_and_region_of_interest(rectified: bool) -> None:
    info = info_of(binning_x=2, binning_y=2)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 40, 400, 300
    axis, focal = ((322.5, 237.5), (450, 450)) if rectified else ((319.5, 239.5), (400, 410))
    x, y = (axis[0] + 100 - 100 + 0.5) / 2 - 0.5, (axis[1] + 50 - 40 + 0.5) / 2 - 0.5
    angles = bearing(info, (x, y), (200, 150), rectified)
    assert angles == pytest.approx((atan(100 / focal[0]), atan(50 / focal[1])))
    assert bearing(info, (x, y), (400, 300), rectified) is None


# Lenses


@pytest.mark.parametrize(
    ('model', 'd'),
    [
        ('plumb_bob', (-0.3, 0.1, 0.001, -0.002, 0.01)),
        ('plumb_bob', (-0.3, 0.1, 0.001, -0.002)),
        ('rational_polynomial', (0.4, -0.2, 0.001, 0.002, 0.05, 0.6, -0.1, 0.1)),
        ('rational_polynomial', (0.0,) * 12 + (0.3, -0.2)),
        ('equidistant', (0.05, -0.02, 0.01, -0.003)),
        ('fisheye', (0.05, -0.02, 0.01, -0.003)),
    ],
)
@pytest.mark.parametrize('angles', [(17.0, -11.0), (-24.0, 3.0), (0.0, 0.0), (1e-7, 0.0)])
def test_lens_distortion_is_removed(
    model: str, d: tuple[float, ...], angles: tuple[float, float]
) -> None:
    info = info_of(model, d)
    right, below = radians(angles[0]), radians(angles[1])
    point = pixel(info, (tan(right), tan(below)))
    assert bearing(info, point) == pytest.approx((right, below), abs=1e-6)


@pytest.mark.parametrize('radius', [0.9, 0.97])
def test_strong_distortion_is_removed_where_opencv_gives_up_too_early(radius: float) -> None:
    info = info_of(d=(-0.5, 0.1, 0.0, 0.0, 0.0))
    point = pixel(info, (0.8 * radius, 0.6 * radius))
    k, d = np.array(info.k).reshape(3, 3), np.array(info.d)
    five_rounds = cv2.undistortPoints(np.array([[point]]), k, d).ravel()
    assert degrees(atan(0.8 * radius) - atan(five_rounds[0])) > 1.5
    expected = atan(0.8 * radius), atan(0.6 * radius)
    assert bearing(info, point) == pytest.approx(expected, abs=1e-4)


def test_a_pixel_that_no_ray_is_imaged_on_has_no_bearing() -> None:
    # r (1 - r²/2 + r⁴/10) grows up to .6, at r = 1, falls, and grows again from r² = 2 on: what is
    # further out than .6 is imaged a second time, from behind the fold.
    info = info_of(d=(-0.5, 0.1, 0.0, 0.0, 0.0))
    for share in np.linspace(0, 0.98, 12):
        point = pixel(info, (share, 0.0))
        assert bearing(info, point) == pytest.approx((atan(share), 0), abs=1e-3)
    for beyond in np.linspace(0.61, 1.2, 12):
        assert bearing(info, (319.5 + 400 * beyond, 239.5)) is None
    assert bearing(info, (0, 0)) is None


def test_of_a_fisheye_half_the_world_has_a_bearing() -> None:
    info = info_of('equidistant', (0.0,) * 4, (300, 300))
    info.k = [80.0, 0.0, 149.5, 0.0, 80.0, 149.5, 0.0, 0.0, 1.0]
    for angle in range(0, 90, 5):
        right = bearing(info, (149.5 + 80 * radians(angle), 149.5), (300, 300))
        assert right == pytest.approx((radians(angle), 0), abs=1e-4)
    edge = 149.5 + 80 * pi / 2 * np.array([0.6, 0.8])  # within half a pixel of the last ray
    assert bearing(info, (edge[0], edge[1] + 0.1), (300, 300)) is None
    for y in range(0, 300, 12):
        for x in range(0, 300, 12):
            from_axis = hypot(x - 149.5, y - 149.5) / 80
            if abs(from_axis - pi / 2) < 0.002:
                continue
            angles = bearing(info, (x, y), (300, 300))
            assert (angles is not None) == (from_axis < pi / 2), (x, y)
            if angles is not None:
                assert atan(hypot(tan(angles[0]), tan(angles[1]))) == pytest.approx(
                    from_axis, abs=1e-3
                )


# Calibrations that are none


def changed(name: str, index: int, value: float) -> CameraInfo:
    info = info_of()
    getattr(info, name)[index] = value
    return info


def with_roi(**fields: int) -> CameraInfo:
    info = info_of()
    for name, value in fields.items():
        setattr(info.roi, name, value)
    return info


@pytest.mark.parametrize(
    ('info', 'reason'),
    [
        (CameraInfo(width=640, height=480), 'fx, K[0] of camera_info, is 0, not 1 to 1e+07 pixels'),
        (changed('k', 0, 0.0), 'fx, K[0] of camera_info, is 0, not 1 to 1e+07 pixels'),
        (changed('k', 0, -400.0), 'fx, K[0] of camera_info, is -400, not 1 to'),
        (changed('k', 4, -1.0), 'fy, K[4] of camera_info, is -1, not 1 to'),
        # As shares of the image, and as numbers of which half a pixel is no part any more.
        (changed('k', 0, 0.8), 'fx, K[0] of camera_info, is 0.8, not 1 to'),
        (changed('k', 4, 1e-300), 'fy, K[4] of camera_info, is 1e-300, not 1 to'),
        (changed('k', 0, 1e300), 'fx, K[0] of camera_info, is 1e+300, not 1 to'),
        (changed('k', 2, 1e9), 'cx, K[2] of camera_info, is 1e+09, not -1e+07 to 1e+07'),
        (changed('k', 5, -1e9), 'cy, K[5] of camera_info, is -1e+09, not -1e+07 to'),
        (changed('k', 0, inf), 'K[0] of camera_info is inf'),
        (changed('k', 5, nan), 'K[5] of camera_info is nan'),
        (changed('k', 8, nan), 'K[8] of camera_info is nan'),
        (changed('k', 8, 0.0), 'K[8] of camera_info is 0, not 1 as in'),
        (changed('k', 1, 30.0), 'K[1] of camera_info is 30, not 0 as in'),
        (changed('k', 6, 0.5), 'K[6] of camera_info is 0.5, not 0 as in'),
        (changed('p', 3, nan), 'P[3] of camera_info is nan'),
        (changed('r', 4, -inf), 'R[4] of camera_info is -inf'),
        (info_of(d=(0.1, nan, 0, 0, 0)), 'D[1] of camera_info is nan'),
        (info_of(d=(1e200, 0, 0, 0, 0)), 'D[0] of camera_info is 1e+200, not -10000 to 10000'),
        (info_of('fisheye', (0, 0, 0, -1e5)), 'D[3] of camera_info is -100000, not'),
        (info_of(d=(0.1, 0.2, 0.3)), 'D of camera_info has 3 numbers, plumb_bob has 0 or 4 or 5'),
        (info_of(d=(0.1,) * 8), 'D of camera_info has 8 numbers, plumb_bob has'),
        (info_of('rational_polynomial', (0.1,) * 5), 'has 5 numbers, rational_polynomial has 8'),
        (
            info_of('rational_polynomial', (0.0,) * 12 + (2.0, 0.0)),
            'D[12] of camera_info tilts the sensor by 2 rad, and 1.57 or more shows nothing',
        ),
        (
            info_of('rational_polynomial', (0.0,) * 12 + (0.3, -pi / 2)),
            'D[13] of camera_info tilts the sensor by -1.5708 rad',
        ),
        (info_of('equidistant', (0.1,) * 5), 'has 5 numbers, equidistant has 4'),
        (info_of('fisheye'), 'has 0 numbers, fisheye has 4'),
        (info_of('thin_prism', (0.1,) * 5), "distortion_model 'thin_prism' of camera_info is unkn"),
        (info_of(''), "distortion_model '' of camera_info is unknown: calibrate with one of plumb"),
        (with_roi(width=400, height=300, x_offset=300), '400x300 from (300, 0) on, is not within'),
        (with_roi(y_offset=1), '640x480 from (0, 1) on, is not within its 640x480 pixels'),
    ],
)
def test_a_calibration_that_is_none_gives_no_bearing_and_the_reason_once(
    info: CameraInfo, reason: str
) -> None:
    made, said = calibration(info)
    assert made.bearing((10, 10), SIZE) is None
    made.update(info_of())
    assert made.bearing((10, 10), SIZE) is not None
    made.update(info)
    assert made.bearing((10, 10), SIZE) is None
    assert len(said) == 1
    assert said[0].startswith('no bearing: ')
    assert reason in said[0]


def test_rectified_images_need_a_projection() -> None:
    made, said = calibration(info_of(p=[0.0] * 12), rectified=True)
    assert made.bearing((10, 10), SIZE) is None
    assert 'fx, P[0] of camera_info, is 0, not 1 to 1e+07 pixels' in said[0]
    _, said = calibration(changed('p', 10, 0.0), rectified=True)
    assert 'P[10] of camera_info is 0, not 1 as in' in said[0]
    assert bearing(info_of(p=[0.0] * 12), (10, 10)) is not None


def test_a_calibration_for_another_size_is_said_once_for_each() -> None:
    made, said = calibration(info_of())
    for size in [(320, 240), (320, 240), (480, 640), (320, 240)]:
        assert made.bearing((10, 10), size) is None
    assert made.bearing((10, 10), SIZE) is not None
    assert [line.split(': ')[1] for line in said] == [
        'camera_info is for images of 640x480, these have 320x240',
        'camera_info is for images of 640x480, these have 480x640',
    ]


def test_reasons_without_end_are_not_kept() -> None:
    made, said = calibration(info_of())
    for width in range(1000, 1300):
        made.bearing((10, 10), (width, 480))
    assert len(said) == 100


# Whatever comes

LENGTHS = {'plumb_bob': 5, 'rational_polynomial': 8, 'equidistant': 4, 'fisheye': 4}
ODD = some.one_of(
    some.floats(), some.floats(-2000, 2000), some.sampled_from([0.0, 1.0, -1.0, nan, inf, 1e300])
)
SMALL, WHOLE = some.floats(-1, 1), some.one_of(some.integers(0, 9), some.integers(0, 2**32 - 1))
KNOWN, NINE, TWELVE = some.sampled_from(sorted(LENGTHS)), some.integers(0, 8), some.integers(0, 11)
FOCAL, PLACE, PART = some.floats(20, 2000), some.floats(-50, 700), some.integers(0, 300)
COEFFICIENTS = some.lists(SMALL, min_size=8, max_size=8)
WRONG = {
    'k': some.tuples(NINE, ODD),
    'r': some.tuples(NINE, ODD),
    'p': some.tuples(TWELVE, ODD),
    'd': some.lists(ODD, max_size=15),
    'distortion_model': some.one_of(KNOWN, some.text(max_size=9)),
    'width': WHOLE,
    'height': WHOLE,
    'binning_x': WHOLE,
    'binning_y': WHOLE,
    'roi': some.tuples(WHOLE, WHOLE, WHOLE, WHOLE),
}
FAULTS = some.lists(some.sampled_from(sorted(WRONG)), max_size=3, unique=True)


@some.composite
def calibrations(draw: some.DrawFn) -> CameraInfo:
    """A calibration, a strange one perhaps, with some fields that are not its own any more."""
    model = draw(KNOWN)
    info = info_of(model, tuple(draw(COEFFICIENTS)[: LENGTHS[model]]))
    info.k[0] = info.k[4] = info.p[0] = info.p[5] = draw(FOCAL)
    info.roi.x_offset = info.roi.y_offset = draw(PART)
    info.roi.width, info.roi.height = SIZE[0] - info.roi.x_offset, 100
    for name in draw(FAULTS):
        value = draw(WRONG[name])
        if name in 'krp':
            getattr(info, name)[value[0]] = value[1]
        elif name == 'roi':
            for field, number in zip(('x_offset', 'y_offset', 'width', 'height'), value):  # noqa: B905
                setattr(info.roi, field, number)
        else:
            setattr(info, name, value)
    return info


@settings(
    max_examples=2000,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(calibrations(), some.booleans(), some.tuples(some.one_of(PLACE, ODD), PLACE))
def test_whatever_a_calibration_says_a_bearing_is_that_of_its_pixel_or_none(
    info: CameraInfo, rectified: bool, point: tuple[float, float]
) -> None:
    made, said = calibration(info, rectified)
    assert len(said) == (made.lens is None)
    assert not said or '\n' not in said[0]
    assert made.bearing(point, (641, 480)) is None
    angles = made.bearing(point, made.lens.size if made.lens else SIZE)
    if angles is None:
        return
    assert all(isfinite(angle) and abs(angle) <= pi / 2 for angle in angles)
    ray = tan(angles[0]), tan(angles[1])
    matrix = np.array(info.p).reshape(3, 4) if rectified else np.array(info.k).reshape(3, 3)
    if rectified or not len(info.d):
        x, y = (float(matrix[axis, axis] * ray[axis] + matrix[axis, 2]) for axis in (0, 1))
    else:
        x, y = pixel(info, ray)
    bin_x, bin_y = max(info.binning_x, 1), max(info.binning_y, 1)
    x = (x - info.roi.x_offset + 0.5) / bin_x - 0.5
    y = (y - info.roi.y_offset + 0.5) / bin_y - 0.5
    assert hypot(x - point[0], y - point[1]) < 0.51
