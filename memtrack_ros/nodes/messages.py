"""Between arrays and the generated messages: pure functions, no node.

Frames are uint8 (height, width, 3) BGR, C-contiguous; masks uint8 (height, width), 0 or 255.
"""

from __future__ import annotations

from array import array
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from memtrack_ros import msg
from memtrack_ros.errors import ImageError
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.wire import images, targets
from memtrack_ros.wire.gain import Gain

if TYPE_CHECKING:  # these bring torch, which a camera does not need
    from memtrack_ros.memory import BankStatus
    from memtrack_ros.session import Estimate
    from memtrack_ros.wire.bearing import CameraCalibration
    from memtrack_ros.wire.position import Position

Frame = NDArray[np.uint8]


def image_to_bgr(image: Image, gain: Gain | None = None) -> Frame:
    """The image as a BGR frame; bgr8 without padding is a view of the message's own data.

    gain: its camera's, see images.image_to_bgr. Encodings that are not in images.ENCODINGS go
    through cv_bridge.

    Raises ImageError: no pixels, a size that the encoding does not have, a wrong `step`, data of
    another length, an unreadable encoding.
    """
    if image.encoding in images.ENCODINGS:
        return images.image_to_bgr(image, gain)
    return _through_bridge(image)


def bgr_to_image(frame: Frame, header: Header) -> Image:
    """A BGR frame as a bgr8 message under this header."""
    return _image(frame, 'bgr8', header)


def mask_to_image(mask: Frame, header: Header) -> Image:
    """A mask as a mono8 message under this header."""
    return _image(mask, 'mono8', header)


def box_to_message(box: OrientedBox | None) -> msg.OrientedBox:
    """An oriented box as a message; without one all fields are NaN."""
    return msg.OrientedBox(**targets.box_fields(box))


def estimate_to_target(
    estimate: Estimate,
    header: Header,
    size: tuple[int, int],
    *,
    target_id: int = 0,
    tracker: str = '',
    calibration: CameraCalibration | None = None,
    last_seen: Time | None = None,
    memory: BankStatus | None = None,
    processing_time: float = 0.0,
    image_age: float = 0.0,
    frames_dropped: int = 0,
    position: Position | None = None,
) -> msg.TrackedTarget:
    """What was estimated in an image of size (width, height), under that image's header.

    What is not known is NaN or zero and its flag false; times are in seconds.
    """
    fields = targets.target_fields(
        estimate,
        size,
        target_id=target_id,
        tracker=tracker,
        calibration=calibration,
        memory=memory,
        processing_time=processing_time,
        image_age=image_age,
        frames_dropped=frames_dropped,
        position=position,
    )
    for name, kind in (
        ('box', msg.OrientedBox),
        ('position', Point),
        ('memory', msg.MemoryStatus),
    ):
        fields[name] = kind(**fields[name])
    return msg.TrackedTarget(header=header, last_seen=last_seen or Time(), **fields)


def _image(pixels: Frame, encoding: str, header: Header) -> Image:
    pixels = np.ascontiguousarray(pixels)
    # Bytes or an ndarray would be checked element by element: a hundred milliseconds an image.
    data = array('B')
    data.frombytes(pixels.data.cast('B'))
    return Image(header=header, data=data, **images.image_fields(pixels, encoding))


def _through_bridge(image: Image) -> Frame:
    images.refuse_empty(image)
    bridge = _bridge()
    if bridge is None:
        raise ImageError(
            f'encoding {image.encoding!r} needs cv_bridge, which does not import here: publish '
            f'{", ".join(images.ENCODINGS)}, or install ros-<distribution>-cv-bridge'
        )
    try:
        frame: Frame = np.ascontiguousarray(bridge.imgmsg_to_cv2(image, 'bgr8'))
    except Exception as error:  # it raises its own errors, OpenCV's, NumPy's and KeyError
        raise ImageError(
            f'cv_bridge does not turn encoding {image.encoding!r} into bgr8 ({error}): '
            f'publish {", ".join(images.ENCODINGS)}'
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
