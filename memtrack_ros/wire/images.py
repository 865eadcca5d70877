"""Between frames and the fields of image messages.

Frames are uint8 (height, width, 3) BGR, C-contiguous; masks uint8 (height, width), 0 or 255.
"""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import ImageError

Frame = NDArray[np.uint8]

# What is read: bytes a pixel, and how it becomes BGR (None: it is BGR already).
ENCODINGS: dict[str, tuple[int, int | None]] = {
    'bgr8': (3, None),
    'rgb8': (3, cv2.COLOR_RGB2BGR),
    'bgra8': (4, cv2.COLOR_BGRA2BGR),
    'rgba8': (4, cv2.COLOR_RGBA2BGR),
    'mono8': (1, cv2.COLOR_GRAY2BGR),
    'mono16': (2, cv2.COLOR_GRAY2BGR),
}


class Image(Protocol):
    """A sensor_msgs/Image; its data is anything with a buffer."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedImage(Protocol):
    """A sensor_msgs/CompressedImage; its data is anything with a buffer."""

    format: str
    data: Any


def image_to_bgr(image: Image) -> Frame:
    """An image in one of ENCODINGS as a BGR frame; bgr8 without padding is a view of its data.

    Of mono16 the high byte is taken.

    Raises ImageError: no pixels, a wrong `step`, data of another length, another encoding.
    """
    if image.encoding not in ENCODINGS:
        refuse_empty(image)
        raise ImageError(
            f'encoding {image.encoding!r} is not read here: convert it to one of '
            f'{", ".join(ENCODINGS)}'
        )
    size, conversion = ENCODINGS[image.encoding]
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


def image_size(image: Image | CompressedImage, frame: Frame | None) -> tuple[int, int]:
    """Width and height of an image and its frame; 0 where a compressed one does not decode."""
    if frame is not None:
        return frame.shape[1], frame.shape[0]
    return getattr(image, 'width', 0), getattr(image, 'height', 0)


def image_fields(pixels: Frame, encoding: str) -> dict[str, Any]:
    """The fields of an image message of these contiguous pixels, but for its header and data."""
    height, width = pixels.shape[:2]
    return {
        'height': height,
        'width': width,
        'encoding': encoding,
        'is_bigendian': 0,
        'step': pixels.nbytes // height,
    }


def refuse_empty(image: Image) -> None:
    """Raises ImageError for an image without pixels."""
    if not image.width or not image.height or not len(image.data):
        raise ImageError(
            f'the image is empty ({image.width}x{image.height}, {len(image.data)} bytes): '
            'see whether the camera delivers pictures'
        )


def _pixels(image: Image, size: int) -> Frame:
    """A view (height, width, size) of the data: `size` bytes a pixel, without the rows' padding."""
    refuse_empty(image)
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
