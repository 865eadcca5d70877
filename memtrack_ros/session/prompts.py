"""From what a user points with to a definite target."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import PromptError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.trackers import Target

SMALLEST = 3  # pixels: the least side of a target inside the image
FINER = 4  # bits of a pixel to which corners are rounded
BEYOND = 4  # widths of the image beyond which corners are not told apart
LOOK = 160  # pixels: the side at which the surroundings of a point are segmented
SEED = 4  # pixels of these: radius of what is surely the target
MOST_POINTS = 64


@dataclass(frozen=True)
class Points:
    """Points x, y on the target, (N, 2), and off it, (M, 2)."""

    positive: Floats
    negative: Floats


@dataclass(frozen=True)
class Prompt:
    """What a user points with, in pixels.

    A box (4,) x, y, w, h, a turned one, or four corners (8,) x1, y1, ... x4, y4, edges of the
    extent; a mask (H, W), non-zero = target; a point (2,) x, y; or points on the target and off it.
    """

    kind: Literal['box', 'mask', 'point']
    value: NDArray[np.generic] | OrientedBox | Points


def resolve(frame: Pixels, prompt: Prompt, known: Pixels | None = None) -> Target:
    """Check a prompt against its frame and make it definite.

    `known` is the mask (H, W) of the target that points are to correct.

    PromptError says what is wrong with it.
    """
    if isinstance(prompt.value, OrientedBox):
        turned = prompt.value
        return _outlined(frame, turned.polygon(), turned.mask(*frame.shape[:2]))
    if isinstance(prompt.value, Points):
        mask = _segment_by(frame, prompt.value, known)
    elif prompt.kind == 'box':
        given = _numbers(prompt.value)
        if given.shape == (8,) and np.isfinite(given).all():
            return _outlined(frame, given, _filled(given, *frame.shape[:2]))
        box = _checked_box(frame, given)
        return Target(box, boxes.box_mask(box, *frame.shape[:2]), exact=False, pointed=given)
    elif prompt.kind == 'mask':
        mask = _checked_mask(frame, np.asarray(prompt.value))
    elif prompt.kind == 'point':
        mask = _segment_at(frame, _numbers(prompt.value))
    else:
        raise PromptError(f'The kind {prompt.kind!r} is unknown; give a box, a mask or a point.')
    return Target(np.array(cv2.boundingRect(mask), float), mask)


def _numbers(value: Any) -> Floats:
    """An array of what is given as numbers."""
    try:
        return np.array(value, float)
    except (TypeError, ValueError) as error:
        raise PromptError(
            f'The prompt {reprlib.repr(value)} does not hold numbers ({error}); give pixels.'
        ) from error


def _outlined(frame: Pixels, corners: Floats, outline: Pixels) -> Target:
    """The target within four corners (8,): their bounds, and what they enclose as a rough mask."""
    box = _checked_box(frame, boxes.bounds(corners))
    if cv2.countNonZero(outline) < SMALLEST**2:
        raise PromptError(
            f'The box with the corners {np.round(corners, 1).tolist()} covers less than '
            f'{SMALLEST**2} pixels of the {frame.shape[1]} x {frame.shape[0]} image; '
            'draw it around the target.'
        )
    return Target(box, outline, exact=False, pointed=corners)


def _filled(corners: Floats, height: int, width: int) -> Pixels:
    """What corners (8,) enclose: uint8 (height, width), 255 on pixels whose middles lie within."""
    near = np.clip(corners.reshape(4, 2) - 0.5, -BEYOND * width, BEYOND * width)
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(near * 2**FINER).astype(np.int32)], 255, shift=FINER)
    return mask


def _checked_box(frame: Pixels, box: Floats) -> Floats:
    height, width = frame.shape[:2]
    if box.shape != (4,) or not np.isfinite(box).all():
        raise PromptError(
            f'The box {box.tolist()} is not four finite numbers x, y, w, h, or eight of four '
            'corners; give these in pixels.'
        )
    inside = boxes.intersect(box, width, height)
    if inside[2:].min() < SMALLEST:
        raise PromptError(
            f'The box x {box[0]:g}, y {box[1]:g}, w {box[2]:g}, h {box[3]:g} has less than '
            f'{SMALLEST} x {SMALLEST} pixels inside the {width} x {height} image; '
            'draw it around the target.'
        )
    return inside


def _checked_mask(frame: Pixels, mask: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    if mask.shape != (height, width):
        raise PromptError(
            f'The mask is {" x ".join(str(n) for n in mask.shape[::-1])}, but its image is '
            f'{width} x {height}; '
            'give a mask of the size of the image.'
        )
    if mask.dtype.kind not in 'biuf' or np.isnan(mask).any():
        raise PromptError(
            f'The mask holds {mask.dtype} that are no numbers; '
            'mark the target with non-zero values.'
        )
    filled = np.where(mask, 255, 0).astype(np.uint8)
    count = cv2.countNonZero(filled)
    if count < SMALLEST**2:
        raise PromptError(
            f'The mask marks {count} pixels, at least {SMALLEST**2} are needed; '
            'mark the target with non-zero values.'
        )
    return filled


def _segment_at(frame: Pixels, point: Floats) -> Pixels:
    """The object at `point`, as a mask.

    GrabCut (Rother et al. 2004) on the surroundings, seeded at the point.
    """
    height, width = frame.shape[:2]
    _require_inside(frame, point)
    half = max(min(height, width) // 4, 16)
    left, top = (max(int(c) - half, 0) for c in point)
    around = frame[top : int(point[1]) + half, left : int(point[0]) + half]
    scale = LOOK / max(around.shape[:2])
    size = tuple(max(1, round(n * scale)) for n in around.shape[1::-1])
    seed_x, seed_y = np.minimum((point - [left, top]) * scale, np.array(size) - 1).astype(int)
    small = np.asarray(cv2.resize(around, size, interpolation=cv2.INTER_AREA), np.uint8)
    part = _grab(small, int(seed_x), int(seed_y))
    if cv2.countNonZero(part) < 2 * np.pi * SEED**2:
        raise PromptError(
            f'Nothing stands out around the point {point.tolist()}; '
            'point at the middle of the target or give a box.'
        )
    back = cv2.resize(part, around.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + back.shape[0], left : left + back.shape[1]] = np.where(back > 127, 255, 0)
    return mask


def _segment_by(frame: Pixels, points: Points, known: Pixels | None) -> Pixels:
    """The object that holds the positive points and none of the negative ones, as a mask.

    GrabCut, as at a single point, on the surroundings of all of them and of the `known` mask,
    which is the object but for what the points say.
    """
    positive, negative = _rows(points.positive), _rows(points.negative)
    given = np.concatenate([positive, negative])
    if not 1 <= len(given) <= MOST_POINTS or not (len(positive) or known is not None):
        raise PromptError(
            f'{len(positive)} points on the target and {len(negative)} off it are given; give 1 to '
            f'{MOST_POINTS}, one of them on the target unless it is to be corrected.'
        )
    for point in given:
        _require_inside(frame, point)
    height, width = frame.shape[:2]
    half = max(min(height, width) // 4, 16)
    corners = [*(positive - half), *(positive + half), *(negative - SEED), *(negative + SEED)]
    if known is not None and known.any():
        x, y, w, h = cv2.boundingRect(known)
        beside = max(w, h) // 2
        corners += [(x - beside, y - beside), (x + w + beside, y + h + beside)]
    left, top = np.maximum(np.min(corners, 0), 0).astype(int)
    right, bottom = np.minimum(np.ceil(np.max(corners, 0)) + 1, [width, height]).astype(int)
    around = frame[top:bottom, left:right]
    scale = LOOK / max(around.shape[:2])
    size = tuple(max(1, round(n * scale)) for n in around.shape[1::-1])
    small = np.asarray(cv2.resize(around, size, interpolation=cv2.INTER_AREA), np.uint8)
    on, off = (
        np.minimum((some - [left, top]) * scale, np.array(size) - 1).astype(int)
        for some in (positive, negative)
    )
    guess = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    if known is None or not known.any():
        for radius, kind in ((LOOK * 2 // 5, cv2.GC_PR_BGD), (LOOK // 6, cv2.GC_PR_FGD)):
            for x, y in on:
                cv2.circle(guess, (int(x), int(y)), radius, kind, -1)
    else:
        part = cv2.resize(known[top:bottom, left:right], size, interpolation=cv2.INTER_NEAREST)
        guess[:] = np.where(part > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    for some, kind in ((on, cv2.GC_FGD), (off, cv2.GC_BGD)):
        for x, y in some:
            cv2.circle(guess, (int(x), int(y)), SEED, kind, -1)
    inside = _cut_out(small, guess)
    if len(on):
        labels = cv2.connectedComponents(inside)[1]
        held = [labels[y, x] for x, y in on]
        inside = np.asarray(np.isin(labels, held) & (inside > 0), np.uint8)
    back = cv2.resize(
        np.where(inside > 0, np.uint8(255), np.uint8(0)),
        around.shape[1::-1],
        interpolation=cv2.INTER_LINEAR,
    )
    mask = np.zeros((height, width), np.uint8)
    mask[top:bottom, left:right] = np.where(back > 127, 255, 0)
    if cv2.countNonZero(mask) < SMALLEST**2:
        raise PromptError(
            f'Nothing is left of the target by {len(positive)} points on it and {len(negative)} '
            'off it; give other ones, or a box.'
        )
    return mask


def _rows(points: Floats) -> Floats:
    """Points (N, 2), of which there may be none."""
    given = _numbers(points)
    if given.size and (given.ndim != 2 or given.shape[1] != 2):
        raise PromptError(f'The points {given.tolist()} are not rows of x and y; give pixels.')
    return given.reshape(-1, 2)


def _require_inside(frame: Pixels, point: Floats) -> None:
    height, width = frame.shape[:2]
    inside = (
        point.shape == (2,)
        and np.isfinite(point).all()
        and (point >= 0).all()
        and (point < [width, height]).all()
    )
    if not inside:
        raise PromptError(
            f'The point {point.tolist()} is outside the {width} x {height} image; '
            'point at the target.'
        )


def _grab(image: Pixels, x: int, y: int) -> Pixels:
    """The object of `image` at (x, y): uint8 0/255 of its size, contrast stretched first."""
    guess = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    for radius, kind in (
        (LOOK * 2 // 5, cv2.GC_PR_BGD),
        (LOOK // 6, cv2.GC_PR_FGD),
        (SEED, cv2.GC_FGD),
    ):
        cv2.circle(guess, (x, y), radius, kind, -1)
    labels = cv2.connectedComponents(_cut_out(image, guess))[1]
    return np.where(labels == labels[y, x], 255, 0).astype(np.uint8)


def _cut_out(image: Pixels, guess: Pixels) -> Pixels:
    """What GrabCut makes of a guess, uint8 0/1; changes the guess."""
    bright = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(bright, guess, (0, 0, 0, 0), *models, 4, cv2.GC_INIT_WITH_MASK)
    return np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
