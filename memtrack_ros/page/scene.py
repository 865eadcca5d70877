"""What the page shows: an image that was processed, with what was said of it."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf, isfinite
from time import monotonic
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from memtrack_ros.errors import MemtrackError
from memtrack_ros.msg import TrackedTarget, TrackedTargets
from memtrack_ros.nodes import messages
from memtrack_ros.nodes.frames import AnyImage, Frames, nanoseconds
from memtrack_ros.page.link import LEVELS, Level

STATES = {
    getattr(TrackedTarget, name): name
    for name in dir(TrackedTarget)
    if name.isupper() and isinstance(getattr(TrackedTarget, name), int)
}
SILENT = 1.5
"""Seconds without an answer after which images are shown as they come."""
_LATEST = 30  # answers by which their rate is told
_LABELS = 5
_FORGOTTEN = 2.0  # seconds after which a picture of a memory is not of the present one
_VERTICES = 200  # of an outline

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """An image (H, W, 3) BGR and the facts beside it."""

    stamp: int
    frame: Frame
    facts: dict[str, Any]
    _jpegs: dict[Level, bytes] = field(default_factory=dict)

    def encoded(self, level: Level, number: int) -> bytes:
        """Facts and JPEG as they are sent: four bytes for the length of the facts, these, it."""
        facts = json.dumps({**self.facts, 'number': number}).encode()
        if level not in self._jpegs:
            self._jpegs[level] = encoded(self.frame, level)
        return len(facts).to_bytes(4, 'big') + facts + self._jpegs[level]


def encoded(frame: Frame, level: Level) -> bytes:
    """A frame (H, W, 3) BGR as a JPEG, made smaller if need be."""
    height, width = frame.shape[:2]
    scale = min(1.0, level.side / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, jpeg = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, level.quality])
    return bytes(jpeg)


class Scene:
    """The newest of what came. Messages come in one thread, pictures are asked for in others."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.changed: Callable[[], None] = lambda: None
        """Called whenever there is something new to be shown."""
        self._lock = threading.Lock()
        self._answer: TrackedTargets | None = None
        self._incomplete: TrackedTargets | None = None
        self._came: deque[float] = deque(maxlen=_LATEST)
        self._labels: deque[Image] = deque(maxlen=_LABELS)
        self._image: AnyImage | None = None
        self._memory = b''
        self._drawn = -inf  # when it came

    def see(self, image: AnyImage) -> None:
        """An image came."""
        self.frames.put(image)
        self._image = image
        if not self.answered():
            self.changed()

    def hear(self, answer: TrackedTargets) -> None:
        """What is said of all targets in an image; where they are in it comes a moment later."""
        with self._lock:
            self._answer = self._incomplete or self._answer
            self._incomplete = answer
            self._came.append(monotonic())
        self._complete()

    def label(self, labels: Image) -> None:
        """Where the targets of an image are."""
        with self._lock:
            self._labels.append(labels)
        self._complete()

    def remember(self, sheet: Image) -> None:
        """A picture of what the selected target's memory holds."""
        with suppress(MemtrackError):
            self._memory = encoded(messages.image_to_bgr(sheet), LEVELS[0])
            self._drawn = monotonic()

    def memory(self) -> bytes:
        """That as a JPEG; empty where there is none of late."""
        return self._memory if monotonic() - self._drawn < _FORGOTTEN else b''

    def _complete(self) -> None:
        """The newest answer is shown once its labels are there, and in the place of a next one."""
        with self._lock:
            newest = self._incomplete
            stamps = [labels.header.stamp for labels in self._labels]
            if newest is not None and newest.header.stamp in stamps:
                self._answer, self._incomplete = newest, None
        self.changed()

    def answered(self) -> bool:
        """Whether images are being answered at present."""
        with self._lock:
            return bool(self._came) and monotonic() - self._came[-1] < SILENT

    def stamp(self) -> int:
        """That of what `shown` would give now; 0 before anything came."""
        if self.answered() and self._answer is not None:
            return nanoseconds(self._answer.header.stamp)
        return 0 if self._image is None else nanoseconds(self._image.header.stamp)

    def shown(self) -> Shown | None:
        """The newest image that was answered; while none is, the newest image."""
        answer = self._answer if self.answered() else None
        try:
            image = self._image if answer is None else self.frames.recent.find(answer.header.stamp)
            if image is None:
                return None
            frame = self.frames.decode(image)
        except MemtrackError:
            return None
        stamp: Time = image.header.stamp
        facts = {
            'stamp': [stamp.sec, stamp.nanosec],
            'size': [frame.shape[1], frame.shape[0]],
            'answered': answer is not None,
            'rate': self._rate(),
            'selected': 0 if answer is None else answer.selected,
            'targets': [],
        }
        if answer is not None:
            outlines = self._outlines(stamp, len(answer.targets))
            facts['targets'] = [
                {**summary(target), 'outlines': outline}
                for target, outline in zip(answer.targets, outlines, strict=True)
            ]
        return Shown(nanoseconds(stamp), frame, facts)

    def _rate(self) -> float:
        with self._lock:
            came = list(self._came)
        passed = came[-1] - came[0] if came else 0.0
        return (len(came) - 1) / passed if passed else 0.0

    def _outlines(self, stamp: Time, count: int) -> list[list[list[float]]]:
        """Of each target the polygons around its mask, as x, y, x, y, ... in pixels."""
        with self._lock:
            labels = next((one for one in self._labels if one.header.stamp == stamp), None)
        if labels is None:
            return [[] for _ in range(count)]
        numbers = np.frombuffer(labels.data, np.uint8).reshape(labels.height, labels.step)
        return [outlines(np.asarray(numbers == number, np.uint8)) for number in range(1, count + 1)]


def outlines(mask: Frame) -> list[list[float]]:
    """The polygons around a mask (H, W) as x, y, x, y, ...; simplified to about a pixel."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = [cv2.approxPolyDP(contour, 1.0, True)[:_VERTICES] for contour in contours]
    return [np.asarray(polygon, int).ravel().tolist() for polygon in found if len(polygon) > 2]


def summary(target: TrackedTarget) -> dict[str, Any]:
    """What is said of a target, as JSON has it: null where a number is not known."""
    box, memory = target.box, target.memory
    return {
        'id': target.target_id,
        'tracker': target.tracker,
        'state': STATES.get(target.state, str(target.state)),
        'confidence': finite(target.confidence),
        'age': finite(target.image_age),
        'box': [
            finite(value)
            for value in (box.center_x, box.center_y, box.size_x, box.size_y, box.theta)
        ],
        'position': [finite(v) for v in (target.position.x, target.position.y, target.position.z)],
        'memory': [memory.entries, memory.capacity, memory.writes],
    }


def finite(number: float) -> float | None:
    """A finite number, rounded; None for what is none."""
    return round(float(number), 4) if isfinite(number) else None
