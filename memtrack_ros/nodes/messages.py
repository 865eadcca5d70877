"""Between arrays and messages: pure functions, no node.

Frames are uint8 (height, width, 3) BGR, C-contiguous; masks uint8 (height, width), 0 or 255.
"""

from __future__ import annotations

from array import array
from functools import cache
from math import atan, nan
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from memtrack_ros import msg
from memtrack_ros.errors import ImageError
from memtrack_ros.geometry.oriented import OrientedBox

if TYPE_CHECKING:  # these bring torch, which a camera does not need
    from memtrack_ros.memory import BankStatus
    from memtrack_ros.trackers import Estimate

Frame = NDArray[np.uint8]

# What is read without help: bytes a pixel, and how it becomes BGR (None: it is BGR already).
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    'bgr8': (3, None),
    'rgb8': (3, cv2.COLOR_RGB2BGR),
    'bgra8': (4, cv2.COLOR_BGRA2BGR),
    'rgba8': (4, cv2.COLOR_RGBA2BGR),
    'mono8': (1, cv2.COLOR_GRAY2BGR),
    'mono16': (2, cv2.COLOR_GRAY2BGR),
}


def image_to_bgr(image: Image) -> Frame:
    """The image as a BGR frame; bgr8 without padding is a view of the message's own data.

    Of mono16 the high byte is taken. Encodings other than bgr8, rgb8, bgra8, rgba8, mono8 and
    mono16 go through cv_bridge.

    Raises ImageError: no pixels, a wrong `step`, data of another length, an unreadable encoding.
    """
    if image.encoding not in _ENCODINGS:
        return _through_bridge(image)
    size, conversion = _ENCODINGS[image.encoding]
    pixels = _pixels(image, size)
    if image.encoding == 'mono16':
        pixels = pixels[:, :, 0:1] if image.is_bigendian else pixels[:, :, 1:2]
    pixels = np.ascontiguousarray(pixels)
    return pixels if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)


def image_to_mask(image: Image) -> Frame:
    """A mono8 image as the mask of what is not zero.

    Raises ImageError: another encoding, no pixels, a wrong `step`, data of another length.
    """
    if image.encoding not in ('mono8', '8UC1'):
        raise ImageError(f'the mask is {image.encoding!r}: send mono8, non-zero on the target')
    return np.asarray(np.where(_pixels(image, 1)[:, :, 0] > 0, 255, 0), np.uint8)


def compressed_to_bgr(image: CompressedImage) -> Frame:
    """The picture in a compressed image (JPEG, PNG, whatever OpenCV reads) as a BGR frame.

    Raises ImageError: no data, or none that decodes.
    """
    if not len(image.data):
        raise ImageError('the compressed image is empty: see whether the camera delivers pictures')
    # The calibration is that of the sensor: an orientation noted in the file must not turn it.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        frame = cv2.imdecode(np.frombuffer(image.data, np.uint8), flags)
    except cv2.error:
        frame = None
    if frame is None:
        raise ImageError(
            f'the compressed image ({image.format!r}) does not decode: send JPEG or PNG, whole'
        )
    return np.asarray(frame, np.uint8)


def bgr_to_image(frame: Frame, header: Header) -> Image:
    """A BGR frame as a bgr8 message under this header."""
    return _image(frame, 'bgr8', header)


def mask_to_image(mask: Frame, header: Header) -> Image:
    """A mask as a mono8 message under this header."""
    return _image(mask, 'mono8', header)


def box_to_message(box: OrientedBox | None) -> msg.OrientedBox:
    """An oriented box as a message; without one all fields are NaN."""
    if box is None:
        return msg.OrientedBox(center_x=nan, center_y=nan, size_x=nan, size_y=nan, theta=nan)
    return msg.OrientedBox(
        center_x=float(box.center_x),
        center_y=float(box.center_y),
        size_x=float(box.size_x),
        size_y=float(box.size_y),
        theta=float(box.theta),
    )


def estimate_to_target(
    estimate: Estimate,
    header: Header,
    size: tuple[int, int],
    *,
    target_id: int = 0,
    tracker: str = '',
    bearing: tuple[float, float] | None = None,
    last_seen: Time | None = None,
    memory: BankStatus | None = None,
) -> msg.TrackedTarget:
    """What was estimated in an image of size (width, height), under that image's header.

    bearing: radians right of and below the optical axis. What is not known is NaN or zero and its
    flag false. The times and counts of the node (processing_time, image_age, frames_dropped) stay
    zero: they are set when the message leaves.
    """
    width, height = size
    roi = np.full(4, nan) if estimate.roi is None else estimate.roi
    target = msg.TrackedTarget(
        header=header,
        target_id=target_id,
        tracker=tracker,
        state=int(estimate.state),
        confidence=float(estimate.confidence),
        score=float(estimate.score),
        box=box_to_message(estimate.box),
        roi=roi.astype(np.float32),
        has_mask=estimate.mask is not None,
        mask_is_box=estimate.mask_is_box,
        mask_area=0 if estimate.mask is None else cv2.countNonZero(estimate.mask),
        image_width=width,
        image_height=height,
        error_x=nan,
        error_y=nan,
        bearing_valid=bearing is not None,
        frames_tracked=estimate.frames_tracked,
        position_covariance=np.full(9, nan),
    )
    if estimate.box is not None:
        target.error_x = (2 * estimate.box.center_x + 1) / width - 1
        target.error_y = (2 * estimate.box.center_y + 1) / height - 1
    target.bearing_x, target.bearing_y = bearing or (nan, nan)
    target.position.x = target.position.y = target.position.z = nan
    if last_seen is not None:
        target.last_seen = last_seen
    if memory is not None:
        target.memory = msg.MemoryStatus(
            entries=memory.entries,
            capacity=memory.capacity,
            bytes=memory.bytes,
            writes=memory.writes,
            refused=memory.refused,
            frozen=memory.frozen,
        )
    return target


def bearing(
    info: CameraInfo, point: tuple[float, float], size: tuple[int, int]
) -> tuple[float, float] | None:
    """Angles of a pixel from the optical axis: radians right and below, lens distortion removed.

    point: x, y in an image of size (width, height) that this calibration belongs to; binning and
    region of interest are honoured. None where the camera is not calibrated, the calibration is for
    another size, or the lens model has no answer there.
    """
    bin_x, bin_y = max(info.binning_x, 1), max(info.binning_y, 1)
    width, height = info.roi.width or info.width, info.roi.height or info.height
    if not info.k[0] or not info.k[4] or size != (width // bin_x, height // bin_y):
        return None
    # The calibration counts in pixels of the whole sensor.
    x = (point[0] + 0.5) * bin_x - 0.5 + info.roi.x_offset
    y = (point[1] + 0.5) * bin_y - 0.5 + info.roi.y_offset
    undistort = (
        cv2.fisheye.undistortPoints
        if info.distortion_model in ('equidistant', 'fisheye')
        else cv2.undistortPoints
    )
    try:
        ray = undistort(np.array([[[x, y]]]), info.k.reshape(3, 3), np.array(info.d)).reshape(2)
    except cv2.error:  # as many distortion coefficients as no model has
        return None
    return (atan(ray[0]), atan(ray[1])) if np.isfinite(ray).all() else None


def _image(pixels: Frame, encoding: str, header: Header) -> Image:
    pixels = np.ascontiguousarray(pixels)
    # Bytes or an ndarray would be checked element by element: a hundred milliseconds an image.
    data = array('B')
    data.frombytes(pixels.data.cast('B'))
    height, width = pixels.shape[:2]
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // height,
        data=data,
    )


def _pixels(image: Image, size: int) -> Frame:
    """A view (height, width, size) of the data: `size` bytes a pixel, without the rows' padding."""
    _refuse_empty(image)
    width, height, step, length = image.width, image.height, image.step, len(image.data)
    if step < width * size:
        raise ImageError(
            f'step {step} is below the {width * size} bytes of {width} {image.encoding} pixels: '
            'the camera has to set step to the bytes of a row'
        )
    if length != step * height:
        raise ImageError(
            f'data has {length} bytes, not step {step} times height {height}: '
            'the camera has to set step to the bytes of a row'
        )
    rows = np.frombuffer(image.data, np.uint8).reshape(height, step)
    return rows[:, : width * size].reshape(height, width, size)


def _refuse_empty(image: Image) -> None:
    if not image.width or not image.height or not len(image.data):
        raise ImageError(
            f'the image is empty ({image.width}x{image.height}, {len(image.data)} bytes): '
            'see whether the camera delivers pictures'
        )


def _through_bridge(image: Image) -> Frame:
    _refuse_empty(image)
    bridge = _bridge()
    if bridge is None:
        raise ImageError(
            f'encoding {image.encoding!r} needs cv_bridge, which does not import here: publish '
            f'{", ".join(_ENCODINGS)}, or install ros-<distribution>-cv-bridge'
        )
    try:
        frame: Frame = np.ascontiguousarray(bridge.imgmsg_to_cv2(image, 'bgr8'))
    except Exception as error:  # it raises its own errors, OpenCV's, NumPy's and KeyError
        raise ImageError(
            f'cv_bridge does not turn encoding {image.encoding!r} into bgr8 ({error}): '
            f'publish {", ".join(_ENCODINGS)}'
        ) from error
    if frame.shape[:2] != (image.height, image.width):  # it takes the width from a short step
        raise ImageError(
            f'step {image.step} is too short for {image.width} pixels of {image.encoding!r}: '
            'the camera has to set step to the bytes of a row'
        )
    return frame


@cache
def _bridge() -> Any:
    """cv_bridge's converter, or None where it is missing or built for another NumPy."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except (ImportError, AttributeError):
        return None
