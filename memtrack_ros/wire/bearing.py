"""From pixels to bearings, by what a camera's CameraInfo says of its lens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atan, hypot, pi
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import CalibrationError

Size = tuple[int, int]
Array = NDArray[np.float64]

_FISHEYE = 'equidistant', 'fisheye'
# How many coefficients a model has; fewer than its most were an earlier model's, none is no lens.
_LENGTHS = {
    'plumb_bob': (0, 4, 5),
    'rational_polynomial': (8, 12, 14),
    **dict.fromkeys(_FISHEYE, (4,)),
}
_TILTS = slice(12, 14)  # of D
_NEAR = 0.5  # pixels
_FARTHEST = 1e7  # pixels: what lies beyond is in no image, and half a pixel is rounded away
_SHORTEST = 1.0  # pixel: a focal length below is one in other units
_STRONGEST = 1e4  # of a coefficient of distortion: those of real lenses are below a hundred
_SIDEWAYS = 1e3  # a tangent; OpenCV makes 90 degrees of what is more
_ROUNDED = 1e-6
_EXACT = cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 2000, 1e-6  # next to a fold many
_WAY = np.linspace(0, 1, 65)[1:]
_MOST_REASONS = 100


class CameraInfo(Protocol):
    """A sensor_msgs/CameraInfo."""

    width: int
    height: int
    binning_x: int
    binning_y: int
    distortion_model: str
    roi: Any
    k: Any
    d: Any
    r: Any
    p: Any


def is_rectified(topic: str) -> bool:
    """Whether images of this topic have no lens distortion any more, by the names in use for it."""
    return any(name.startswith('image_rect') for name in topic.split('/'))


@dataclass(frozen=True)
class Lens:
    """How the images of one size came about: `matrix` (3, 3) in their own pixels, `distortion`."""

    size: Size
    matrix: Array
    distortion: Array
    fisheye: bool

    @classmethod
    def of(cls, info: CameraInfo, rectified: bool) -> Lens:
        """The lens of raw images by K and D, that of rectified ones by P, which is without any.

        Binning and region of interest are honoured.

        Raises CalibrationError: numbers that are not finite, a focal length or a principal point
        that no image has, K or P of another form, an unknown model, D of a wrong length or of
        numbers that no lens has, a sensor that is tilted away from its lens, a region that is not
        on the sensor.
        """
        numbers = {name: np.array(getattr(info, name.lower()), float) for name in 'KDRP'}
        for name, values in numbers.items():
            for index in np.flatnonzero(~np.isfinite(values)):
                raise CalibrationError(
                    f'{name}[{index}] of camera_info is {values[index]}: calibrate the camera anew'
                )
        distortion: Array = np.zeros(0)
        fisheye = False
        if rectified:
            matrix = _pinhole('P', numbers['P'].reshape(3, 4))
        else:
            matrix = _pinhole('K', numbers['K'].reshape(3, 3))
            distortion = numbers['D']
            fisheye = _is_fisheye(info.distortion_model, len(distortion))
            for index in np.flatnonzero(abs(distortion) > _STRONGEST):
                raise CalibrationError(
                    f'D[{index}] of camera_info is {distortion[index]:g}, not {-_STRONGEST:g} to '
                    f'{_STRONGEST:g}: calibrate the camera anew'
                )
            _require_faced(distortion)
        size = _fit(matrix, info)
        return cls(size, matrix, distortion, fisheye)

    def bearing(self, point: tuple[float, float]) -> tuple[float, float] | None:
        """Angles of a pixel from the optical axis: radians right and below.

        None where no ray less than 90 degrees from the axis is imaged within half a pixel of the
        point, or the lens folds the image on the way there, so that more than one is; or where the
        point is further off than any image is large.
        """
        if not max(map(abs, point)) < _FARTHEST:
            return None
        with np.errstate(all='ignore'):  # what is not finite in the end says so
            try:
                ray = self._undistorted(np.array(point, float))
                length = hypot(*ray)
                if length > _SIDEWAYS:
                    return None
                way = ray / (length or 1) * np.tan(atan(length) * _WAY)[:, None]
                pixels = self._projected(way)
            except cv2.error:  # numbers that even its double precision does not hold
                return None
            away = np.hypot(*(pixels - self.matrix[:2, 2]).T)
            near = np.hypot(*(pixels[-1] - point)) <= _NEAR
        # The last digits of a pixel next to the axis are no fold.
        if not near or not np.all(np.diff(away) > -1e-6):
            return None
        return atan(ray[0]), atan(ray[1])

    def _undistorted(self, point: Array) -> Array:
        """The ray (x, y, 1) of a point: x, y."""
        points = point.reshape(1, 1, 2)
        if self.fisheye:
            rays = cv2.fisheye.undistortPoints(points, self.matrix, self.distortion)
        else:
            as_it_is = np.eye(3)
            rays = cv2.undistortPointsIter(
                points, self.matrix, self.distortion, as_it_is, as_it_is, _EXACT
            )
        return np.asarray(rays, float).reshape(2)

    def _projected(self, rays: Array) -> Array:
        """The pixels (n, 2) of rays (n, 2)."""
        project = cv2.fisheye.projectPoints if self.fisheye else cv2.projectPoints
        points = np.column_stack([rays, np.ones(len(rays))])[:, None]
        pixels, _ = project(points, np.zeros(3), np.zeros(3), self.matrix, self.distortion)
        return np.asarray(pixels, float).reshape(-1, 2)


class CameraCalibration:
    """The newest calibration of a camera; why there is no bearing by it is said once."""

    def __init__(self, rectified: bool, warn: Callable[[str], object]) -> None:
        """rectified: the images are. warn: takes the reasons."""
        self.lens: Lens | None = None
        """By what came last; None before anything came, and where that is no calibration."""
        self._rectified = rectified
        self._warn = warn
        self._info: CameraInfo | None = None
        self._said: set[str] = set()

    def update(self, info: CameraInfo) -> None:
        """Takes what the camera says, in place of what it said before."""
        if info is self._info:
            return
        self._info = info
        try:
            self.lens = Lens.of(info, self._rectified)
        except CalibrationError as error:
            self.lens = None
            self._say(str(error))

    def bearing(self, point: tuple[float, float], size: Size) -> tuple[float, float] | None:
        """Angles of a pixel from the optical axis: radians right and below.

        point: x, y in an image of size (width, height). None where the camera is not calibrated or
        for another size, and where its lens has no answer.
        """
        lens = self.lens
        if lens is None:
            return None
        if size != lens.size:
            self._say(
                f'camera_info is for images of {lens.size[0]}x{lens.size[1]}, these have '
                f'{size[0]}x{size[1]}: publish the calibration of that size'
            )
            return None
        return lens.bearing(point)

    def _say(self, reason: str) -> None:
        if reason not in self._said and len(self._said) < _MOST_REASONS:
            self._said.add(reason)
            self._warn(f'no bearing: {reason}')


def _is_fisheye(model: str, length: int) -> bool:
    if model not in _LENGTHS:
        raise CalibrationError(
            f'the distortion_model {model!r} of camera_info is unknown: '
            f'calibrate with one of {", ".join(_LENGTHS)}'
        )
    if length not in _LENGTHS[model]:
        raise CalibrationError(
            f'D of camera_info has {length} numbers, {model} has '
            f'{" or ".join(map(str, _LENGTHS[model]))}: calibrate the camera anew'
        )
    return model in _FISHEYE


def _require_faced(distortion: Array) -> None:
    """CalibrationError where tilted by tau x, tau y the sensor has its back or an edge to the lens.

    OpenCV images the world through it all the same, mirrored.
    """
    for index, tilt in enumerate(distortion[_TILTS], _TILTS.start):
        if abs(tilt) >= pi / 2:
            raise CalibrationError(
                f'D[{index}] of camera_info tilts the sensor by {tilt:g} rad, and {pi / 2:.2f} or '
                'more shows nothing: calibrate the camera anew'
            )


def _pinhole(name: str, given: Array) -> Array:
    """The matrix (3, 3) [fx 0 cx; 0 fy cy; 0 0 1] of K (3, 3) or P (3, 4)."""
    for axis, (focal, middle) in enumerate((('fx', 'cx'), ('fy', 'cy'))):
        for word, column, least in ((focal, axis, _SHORTEST), (middle, 2, -_FARTHEST)):
            number = given[axis, column]
            if not least <= number <= _FARTHEST:
                raise CalibrationError(
                    f'{word}, {name}[{axis * given.shape[1] + column}] of camera_info, is '
                    f'{number:g}, not {least:g} to {_FARTHEST:g} pixels: calibrate the camera'
                )
    matrix = np.eye(3)
    matrix[[0, 0, 1, 1], [0, 2, 1, 2]] = given[[0, 0, 1, 1], [0, 2, 1, 2]]
    for row, column in np.argwhere(abs(given[:, :3] - matrix) > _ROUNDED):
        raise CalibrationError(
            f'{name}[{row * given.shape[1] + column}] of camera_info is {given[row, column]:g}, '
            f'not {matrix[row, column]:g} as in [fx 0 cx; 0 fy cy; 0 0 1]: calibrate the camera'
        )
    return matrix


def _fit(matrix: Array, info: CameraInfo) -> Size:
    """The size of the images, in whose pixels the matrix then counts, not in the sensor's."""
    roi = info.roi
    full = info.width, info.height
    region = roi.width or info.width, roi.height or info.height
    offset = roi.x_offset, roi.y_offset
    size = []
    for axis, binning in enumerate((info.binning_x, info.binning_y)):
        if offset[axis] + region[axis] > full[axis]:
            raise CalibrationError(
                f'the roi of camera_info, {region[0]}x{region[1]} from ({offset[0]}, {offset[1]}) '
                f'on, is not within its {full[0]}x{full[1]} pixels: publish the one that was read'
            )
        binning = max(binning, 1)
        size.append(region[axis] // binning)
        matrix[axis, axis] /= binning
        matrix[axis, 2] = (matrix[axis, 2] - offset[axis] + 0.5) / binning - 0.5
    return size[0], size[1]
