"""What an InitTarget request points at, as a prompt for the session."""

from __future__ import annotations

from math import isfinite

import numpy as np
from geometry_msgs.msg import Point

from memtrack_ros.errors import ImageError, PromptError
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.session import Points, Prompt
from memtrack_ros.srv import InitTarget
from memtrack_ros.wire import images


def from_request(request: InitTarget.Request, width: int, height: int) -> Prompt:
    """The prompt in pixels of an image of width x height.

    A normalized coordinate runs from 0, the left or top edge of the image, to 1, the other edge;
    sizes are shares of the width (size_x) and the height (size_y), theta stays the angle in pixels.

    Raises PromptError: an unknown kind, numbers that are none, a mask that is not mono8. Whether
    the target lies in the image is the session's to judge.
    """
    if request.kind == InitTarget.Request.BOX:
        return _from_box(request, width, height)
    if request.kind == InitTarget.Request.MASK:
        try:
            return Prompt('mask', images.image_to_mask(request.mask))
        except ImageError as error:
            raise PromptError(f'the mask of the prompt cannot be read: {error}') from error
    if request.kind == InitTarget.Request.POINT:
        return Prompt('point', _in_image(request.point, request.normalized, width, height))
    if request.kind == InitTarget.Request.POINTS:
        positive, negative = (
            np.array(
                [_in_image(point, request.normalized, width, height) for point in points]
            ).reshape(-1, 2)
            for points in (request.positive, request.negative)
        )
        return Prompt('point', Points(positive, negative))
    raise PromptError(
        f'kind {request.kind} is unknown: give BOX (0), MASK (1), POINT (2) or POINTS (3)'
    )


def width_of(request: InitTarget.Request) -> float | None:
    """The real width of the target in metres, where it is given; raises PromptError for none."""
    width = request.target_width
    if not isfinite(width) or width < 0:
        raise PromptError(f'target_width is {width:g} m: give a finite width above 0, or leave it')
    return float(width) or None


def _from_box(request: InitTarget.Request, width: int, height: int) -> Prompt:
    given = request.box
    _require_numbers(
        center_x=given.center_x,
        center_y=given.center_y,
        size_x=given.size_x,
        size_y=given.size_y,
        theta=given.theta,
    )
    x, y, size_x, size_y = given.center_x, given.center_y, given.size_x, given.size_y
    if request.normalized:
        x, y = _in_pixels('center', x, width), _in_pixels('center', y, height)
        size_x, size_y = size_x * width, size_y * height
    box = OrientedBox(x, y, size_x, size_y, given.theta)
    return Prompt('box', box if box.theta else box.bounds())


def _in_image(point: Point, normalized: bool, width: int, height: int) -> Floats:
    x, y = point.x, point.y
    _require_numbers(x=x, y=y)
    if normalized:
        # The image's edges are half a pixel outside of its outermost pixels' centres.
        x = min(max(_in_pixels('point', x, width), 0), width - 1)
        y = min(max(_in_pixels('point', y, height), 0), height - 1)
    return np.array([x, y])


def _in_pixels(what: str, value: float, length: int) -> float:
    if not 0 <= value <= 1:
        raise PromptError(
            f'{what} {value:g} lies outside 0..1: a normalized prompt counts in image sizes, '
            'or give pixels with normalized false'
        )
    return value * length - 0.5


def _require_numbers(**values: float) -> None:
    for name, value in values.items():
        if not isfinite(value):
            raise PromptError(f'{name} is {value}: give a finite number')
