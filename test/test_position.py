"""Depth images and known widths to places in space, on drawn scenes with a depth a layer."""

from __future__ import annotations

from array import array
from math import atan, inf, nan
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from memtrack_ros.errors import ImageError
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.scenes.scene import TARGET
from memtrack_ros.wire import position
from memtrack_ros.wire.depth import pixels_to_metres, refuse_other_view
from memtrack_ros.wire.position import Ray

SIZE = WIDTH, HEIGHT = 320, 240
FOCAL = 260.0
LAYERS = np.array([2.0, 1.3, 1.0, 0.8, 0.6])  # times the target's distance, as in SURFACES
SHARE = 0.5

Pixels = np.ndarray[Any, Any]


def bearing(point: tuple[float, float]) -> tuple[float, float]:
    x, y = point
    return atan((x - (WIDTH - 1) / 2) / FOCAL), atan((y - (HEIGHT - 1) / 2) / FOCAL)


def ray_to(box: Any) -> Ray:
    x, y, w, h = map(float, box)
    ray = Ray.to((x + (w - 1) / 2, y + (h - 1) / 2), (w, h), bearing)
    assert ray is not None
    return ray


def placed(mask: Pixels, depth: Pixels, share: float = SHARE) -> position.Position | None:
    ray = ray_to(cv2.boundingRect(mask))
    size = depth.shape[1], depth.shape[0]
    return position.by_depth(ray, mask, lambda region: depth[region], size, share)


def message(pixels: Pixels, encoding: str, **fields: Any) -> Image:
    height, width = pixels.shape
    made = Image(height=height, width=width, encoding=encoding, step=pixels.nbytes // height)
    made.data = array('B', pixels.tobytes())
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def disc(radius: int = 30) -> Pixels:
    return cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), (150, 110), radius, 255, -1)


def seen(mask: Pixels, target: float, ground: float) -> Pixels:
    return np.where(mask > 0, target, ground).astype(np.float32)


@pytest.fixture(scope='module')
def views() -> list[tuple[Pixels, Pixels]]:
    """Surfaces of drawn scenes, and masks as a tracker has them: not quite at their place."""
    made = []
    for seed in range(5):
        scene = drawn_scene(seed, WIDTH, HEIGHT)
        for number in (0, 40):
            surfaces = scene.surfaces(number)
            mask = np.where(surfaces == TARGET, 255, 0).astype(np.uint8)
            if cv2.countNonZero(mask) < 200:
                continue
            w, h = cv2.boundingRect(mask)[2:]
            off = 0.05 * w, -0.05 * h
            matrix = np.array([[1, 0, off[0]], [0, 1, off[1]]], float)
            moved = cv2.warpAffine(mask, matrix, SIZE, flags=cv2.INTER_NEAREST)
            made.append((surfaces, cv2.dilate(moved, np.ones((3, 3), np.uint8))))
    assert len(made) >= 6
    return made


def smooth(noise: Pixels, length: float) -> Pixels:
    """Noise of a standard deviation of 1 whose neighbours within a length in pixels are alike."""
    if not length:
        return noise
    return cv2.GaussianBlur(noise, (0, 0), length) * 2 * length * np.sqrt(np.pi)


def errors(
    views: list[tuple[Pixels, Pixels]], noise: float, length: float = 0, step: float = 0
) -> tuple[Pixels, Pixels]:
    """Of distances from 1 to 20 m: as shares of these, and in standard deviations.

    The noise is a share of the depth, its length in pixels, a step in 1/m; of each fifth pixel
    nothing is known.
    """
    rng = np.random.default_rng(3)
    relative, normal = [], []
    margin = round(4 * length)
    for _ in range(40):
        for surfaces, mask in views:
            distance = float(np.exp(rng.uniform(0, np.log(20))))
            wider = rng.normal(0, 1, (HEIGHT + 2 * margin, WIDTH + 2 * margin))
            off = smooth(wider, length)[margin : margin + HEIGHT, margin : margin + WIDTH]
            depth = distance * LAYERS[surfaces] * (1 + noise * off)
            if step:
                depth = 1 / (step * np.maximum(np.round(1 / depth / step), 1))
            depth[rng.random(depth.shape) < 0.2] = rng.choice([nan, 0, inf])
            metres = pixels_to_metres(message(depth.astype(np.float32), '32FC1'))
            found = placed(mask, metres)
            assert found is not None
            error = abs(found.point[2] - distance)
            relative.append(error / distance)
            normal.append(error / np.sqrt(found.covariance[2, 2]))
    return np.array(relative), np.array(normal)


@pytest.mark.parametrize('noise', [0.01, 0.04])
def test_distances_from_1_to_20_m_are_right_and_as_uncertain_as_is_said(
    views: list[tuple[Pixels, Pixels]], noise: float
) -> None:
    relative, normal = errors(views, noise)
    assert np.median(relative) <= 0.02
    assert max(relative) < 0.1
    assert 0.6 <= np.mean(normal < 1) <= 0.8


@pytest.mark.parametrize(
    ('length', 'least', 'most'), [(2, 0.6, 0.8), (6, 0.6, 0.85), (20, 0.5, 0.8)]
)
def test_noise_that_neighbours_share_is_as_uncertain_as_is_said(
    views: list[tuple[Pixels, Pixels]], length: float, least: float, most: float
) -> None:
    """Of 20 pixels there is little to be seen in 40: all have much the same error."""
    _, normal = errors(views, 0.02, length)
    assert least <= np.mean(normal < 1) <= most


@pytest.mark.parametrize('length', [0, 1, 2])
def test_few_pixels_are_as_uncertain_as_is_said(length: float) -> None:
    mask = disc(5)
    rng = np.random.default_rng(4)
    normal = []
    for _ in range(300):
        off = smooth(rng.normal(0, 1, mask.shape), length)
        found = placed(mask, (4 + 0.1 * off).astype(np.float32))
        assert found is not None
        normal.append(abs(found.point[2] - 4) / np.sqrt(found.covariance[2, 2]))
    assert 0.6 <= np.mean(np.array(normal) < 1) <= 0.85


@pytest.mark.parametrize('step', [1 / 104, 1 / 416])
def test_depth_in_steps_is_as_uncertain_as_these_are_high(
    views: list[tuple[Pixels, Pixels]], step: float
) -> None:
    """Whole disparities, and quarters, of a focal length times a base of 104 pixel metres.

    Of errors that are anywhere within half a step 58 % are within their standard deviation.
    """
    _, normal = errors(views, 0.01, step=step)
    assert 0.55 <= np.mean(normal < 1) <= 0.8


def test_the_variance_is_that_of_the_step_and_what_parts_tell() -> None:
    mask = disc()
    depth = seen(mask, 4.0, 9.0)
    depth[100, 150] = 4.25  # what else is near is 0.25 m off
    found = placed(mask, depth)
    assert found is not None
    assert found.covariance[2, 2] == pytest.approx(0.25**2 / 12)
    # Flat, before a flat wall: what is far off is no step, be it as far as can be.
    for behind in (9.0, np.inf):
        found = placed(mask, seen(mask, 4.0, behind))
        assert found is not None
        assert found.covariance[2, 2] < 0.001**2
    # Each part of either half is 0.05 m off the median, be it a quarter or a sixteenth.
    halves = seen(mask, 4.0, 9.0)
    halves[:, :150] += 0.4
    halves[:, 150] = nan
    halves[:, 151:] += 0.5
    found = placed(mask, halves)
    assert found is not None
    assert found.point[2] == pytest.approx(4.45)
    assert found.covariance[2, 2] == pytest.approx(0.05**2 / 0.15 + 0.05**2 / 12, rel=1e-3)


def test_the_place_is_on_the_ray_and_uncertain_along_it_and_across() -> None:
    mask = disc()
    depth = seen(mask, 4.0, 9.0) + np.random.default_rng(0).normal(0, 0.05, mask.shape)
    found = placed(mask, depth.astype(np.float32))
    assert found is not None
    x, y, z = found.point
    assert z == pytest.approx(4.0, abs=0.01)
    assert x / z == pytest.approx((150 - 159.5) / FOCAL, abs=1e-3)
    assert y / z == pytest.approx((110 - 119.5) / FOCAL, abs=1e-3)
    assert np.allclose(found.covariance, found.covariance.T)
    assert (np.linalg.eigvalsh(found.covariance) > 0).all()
    larger = placed(disc(60), depth.astype(np.float32))
    assert larger is not None  # so is its centre
    assert larger.covariance[0, 0] > found.covariance[0, 0]


@pytest.mark.parametrize('scale', [0.5, 0.4, 2.0])
def test_depth_of_another_number_of_pixels_is_scaled(scale: float) -> None:
    mask = disc()
    size = round(WIDTH * scale), round(HEIGHT * scale)
    depth = cv2.resize(seen(mask, 3.0, 8.0), size, interpolation=cv2.INTER_NEAREST)
    found = placed(mask, depth)
    assert found is not None
    assert found.point[2] == pytest.approx(3.0, abs=1e-6)


def test_edges_and_leaks_do_not_count() -> None:
    mask = disc()
    depth = seen(disc(24), 3.0, 8.0)  # a third of the mask shows what lies behind
    found = placed(mask, depth)
    assert found is not None
    assert found.point[2] == pytest.approx(3.0, abs=1e-6)


def test_too_few_known_depths_are_no_position() -> None:
    mask = disc()
    depth = seen(mask, 3.0, 8.0)
    rng = np.random.default_rng(1)
    for hole, known in ((0.4, True), (0.6, False), (1.0, False)):
        holed = np.where(rng.random(depth.shape) < hole, np.float32(nan), depth)
        assert (placed(mask, holed) is not None) is known
    holed = depth.copy()
    holed[:, :150] = nan
    holed[:, 150:] = nan
    assert placed(mask, holed) is None
    assert placed(np.zeros_like(mask), depth) is None
    dot = np.zeros_like(mask)
    dot[10, 10:13] = 255
    assert placed(dot, depth) is None


def test_a_known_width_gives_a_distance_with_a_wider_covariance() -> None:
    box = np.array([100, 80, 52, 40.0])
    found = position.by_width(ray_to(box), box, SIZE, 0.4)
    assert found is not None
    assert found.point[2] == pytest.approx(0.4 * FOCAL / 52, rel=1e-3)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[80:120, 100:152] = 255
    by_depth = placed(mask, seen(mask, 2.0, 5.0))
    assert by_depth is not None
    assert found.covariance[2, 2] > 100 * by_depth.covariance[2, 2]
    for cut in ([0, 80, 52, 40], [100, 0, 52, 40], [280, 80, 40, 40], [100, 200, 52, 40]):
        assert position.by_width(ray_to(cut), np.array(cut, float), SIZE, 0.4) is None


def test_a_ray_that_the_lens_does_not_image_is_none() -> None:
    assert Ray.to((10, 10), (5, 5), lambda point: None) is None
    halfway = Ray.to((10, 10), (5, 5), lambda point: None if point[0] > 10 else (0.1, 0.1))
    assert halfway is None


def test_millimetres_and_metres_are_read_and_what_is_unknown_is_nan() -> None:
    counts = np.array([[0, 1, 1500], [65535, 2, 3]], np.uint16)
    metres = np.array([[nan, 0.001, 1.5], [65.535, 0.002, 0.003]], np.float32)
    for big in (0, 1):
        sent = message(counts.astype('>u2' if big else '<u2'), '16UC1', is_bigendian=big)
        assert np.allclose(pixels_to_metres(sent), metres, equal_nan=True)
    given = np.array([[nan, inf, -inf], [0, -2, 3.5]], '<f4')
    found = pixels_to_metres(message(given, '32FC1'))
    assert np.isnan(found.ravel()[:5]).all()
    assert found[1, 2] == 3.5
    part = slice(1, 2), slice(1, 3)
    assert np.array_equal(pixels_to_metres(message(counts, '16UC1'), part), metres[part])
    padded = np.zeros((2, 5), np.uint16)
    padded[:, :3] = counts
    assert np.allclose(pixels_to_metres(message(padded, '16UC1', width=3)), metres, equal_nan=True)


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        ({'encoding': 'rgb8'}, "encoding 'rgb8' is not read"),
        ({'step': 3}, 'step 3'),
        ({'step': 100}, 'step 100'),
        ({'data': array('B', b'12')}, '2 bytes'),
        ({'width': 0}, 'empty'),
    ],
)
def test_depth_that_cannot_be_read_is_refused(fields: dict[str, Any], reason: str) -> None:
    sent = message(np.ones((4, 6), np.uint16), '16UC1')
    for name, value in fields.items():
        setattr(sent, name, value)
    with pytest.raises(ImageError, match=reason):
        pixels_to_metres(sent)


@pytest.mark.parametrize(
    ('width', 'height', 'fits'),
    [(640, 480, True), (320, 240, True), (213, 160, True), (640, 360, False), (480, 640, False)],
)
def test_depth_of_another_aspect_or_frame_is_refused(width: int, height: int, fits: bool) -> None:
    sent = message(np.ones((height, width), np.uint16), '16UC1', header=Header(frame_id='eye'))
    if fits:
        refuse_other_view(sent, (640, 480), 'eye')
    else:
        with pytest.raises(ImageError, match=f'{width}x{height} has another aspect'):
            refuse_other_view(sent, (640, 480), 'eye')
    with pytest.raises(ImageError, match="in the frame 'eye', the image in 'other'"):
        refuse_other_view(sent, (640, 480), 'other')
