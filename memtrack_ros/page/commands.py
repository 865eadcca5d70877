"""What a viewer asks for, as requests of the tracker's services."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from std_srvs.srv import Trigger

from memtrack_ros.errors import PromptError
from memtrack_ros.srv import (
    InitTarget,
    ListMemories,
    LoadMemory,
    RemoveTarget,
    SaveMemory,
    SelectTarget,
)

MOST_POINTS = 64
_LONGEST = 200  # characters


class Command(NamedTuple):
    """A service, and how a request of it is made of JSON."""

    service: str
    kind: Any
    request: Callable[[dict[str, Any]], Any]


def prompt(given: dict[str, Any]) -> InitTarget.Request:
    """A box, a point, or points on the target and off it, in 0..1 of the image; and its stamp."""
    request = InitTarget.Request(normalized=True)
    seconds, nanoseconds = numbers(given, 'stamp', 2)
    if not (0 <= seconds < 2**31 and 0 <= nanoseconds < 10**9):
        raise PromptError(f'stamp {[seconds, nanoseconds]} is none: give seconds and nanoseconds')
    request.stamp = Time(sec=int(seconds), nanosec=int(nanoseconds))
    if 'box' in given:
        x, y, w, h = numbers(given, 'box', 4)
        # What reaches beyond the image is cut off: a finger slips easily.
        left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, 1.0), min(y + h, 1.0)
        if right <= left or bottom <= top:
            raise PromptError(
                f'box {[x, y, w, h]} lies outside the image: draw it around the target'
            )
        request.kind = InitTarget.Request.BOX
        request.box.center_x, request.box.center_y = (left + right) / 2, (top + bottom) / 2
        request.box.size_x, request.box.size_y = right - left, bottom - top
    elif 'point' in given:
        request.kind = InitTarget.Request.POINT
        request.point = Point(**dict(zip('xy', numbers(given, 'point', 2), strict=True)))
    else:
        request.kind = InitTarget.Request.POINTS
        request.positive, request.negative = points(given, 'positive'), points(given, 'negative')
    request.tracker = text(given, 'tracker', '')
    request.add, request.refine = flag(given, 'add'), flag(given, 'refine')
    request.target_width = number('width', given.get('width', 0.0))
    return request


def _named(kind: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda given: kind(name=text(given, 'name'))


def _numbered(kind: Any) -> Callable[[dict[str, Any]], Any]:
    def made(given: dict[str, Any]) -> Any:
        target_id = number('id', given.get('id'))
        if not (0 <= target_id < 2**32 and target_id == int(target_id)):
            raise PromptError(f'id {target_id:g} is none of a target')
        return kind(target_id=int(target_id))

    return made


COMMANDS = {
    'prompt': Command('init_target', InitTarget, prompt),
    'reset': Command('reset', Trigger, lambda _: Trigger.Request()),
    'undo': Command('undo', Trigger, lambda _: Trigger.Request()),
    'save': Command('save_memory', SaveMemory, _named(SaveMemory.Request)),
    'load': Command('load_memory', LoadMemory, _named(LoadMemory.Request)),
    'list': Command('list_memories', ListMemories, lambda _: ListMemories.Request()),
    'select': Command('select_target', SelectTarget, _numbered(SelectTarget.Request)),
    'remove': Command('remove_target', RemoveTarget, _numbered(RemoveTarget.Request)),
}
"""By the names that the page uses."""


def answered(response: Any) -> dict[str, Any]:
    """A response of one of these as JSON."""
    answer = {'success': response.success, 'message': response.message}
    if hasattr(response, 'target_id'):
        answer['id'] = response.target_id
    if hasattr(response, 'stamp'):
        answer['stamp'] = [response.stamp.sec, response.stamp.nanosec]
    if hasattr(response, 'names'):
        answer['names'] = list(response.names)
    return answer


# JSON


def number(name: str, value: Any) -> float:
    """A finite number; PromptError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PromptError(f'{name} is {value!r:.100}, not a number')
    try:
        found = float(value)
    except OverflowError:
        found = float('inf')
    if not isfinite(found):
        raise PromptError(f'{name} is not finite: give a finite number')
    return found


def numbers(given: dict[str, Any], name: str, count: int) -> list[float]:
    """So many finite numbers."""
    values = given.get(name)
    if not isinstance(values, list) or len(values) != count:
        raise PromptError(f'{name} is {values!r:.100}, not {count} numbers')
    return [number(name, value) for value in values]


def points(given: dict[str, Any], name: str) -> list[Point]:
    """Any points x, y up to MOST_POINTS."""
    values = given.get(name, [])
    if not isinstance(values, list) or len(values) > MOST_POINTS:
        raise PromptError(f'{name} is not a list of up to {MOST_POINTS} points')
    pairs = [numbers({name: value}, name, 2) for value in values]
    return [Point(x=x, y=y) for x, y in pairs]


def text(given: dict[str, Any], name: str, default: str | None = None) -> str:
    """A short text."""
    value = given.get(name, default)
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise PromptError(f'{name} is {value!r:.100}, not a text of up to {_LONGEST} characters')
    return value


def flag(given: dict[str, Any], name: str) -> bool:
    """True or false; false when it is not there."""
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise PromptError(f'{name} is {value!r:.100}, neither true nor false')
    return value
