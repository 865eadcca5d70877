"""Depth images (REP 118) as metres."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import ImageError
from memtrack_ros.wire.images import Image, refuse_empty

Depth = NDArray[np.float32]
Region = tuple[slice, slice]
"""Rows and columns."""

_MILLIMETRES = '16UC1', 'mono16'
_METRES = ('32FC1',)


class Header(Protocol):
    """A std_msgs/Header."""

    frame_id: str


class Registered(Image, Protocol):
    """A sensor_msgs/Image with its header."""

    header: Header


def refuse_other_view(depth: Registered, size: tuple[int, int], frame_id: str) -> None:
    """Raises ImageError for depth that is not registered to images of size (width, height).

    Another number of pixels is none: the field of view has to be the same.
    """
    if depth.header.frame_id != frame_id:
        raise ImageError(
            f'depth is in the frame {depth.header.frame_id!r}, the image in {frame_id!r}: '
            'publish depth that is registered to the image'
        )
    width, height = size
    # One of the sides may have been rounded to whole pixels.
    if abs(depth.width * height - depth.height * width) >= max(width, height):
        raise ImageError(
            f'depth of {depth.width}x{depth.height} has another aspect than the image of '
            f'{width}x{height}: publish depth that is registered to the image'
        )


def pixels_to_metres(image: Image, region: Region = (slice(None), slice(None))) -> Depth:
    """The depth in a region of the image, in metres along the optical axis; NaN where unknown.

    16UC1 counts millimetres, 0 is unknown; 32FC1 metres, what is not finite and above 0 is unknown.

    Raises ImageError: another encoding, no pixels, a wrong `step`, data of another length.
    """
    refuse_empty(image)
    if image.encoding not in _MILLIMETRES + _METRES:
        raise ImageError(
            f'depth of encoding {image.encoding!r} is not read: publish 16UC1, millimetres, or '
            '32FC1, metres'
        )
    kind = np.dtype('u2' if image.encoding in _MILLIMETRES else 'f4').newbyteorder(
        '>' if image.is_bigendian else '<'
    )
    row = image.width * kind.itemsize
    if image.step < row or len(image.data) != image.step * image.height:
        raise ImageError(
            f'depth of {image.width}x{image.height} {image.encoding} with step {image.step} has '
            f'{len(image.data)} bytes: the camera has to set step to the bytes of a row'
        )
    data = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)[:, :row]
    values = np.ascontiguousarray(data).view(kind)[region]
    if image.encoding in _MILLIMETRES:
        metres = values.astype(np.float32) / 1000
    else:
        metres = values.astype(np.float32)
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(np.nan))
