"""Between frames and the fields of image messages.

Frames are uint8 (height, width, 3) BGR, C-contiguous; masks uint8 (height, width), 0 or 255.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import ImageError
from memtrack_ros.wire.gain import Gain

Frame = NDArray[np.uint8]


class Encoding(NamedTuple):
    """How pixels lie in the data of an image, and how they become BGR."""

    channels: int
    """Values a pixel in the rows of the data."""
    conversion: int | None
    """OpenCV's, of eight-bit values; None: they are BGR already."""
    depth: int = 1
    """Bytes a value."""
    multiple: tuple[int, int] = (1, 1)
    """What width and height are multiples of: the pixels that share a colour."""
    least: int = 1
    """What width and height are not below."""
    planes: Fraction = Fraction(1)
    """Rows in the data for each row of the image: colours may lie below the brightness."""


_BAYER = {
    'rggb': cv2.COLOR_BayerBG2BGR,  # OpenCV names a pattern by its second row and column
    'bggr': cv2.COLOR_BayerRG2BGR,
    'gbrg': cv2.COLOR_BayerGR2BGR,
    'grbg': cv2.COLOR_BayerGB2BGR,
}
_UYVY = Encoding(2, cv2.COLOR_YUV2BGR_UYVY, multiple=(2, 1))
_YUYV = Encoding(2, cv2.COLOR_YUV2BGR_YUY2, multiple=(2, 1))

ENCODINGS = {
    'bgr8': Encoding(3, None),
    'rgb8': Encoding(3, cv2.COLOR_RGB2BGR),
    'bgra8': Encoding(4, cv2.COLOR_BGRA2BGR),
    'rgba8': Encoding(4, cv2.COLOR_RGBA2BGR),
    'mono8': Encoding(1, cv2.COLOR_GRAY2BGR),
    # Types of OpenCV name no colours: they are its own.
    '8UC1': Encoding(1, cv2.COLOR_GRAY2BGR),
    '8UC3': Encoding(3, None),
    '8UC4': Encoding(4, cv2.COLOR_BGRA2BGR),
    'bgr16': Encoding(3, None, depth=2),
    'rgb16': Encoding(3, cv2.COLOR_RGB2BGR, depth=2),
    'bgra16': Encoding(4, cv2.COLOR_BGRA2BGR, depth=2),
    'rgba16': Encoding(4, cv2.COLOR_RGBA2BGR, depth=2),
    'mono16': Encoding(1, cv2.COLOR_GRAY2BGR, depth=2),
    '16UC1': Encoding(1, cv2.COLOR_GRAY2BGR, depth=2),
    '16UC3': Encoding(3, None, depth=2),
    '16UC4': Encoding(4, cv2.COLOR_BGRA2BGR, depth=2),
    'yuv422': _UYVY,
    'uyvy': _UYVY,
    'yuv422_yuy2': _YUYV,
    'yuyv': _YUYV,
    'nv12': Encoding(1, cv2.COLOR_YUV2BGR_NV12, multiple=(2, 2), planes=Fraction(3, 2)),
    'nv21': Encoding(1, cv2.COLOR_YUV2BGR_NV21, multiple=(2, 2), planes=Fraction(3, 2)),
    **{
        f'bayer_{pattern}{8 * depth}': Encoding(1, conversion, depth, least=3)
        for depth in (1, 2)
        for pattern, conversion in _BAYER.items()
    },
}
"""What is read."""

# As FFmpeg, its image transport and Foxglove name them, the encoders: libx264, hevc_nvenc, and
# containers by four letters: avc1, hvc1, mp4v.
_VIDEO = re.compile(
    r'(?<![a-z0-9])(lib)?'
    r'(ffmpeg|(open)?h\.?26[3-6]|[xv]26[45]|hevc|hvc1|hev1|vvc|avc|(aom-|svt)?av0?1|rav1e|'
    r'vp0?[89x]|(ms)?mpeg-?[124]|mp4v|xvid|divx|vc-?1|wmv|theora|ogg|ffv1|ffvhuff|huffyuv|prores)'
)
_DEPTH = re.compile('depth|rvl')


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


def image_to_bgr(image: Image, gain: Gain | None = None) -> Frame:
    """An image in one of ENCODINGS as a BGR frame; bgr8 without padding is a view of its data.

    gain: its camera's, by which values of sixteen bits become eight; without one they are spread by
    this image alone.

    Raises ImageError: no pixels, a size that the encoding does not have, a wrong `step`, data of
    another length, another encoding.
    """
    encoding = ENCODINGS.get(image.encoding)
    if encoding is None:
        refuse_empty(image)
        raise ImageError(
            f'encoding {image.encoding!r} is not read here: convert it to one of '
            f'{", ".join(ENCODINGS)}'
        )
    pixels = np.ascontiguousarray(_pixels(image, encoding))
    if encoding.depth == 2:
        deep = pixels.view('>u2' if image.is_bigendian else '<u2').astype(np.uint16, copy=False)
        pixels = (gain or Gain())(deep, image.encoding)
    return _to_bgr(pixels, encoding)


def image_to_mask(image: Image) -> Frame:
    """A mono8 image as the mask of what is not zero.

    Raises ImageError: another encoding, no pixels, a wrong `step`, data of another length.
    """
    if image.encoding not in ('mono8', '8UC1'):
        raise ImageError(f'the mask is {image.encoding!r}: send mono8, non-zero on the target')
    pixels = _pixels(image, ENCODINGS[image.encoding])
    return np.asarray(np.where(pixels[:, :, 0] > 0, 255, 0), np.uint8)


def compressed_to_bgr(image: CompressedImage, gain: Gain | None = None) -> Frame:
    """The picture in a compressed image (JPEG, PNG, whatever OpenCV reads) as a BGR frame.

    gain: its camera's, by which values of sixteen bits become eight; without one they are spread by
    this image alone.

    Raises ImageError: no data, none that decodes to 8 or 16 bits, depth, video.
    """
    if not len(image.data):
        raise ImageError('the compressed image is empty: see whether the camera delivers pictures')
    _refuse_other_transports(image.format)
    source, _, compression = image.format.partition(';')
    mosaic = ENCODINGS.get(source) if source.startswith('bayer_') else None
    if mosaic and 'bgr' in compression:
        mosaic = None  # it was taken apart before it was compressed
    colour = cv2.IMREAD_GRAYSCALE if mosaic else cv2.IMREAD_COLOR
    # The calibration is that of the sensor: an orientation noted in the file must not turn it.
    flags = colour | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(image.data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ImageError(
            f'the compressed image ({image.format!r}) does not decode: send JPEG or PNG, whole'
        )
    if pixels.dtype == np.uint16:
        pixels = (gain or Gain())(np.asarray(pixels, np.uint16), image.format)
    elif pixels.dtype != np.uint8:
        raise ImageError(
            f'the compressed image ({image.format!r}) holds {pixels.dtype}: '
            'send 8 or 16 bits a channel'
        )
    if not mosaic:
        return np.asarray(pixels, np.uint8)
    _refuse_size(source, mosaic, pixels.shape[1], pixels.shape[0])
    return _to_bgr(np.asarray(pixels, np.uint8), mosaic)


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


def _pixels(image: Image, encoding: Encoding) -> Frame:
    """A view (rows, width, bytes a pixel) of the data, without the rows' padding."""
    refuse_empty(image)
    width, height, step, length = image.width, image.height, image.step, len(image.data)
    _refuse_size(image.encoding, encoding, width, height)
    rows, size = int(height * encoding.planes), encoding.channels * encoding.depth
    if step < width * size:
        raise ImageError(
            f'step {step} is below the {width * size} bytes of {width} {image.encoding} pixels: '
            'the camera has to set step to the bytes of a row'
        )
    if length != step * rows:
        raise ImageError(
            f'data has {length} bytes, not step {step} times {_rows(image.encoding, height)}: '
            'the camera has to set step to the bytes of a row'
        )
    data = np.frombuffer(image.data, np.uint8).reshape(rows, step)
    return data[:, : width * size].reshape(rows, width, size)


def _rows(name: str, height: int) -> str:
    colours = int(height * (ENCODINGS[name].planes - 1))
    return f'height {height}' + (f' and {colours} of colour in {name!r}' if colours else '')


def _to_bgr(pixels: Frame, encoding: Encoding) -> Frame:
    if encoding.conversion is None:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, encoding.conversion), np.uint8)


def _refuse_size(name: str, encoding: Encoding, width: int, height: int) -> None:
    across, down = encoding.multiple
    if width % across or height % down:
        raise ImageError(
            f'{name} of {width}x{height} cannot be: {across}x{down} pixels share their colour, '
            'so publish a size of whole ones'
        )
    if min(width, height) < encoding.least:
        raise ImageError(
            f'{name} of {width}x{height} is below {encoding.least}x{encoding.least}, from which on '
            'neighbours have all colours: publish a larger image'
        )


def _refuse_other_transports(name: str) -> None:
    """Raises ImageError for what other image transports send as compressed images."""
    known = name.lower()
    if _DEPTH.search(known):
        raise ImageError(
            f'the compressed image ({name!r}) holds depth: send pictures, as JPEG or PNG'
        )
    if _VIDEO.search(known):
        raise ImageError(
            f'the compressed image ({name!r}) is one of a video, which does not stand alone: '
            'send JPEG or PNG'
        )
