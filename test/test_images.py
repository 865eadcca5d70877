"""Buffers of images to frames, right ones and wrong ones."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sensor_msgs.msg import CompressedImage, Image

from memtrack_ros.errors import ImageError
from memtrack_ros.wire import images
from memtrack_ros.wire.gain import Gain

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(7)
FRAME = RNG.integers(0, 256, (5, 7, 3), np.uint8)
GREY = RNG.integers(0, 256, (5, 7), np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7, 1), np.uint8)

# BT.601: red, green, blue, white, as Y, U, V and as B, G, R.
YUV = (81, 90, 240), (145, 54, 34), (41, 240, 110), (235, 128, 128)
BGR = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)

CODECS = ['h264', 'H.264', 'h265', 'hevc', 'hevc_nvenc', 'libx264;yuv420p;bgr8;bgr8', 'libx265']
CODECS += ['av1', 'libaom-av1', 'librav1e', 'libsvtav1', 'vp8', 'libvpx-vp9', 'mpeg4', 'theora']
CODECS += ['ffmpeg', 'ffv1', 'bgr8; h264', 'libopenh264', 'av01', 'avc1', 'hvc1', 'hev1', 'vp09']
CODECS += ['mp4v', 'msmpeg4', 'xvid', 'divx', 'vc1', 'wmv3', 'huffyuv']

THOROUGH = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def image(
    rows: Array, encoding: str, size: tuple[int, int], padding: int = 0, **fields: Any
) -> Any:
    """A message of these rows, each followed by `padding` bytes of noise, as size (w, h)."""
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    rows = np.hstack([rows, RNG.integers(0, 256, (len(rows), padding), np.uint8)])
    made = Image(width=size[0], height=size[1], encoding=encoding, step=rows.shape[1])
    made.data = array('B', rows.tobytes())
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def compressed(pixels: Array, name: str, kind: str = '.png') -> CompressedImage:
    ok, data = cv2.imencode(kind, pixels)
    assert ok
    return CompressedImage(format=name, data=array('B', data.tobytes()))


# Eight bits


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
        ('8UC1', GREY, np.dstack([GREY] * 3)),
        ('8UC3', FRAME, FRAME),
        ('8UC4', np.dstack([FRAME, ALPHA]), FRAME),
    ],
)
def test_channels_of_eight_bits(
    encoding: str, pixels: Array, expected: Array, padding: int, bigendian: int
) -> None:
    frame = images.image_to_bgr(image(pixels, encoding, (7, 5), padding, is_bigendian=bigendian))
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    assert np.array_equal(frame, expected)


def test_plain_bgr_is_not_copied() -> None:
    message = image(FRAME, 'bgr8', (7, 5))
    assert np.shares_memory(images.image_to_bgr(message), np.frombuffer(message.data, np.uint8))


def patches() -> Array:
    """Y, U, V of four colours, each 4 pixels wide and 6 high, (6, 16, 3)."""
    return np.repeat(np.repeat(np.array([YUV], np.uint8), 4, axis=1), 6, axis=0)


def uyvy() -> Array:
    yuv = patches()
    return np.dstack([np.where(np.arange(16) % 2, yuv[:, :, 2], yuv[:, :, 1]), yuv[:, :, 0]])


def semi_planar(first: int, second: int) -> Array:
    yuv = patches()
    colours = np.dstack([yuv[::2, ::2, first], yuv[::2, ::2, second]]).reshape(3, 16)
    return np.vstack([yuv[:, :, 0], colours])


@pytest.mark.parametrize('padding', [0, 1, 16])
@pytest.mark.parametrize(
    ('encoding', 'rows'),
    [
        ('yuv422', uyvy()),
        ('uyvy', uyvy()),
        ('yuv422_yuy2', uyvy()[:, :, ::-1]),
        ('yuyv', uyvy()[:, :, ::-1]),
        ('nv12', semi_planar(1, 2)),
        ('nv21', semi_planar(2, 1)),
    ],
)
def test_brightness_and_colour(encoding: str, rows: Array, padding: int) -> None:
    frame = images.image_to_bgr(image(rows, encoding, (16, 6), padding))
    expected = np.repeat(np.repeat(np.array([BGR]), 4, axis=1), 6, axis=0)
    assert (frame.shape, frame.dtype) == ((6, 16, 3), np.uint8)
    assert np.abs(frame.astype(int) - expected).max() <= 3


def mosaic(pattern: str, bgr: tuple[int, int, int], dtype: str = 'u1') -> Array:
    """What a sensor with this pattern sees of one colour, (6, 8)."""
    values = dict(zip('bgr', bgr, strict=True))
    cell = np.array([values[letter] for letter in pattern]).reshape(2, 2)
    return np.tile(cell, (3, 4)).astype(dtype)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_mosaics_of_eight_bits(pattern: str, padding: int) -> None:
    seen = mosaic(pattern, (10, 120, 200))
    frame = images.image_to_bgr(image(seen, f'bayer_{pattern}8', (8, 6), padding))
    assert frame.shape == (6, 8, 3)
    assert np.all(frame == (10, 120, 200))
    # One that ends in the midst of a pattern is no other.
    odd = images.image_to_bgr(image(seen[:5, :7], f'bayer_{pattern}8', (7, 5)))
    assert np.all(odd == (10, 120, 200))


# Sixteen bits


@pytest.mark.parametrize('padding', [0, 2, 5])
@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize(
    'encoding', ['mono16', '16UC1', 'bgr16', 'rgb16', '16UC3', 'bgra16', 'rgba16', '16UC4']
)
def test_channels_of_sixteen_bits(encoding: str, order: str, padding: int) -> None:
    """Ten bits deep: all the grey levels are there, whatever the order of the bytes."""
    channels = images.ENCODINGS[encoding].channels
    ramp = np.linspace(0, 1023, 64 * 32).astype(int).reshape(32, 64, 1)
    strength = np.array([0.5, 0.75, 1.0, 0.9])[[2, 1, 0, 3] if 'rgb' in encoding else [0, 1, 2, 3]]
    values = np.round(ramp * (strength[:channels] if channels > 1 else 1)).astype(f'{order}u2')
    message = image(values, encoding, (64, 32), padding, is_bigendian=order == '>')
    frame = images.image_to_bgr(message)
    assert (frame.shape, frame.dtype) == ((32, 64, 3), np.uint8)
    assert frame.flags.c_contiguous
    brightest = frame[:, :, 2]
    assert len(np.unique(brightest)) >= 250
    assert np.all(np.diff(brightest.astype(int).ravel()) >= 0)
    shares = frame[24, 20] / brightest[24, 20]
    expected = (0.5, 0.75, 1) if channels > 1 else (1, 1, 1)
    assert shares == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_mosaics_of_sixteen_bits(pattern: str, order: str) -> None:
    seen = mosaic(pattern, (1000, 2000, 3000), f'{order}u2')
    message = image(seen, f'bayer_{pattern}16', (8, 6), is_bigendian=order == '>')
    frame = images.image_to_bgr(message)
    assert np.all(frame == frame[0, 0])
    assert frame[0, 0] == pytest.approx((0, 128, 255), abs=2)


def test_a_camera_of_sixteen_bits_has_one_gain() -> None:
    gain = Gain()

    def seen(low: int, high: int) -> Array:
        ramp = np.linspace(low, high, 64 * 32).astype(np.uint16).reshape(32, 64)
        return images.image_to_bgr(image(ramp, '16UC1', (64, 32)), gain)

    assert len(np.unique(seen(7000, 8000))) >= 250
    assert 110 < np.ptp(seen(7250, 7750)) < 150  # half the contrast in the next image
    assert (
        np.ptp(images.image_to_bgr(image(np.arange(99, dtype='u2')[None], '16UC1', (99, 1)))) < 99
    )


# Malformed ones


@pytest.mark.parametrize('encoding', list(images.ENCODINGS))
@pytest.mark.parametrize('fields', [{'data': []}, {'width': 0}, {'height': 0}])
def test_an_empty_image_is_refused(encoding: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match='the image is empty'):
        images.image_to_bgr(image(FRAME, encoding, (7, 5), **fields))


@pytest.mark.parametrize('encoding', list(images.ENCODINGS))
def test_a_wrong_step_or_length_is_refused(encoding: str) -> None:
    kind = images.ENCODINGS[encoding]
    row, rows = 8 * kind.channels * kind.depth, int(6 * kind.planes)
    whole = np.zeros((rows, row), np.uint8)
    assert images.image_to_bgr(image(whole, encoding, (8, 6))).shape == (6, 8, 3)
    short = image(whole[:, 1:], encoding, (8, 6))
    with pytest.raises(ImageError, match=f'step {row - 1} is below the {row} bytes of 8'):
        images.image_to_bgr(short)
    for length in (row * rows - 1, row * rows + 1, row * 6 - row * 3, 1):
        data = array('B', bytes(length))
        with pytest.raises(ImageError, match=f'data has {length} bytes, not step {row} times'):
            images.image_to_bgr(image(whole, encoding, (8, 6), data=data))


@pytest.mark.parametrize(
    ('encoding', 'size', 'reason'),
    [
        ('yuv422', (7, 6), 'yuv422 of 7x6 cannot be: 2x1 pixels share'),
        ('yuv422_yuy2', (1, 1), 'yuv422_yuy2 of 1x1 cannot be: 2x1 pixels share'),
        ('nv12', (7, 6), 'nv12 of 7x6 cannot be: 2x2 pixels share'),
        ('nv21', (8, 5), 'nv21 of 8x5 cannot be: 2x2 pixels share'),
        ('bayer_rggb8', (2, 9), 'bayer_rggb8 of 2x9 is below 3x3'),
        ('bayer_gbrg16', (9, 1), 'bayer_gbrg16 of 9x1 is below 3x3'),
    ],
)
def test_a_size_that_an_encoding_does_not_have_is_refused(
    encoding: str, size: tuple[int, int], reason: str
) -> None:
    with pytest.raises(ImageError, match=reason):
        images.image_to_bgr(image(np.zeros((9, 18), np.uint8), encoding, size))


@pytest.mark.parametrize('encoding', ['32FC1', '16SC1', 'nv24', 'BGR8', '', 'jpeg'])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(ImageError, match=f"encoding '{encoding}' is not read here: convert it to"):
        images.image_to_bgr(image(FRAME, encoding, (7, 5)))


# Masks


def test_a_mask_is_what_is_not_zero() -> None:
    for encoding in ('mono8', '8UC1'):
        mask = images.image_to_mask(image(GREY % 3, encoding, (7, 5), padding=2))
        assert np.array_equal(mask, (GREY % 3 > 0) * 255)
    with pytest.raises(ImageError, match="the mask is 'bgr8': send mono8"):
        images.image_to_mask(image(FRAME, 'bgr8', (7, 5)))


# Compressed ones


def test_compressed_images_are_read() -> None:
    assert np.array_equal(images.compressed_to_bgr(compressed(FRAME, 'png')), FRAME)
    grey = images.compressed_to_bgr(compressed(GREY, 'mono8; png compressed mono8'))
    assert np.array_equal(grey, np.dstack([GREY] * 3))
    smooth = np.full((16, 16, 3), (40, 90, 200), np.uint8)
    for name in ('jpeg', 'bgr8; jpeg compressed bgr8', 'mjpeg', ''):
        frame = images.compressed_to_bgr(compressed(smooth, name, '.jpg'))
        assert np.abs(frame.astype(int) - smooth).max() <= 4


def test_compressed_images_of_sixteen_bits_keep_their_grey_levels() -> None:
    ramp = np.linspace(7000, 8000, 64 * 32).astype(np.uint16).reshape(32, 64)
    message, gain = compressed(ramp, 'mono16; png compressed mono16'), Gain()
    frame = images.compressed_to_bgr(message, gain)
    assert (frame.shape, frame.dtype) == ((32, 64, 3), np.uint8)
    assert len(np.unique(frame)) >= 250
    narrow = images.compressed_to_bgr(compressed((ramp + 7000) // 2, message.format), gain)
    assert np.ptp(narrow) < 150


@pytest.mark.parametrize('pattern', ['rggb', 'grbg'])
def test_compressed_mosaics(pattern: str) -> None:
    seen = mosaic(pattern, (10, 120, 200))
    frame = images.compressed_to_bgr(compressed(seen, f'bayer_{pattern}8; png compressed '))
    assert np.all(frame == (10, 120, 200))
    colours = images.compressed_to_bgr(compressed(FRAME, f'bayer_{pattern}8; png compressed bgr8'))
    assert np.array_equal(colours, FRAME)
    with pytest.raises(ImageError, match=f'bayer_{pattern}8 of 2x2 is below 3x3'):
        images.compressed_to_bgr(compressed(seen[:2, :2], f'bayer_{pattern}8; png compressed '))


def test_a_compressed_image_that_does_not_decode_is_refused() -> None:
    with pytest.raises(ImageError, match='is empty'):
        images.compressed_to_bgr(CompressedImage(format='jpeg'))
    with pytest.raises(ImageError, match="'jpeg'.* does not decode"):
        images.compressed_to_bgr(CompressedImage(format='jpeg', data=array('B', bytes(50))))
    light = np.full((4, 5, 3), 0.5, np.float32)
    with pytest.raises(ImageError, match='holds float32: send 8 or 16 bits'):
        images.compressed_to_bgr(compressed(light, 'hdr', '.hdr'))


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('16UC1; compressedDepth png', 'holds depth'),
        ('32FC1; compressedDepth', 'holds depth'),
        ('16UC1; compressedDepth rvl', 'holds depth'),
        ('16UC1; rvl', 'holds depth'),
        ('zdepth', 'holds depth'),
        *((name, 'is one of a video') for name in CODECS),
    ],
)
def test_depth_and_video_are_refused_by_name(name: str, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as refusal:
        images.compressed_to_bgr(compressed(FRAME, name))
    assert repr(name) in str(refusal.value)


# Whatever comes


def one_sentence(error: ImageError) -> bool:
    text = str(error)
    return '\n' not in text and 20 < len(text) < 600 and not text.endswith('.')


# Strategies are made once: making them takes longer than drawing from them.
NAMES = some.sampled_from(sorted(images.ENCODINGS))
FEW, BYTE, PIXELS = some.integers(0, 5), some.integers(0, 255), some.integers(3, 9)
WRONG = {
    'width': some.integers(0, 20),
    'height': some.integers(0, 2**32 - 1),
    'step': some.one_of(some.integers(0, 99), some.integers(0, 2**32 - 1)),
    'encoding': some.one_of(NAMES, some.text(max_size=9)),
    'data': some.builds(lambda data: array('B', data), some.binary(max_size=300)),
}
FAULTS = some.lists(some.sampled_from(sorted(WRONG)), min_size=1, max_size=3, unique=True)


@some.composite
def well_formed(draw: some.DrawFn) -> Image:
    name = draw(NAMES)
    kind = images.ENCODINGS[name]
    across, down = kind.multiple
    width, height = across * draw(PIXELS), down * draw(PIXELS)
    step = width * kind.channels * kind.depth + draw(FEW)
    made = Image(width=width, height=height, encoding=name, step=step)
    made.is_bigendian = seed = draw(BYTE)
    made.data = array('B', np.random.default_rng(seed).bytes(step * int(height * kind.planes)))
    return made


@some.composite
def malformed(draw: some.DrawFn) -> Image:
    """A well-formed image of which some fields are not its own any more."""
    made = draw(well_formed())
    for field in draw(FAULTS):
        setattr(made, field, draw(WRONG[field]))
    return made


@settings(THOROUGH, max_examples=500)
@given(well_formed())
def test_every_well_formed_image_is_read(message: Image) -> None:
    frame = images.image_to_bgr(message, Gain())
    assert (frame.shape, frame.dtype) == ((message.height, message.width, 3), np.uint8)
    assert frame.flags.c_contiguous


@settings(THOROUGH, max_examples=2000)
@given(malformed())
def test_a_malformed_image_is_a_frame_of_its_size_or_refused(message: Image) -> None:
    for read, channels in ((images.image_to_bgr, (3,)), (images.image_to_mask, ())):
        try:
            frame = read(message)
        except ImageError as error:
            assert one_sentence(error), error
        else:
            assert frame.shape == (message.height, message.width, *channels)
            assert (frame.dtype, frame.flags.c_contiguous) == (np.uint8, True)


PICTURES = [
    bytes(compressed(pixels, '', kind).data)
    for kind in ('.png', '.jpg', '.bmp', '.webp', '.tiff')
    for pixels in (FRAME, GREY)
] + [bytes(compressed(GREY.astype(np.uint16) * 99, '', '.png').data)]
FORMATS = ['jpeg', 'png', 'bayer_rggb8; png compressed ', 'bayer_x; png', 'mono16; png compressed']


@settings(THOROUGH, max_examples=1000)
@given(
    some.sampled_from(PICTURES),
    some.one_of(some.sampled_from(FORMATS), some.text(max_size=12)),
    some.lists(some.tuples(some.integers(0, 400), some.integers(0, 255)), max_size=4),
    some.integers(0, 400),
)
def test_a_damaged_compressed_image_is_a_frame_or_refused(
    picture: bytes, name: str, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(picture)
    for place, value in changes:
        data[place % len(data)] = value
    message = CompressedImage(format=name, data=array('B', data[: length or None]))
    try:
        frame = images.compressed_to_bgr(message, Gain())
    except ImageError as error:
        assert one_sentence(error), error
    else:
        assert frame.ndim == 3 and frame.shape[2] == 3 and frame.size
        assert (frame.dtype, frame.flags.c_contiguous) == (np.uint8, True)
