"""Requests of ~/init_target become prompts in pixels."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import malformed
import numpy as np
import pytest
from geometry_msgs.msg import Point
from hypothesis import given, settings
from hypothesis import strategies as st
from memtrack_ros.srv import InitTarget
from std_msgs.msg import Header

from memtrack_ros import msg
from memtrack_ros.errors import PromptError
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.nodes import messages, prompts
from memtrack_ros.session import Prompt
from memtrack_ros.session.prompts import resolve

BOX, MASK, POINT = InitTarget.Request.BOX, InitTarget.Request.MASK, InitTarget.Request.POINT
WIDTH, HEIGHT = 64, 48


def prompt(kind: int, normalized: bool = False, **fields: Any) -> Prompt:
    request = InitTarget.Request(kind=kind, normalized=normalized, **fields)
    return prompts.from_request(request, WIDTH, HEIGHT)


def box(x: float, y: float, w: float, h: float, theta: float = 0.0) -> msg.OrientedBox:
    return messages.box_to_message(OrientedBox(x, y, w, h, theta))


def test_an_upright_box() -> None:
    made = prompt(BOX, box=box(19.5, 14.5, 20, 10))
    assert made.kind == 'box'
    assert np.allclose(made.value, [10, 10, 20, 10])
    made = prompt(BOX, True, box=box(0.5, 0.5, 1, 1))
    assert np.allclose(made.value, [0, 0, WIDTH, HEIGHT])


def test_a_turned_box_stays_turned() -> None:
    turned = OrientedBox(30.2, 22.7, 24, 9, 0.5)
    assert prompt(BOX, box=messages.box_to_message(turned)) == Prompt('box', turned)
    made = prompt(BOX, True, box=box(0.5, 0.5, 0.25, 0.5, 0.5))
    assert made == Prompt('box', OrientedBox(31.5, 23.5, 16, 24, 0.5))


@pytest.mark.parametrize('number', [nan, inf, -inf])
@pytest.mark.parametrize('name', ['center_x', 'center_y', 'size_x', 'size_y', 'theta'])
def test_a_box_of_no_numbers_is_refused(name: str, number: float) -> None:
    given = box(20, 20, 10, 10)
    setattr(given, name, number)
    with pytest.raises(PromptError, match=f'{name} is .*give a finite number'):
        prompt(BOX, box=given)


def test_a_point() -> None:
    assert list(prompt(POINT, point=Point(x=3.0, y=5.5)).value) == [3, 5.5]
    assert list(prompt(POINT, True, point=Point(x=0.5, y=0.5)).value) == [31.5, 23.5]
    for corner in (0.0, 1.0):
        made = prompt(POINT, True, point=Point(x=corner, y=corner))
        assert list(made.value) == [corner * (WIDTH - 1), corner * (HEIGHT - 1)]
    with pytest.raises(PromptError, match='x is nan'):
        prompt(POINT, point=Point(x=nan))


def test_pixels_said_to_be_normalized_are_refused() -> None:
    with pytest.raises(PromptError, match='center 20 lies outside 0..1'):
        prompt(BOX, True, box=box(20, 20, 10, 10))
    with pytest.raises(PromptError, match='point 20 lies outside 0..1'):
        prompt(POINT, True, point=Point(x=20.0))


def test_a_mask() -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[3:9, 4:7] = 1
    made = prompt(MASK, mask=messages.mask_to_image(mask, Header()))
    assert made.kind == 'mask'
    assert np.array_equal(made.value, mask * 255)
    with pytest.raises(PromptError, match='the mask of the prompt cannot be read: the mask is'):
        prompt(MASK, mask=messages.bgr_to_image(np.dstack([mask] * 3), Header()))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(PromptError, match='kind 7 is unknown'):
        prompt(7)


@settings(max_examples=1000, deadline=None, database=None)
@given(request=malformed.prompts(), width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_any_request_is_a_prompt_or_is_refused_in_a_sentence(
    request: InitTarget.Request, width: int, height: int
) -> None:
    try:
        made = prompts.from_request(request, width, height)
    except PromptError as refusal:
        assert ': ' in str(refusal)  # what is wrong, and what to do
    else:
        assert made.kind in ('box', 'mask', 'point')
    try:
        assert prompts.width_of(request) is None or request.target_width > 0
    except PromptError as refusal:
        assert 'give a finite width' in str(refusal)


@settings(max_examples=300, deadline=None, database=None)
@given(request=malformed.prompts(), known=st.booleans())
def test_any_prompt_is_a_target_in_its_image_or_is_refused_in_a_sentence(
    request: InitTarget.Request, known: bool
) -> None:
    frame = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:30, 10:40] = 255
    try:
        target = resolve(frame, prompts.from_request(request, WIDTH, HEIGHT), mask * known)
    except PromptError as refusal:
        assert len(str(refusal)) < 600
    else:
        x, y, w, h = target.box
        assert 0 <= x <= x + w <= WIDTH
        assert 0 <= y <= y + h <= HEIGHT
        assert target.mask.shape == (HEIGHT, WIDTH)
        assert target.mask.any()
