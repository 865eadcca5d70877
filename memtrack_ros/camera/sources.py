"""Where a camera's images come from: a video file, a webcam, a drawn scene."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from builtin_interfaces.msg import Time

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.nodes.messages import Frame

if TYPE_CHECKING:  # brings torch, which only a drawn scene needs
    from memtrack_ros.session import Estimate

DEFAULT_RATE = 30.0

AHEAD = 300
AHEAD_BYTES = 320 * 2**20
"""What is fetched ahead at most: ten seconds at 30 Hz, if they fit, as those of 640x480 do."""

# What does not open is reported here, in one sentence. Humble's OpenCV cannot be silenced.
with suppress(AttributeError):
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class Shot(NamedTuple):
    """An image, uint8 (height, width, 3) BGR.

    stamp: when it was taken, for a live source. truth: what is really seen in a drawn scene.
    """

    image: Frame
    stamp: Time | None = None
    truth: Estimate | None = None


@dataclass(frozen=True)
class Source:
    """A stream of images.

    rate: its own, in images per second. live: its images come when they are taken; those of any
    other source can be fetched ahead. shots: begins the stream, given the clock to stamp with.
    has_truth: every shot comes with what is really seen.
    """

    name: str
    width: int
    height: int
    rate: float
    live: bool
    shots: Callable[[Callable[[], Time]], Iterator[Shot]]
    has_truth: bool = False


def video(path: Path, loop: bool) -> Source:
    """A video file, played once or again and again.

    Raises ConfigurationError: no such file, or none that OpenCV can read.
    """
    if not path.is_file():
        raise ConfigurationError(f'the video {path} is not there: give the path of a video file')

    name = f'video {path}'

    def play() -> Iterator[Shot]:
        capture = cv2.VideoCapture(str(path))
        try:
            while (image := capture.read()[1]) is not None:
                yield Shot(np.asarray(image, np.uint8))
        finally:
            capture.release()

    def shots(now: Callable[[], Time]) -> Iterator[Shot]:
        return _rounds(name, play, loop)  # opened anew: seeking is not exact in many formats

    first = next(play(), None)
    if first is None:
        raise ConfigurationError(f'{path} cannot be read as a video: convert it, to MP4 for one')
    height, width = first.image.shape[:2]
    capture = cv2.VideoCapture(str(path))
    rate = _rate(capture)
    capture.release()
    return Source(name, width, height, rate, False, shots)


def webcam(device: int | str, width: int, height: int, rate: float) -> Source:
    """A webcam by number or device path, asked for this size and rate (0: as it likes).

    It delivers what it can of that. Raises ConfigurationError when it does not open or deliver;
    so does the stream when the camera goes away.
    """
    capture = cv2.VideoCapture(device)
    if not capture.isOpened():
        raise ConfigurationError(
            f'the webcam {device} does not open: give one of /dev/video* that no other program uses'
        )
    for quality, value in (
        (cv2.CAP_PROP_FRAME_WIDTH, width),
        (cv2.CAP_PROP_FRAME_HEIGHT, height),
        (cv2.CAP_PROP_FPS, rate),
    ):
        if value:
            capture.set(quality, value)

    def take(now: Callable[[], Time]) -> Shot:
        if capture.grab():
            stamp = now()  # before the picture is decoded
            arrived, image = capture.retrieve()
            if arrived:
                return Shot(np.asarray(image, np.uint8), stamp)
        raise ConfigurationError(
            f'the webcam {device} delivers no pictures: see whether it is plugged in'
        )

    def shots(now: Callable[[], Time]) -> Iterator[Shot]:
        try:
            while True:
                yield take(now)
        finally:
            capture.release()

    height, width = take(Time).image.shape[:2]
    return Source(f'webcam {device}', width, height, _rate(capture), True, shots)


def drawn(seed: int, strength: float, width: int, height: int, frames: int, loop: bool) -> Source:
    """A drawn scene with its truth, played once or again and again.

    The truth's confidence is 1 where the target is seen; its score is the visible share.
    """
    import torch

    from memtrack_ros.scenes import drawn_scene
    from memtrack_ros.session import Estimate, State

    torch.set_num_threads(1)  # several images are drawn at a time instead
    drawer = threading.local()
    name = f'drawn scene {seed}'

    def begin() -> None:
        drawer.scene = drawn_scene(seed, width, height, frames, strength)

    def shoot(t: int) -> Shot:
        frame = drawer.scene.render(t)
        box = OrientedBox.from_mask(frame.mask)
        truth = Estimate(
            state=State.OCCLUDED if box is None else State.TRACKING,
            confidence=0.0 if box is None else 1.0,
            score=frame.visibility,
            box=box,
            roi=None if box is None else frame.box,
            mask=None,
            mask_is_box=False,
            frames_tracked=t + 1,
        )
        return Shot(frame.image, truth=truth)

    def play() -> Iterator[Shot]:
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers, 'drawer', begin) as drawers:
            drawn: deque[Future[Shot]] = deque()
            for t in range(frames):
                drawn.append(drawers.submit(shoot, t))
                if len(drawn) > 2 * workers:
                    yield drawn.popleft().result()
            while drawn:
                yield drawn.popleft().result()

    def shots(now: Callable[[], Time]) -> Iterator[Shot]:
        # To draw takes longer than to show: once is enough.
        return _rounds(name, play, loop, keep=loop and 3 * width * height * frames <= AHEAD_BYTES)

    return Source(name, width, height, DEFAULT_RATE, False, shots, True)


def _rounds(
    name: str, play: Callable[[], Iterator[Shot]], loop: bool, keep: bool = False
) -> Iterator[Shot]:
    """What play() gives, once, or again and again, then from memory if it is to be kept.

    Raises ConfigurationError when it gives nothing any more.
    """
    kept: list[Shot] = []
    for shot in _some(name, play()):
        if keep:
            kept.append(shot)
        yield shot
    while loop:
        yield from kept or _some(name, play())


def _some(name: str, shots: Iterator[Shot]) -> Iterator[Shot]:
    first = next(shots, None)
    if first is None:
        raise ConfigurationError(
            f'the {name} shows nothing any more: see whether it is still there'
        )
    yield first
    yield from shots


class Ahead:
    """Shots fetched ahead by a thread of its own, as many as AHEAD and AHEAD_BYTES allow.

    Iterate over it; what ends the stream with an error is raised there. Close it in the end.
    """

    def __init__(self, shots: Iterator[Shot]) -> None:
        self._shots = shots
        self._waiting: deque[Shot] = deque()
        self._change = threading.Condition()
        self._full = self._ended = self._closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._fetch, name='ahead', daemon=True)
        self._thread.start()

    def ready(self) -> bool:
        """Whether it is as far ahead as it can be: a slow source has its lead now."""
        return self._full or self._ended

    def close(self) -> None:
        """Ends the thread."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[Shot]:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._ended or self._closed)
                if not self._waiting:
                    if self._error:
                        raise self._error
                    return
                shot = self._waiting.popleft()
                self._change.notify_all()
            yield shot

    def _fetch(self) -> None:
        try:
            for shot in self._shots:
                with self._change:
                    self._waiting.append(shot)
                    self._change.notify_all()
                    self._change.wait_for(self._may_fetch)
                if self._closed:
                    return
        except Exception as error:
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _may_fetch(self) -> bool:
        count = len(self._waiting)
        room = not count or (count < AHEAD and count * self._waiting[0].image.nbytes < AHEAD_BYTES)
        self._full = self._full or not room
        return room or self._closed


def _rate(capture: cv2.VideoCapture) -> float:
    """Images per second as the container or the camera says; some do not, or say nonsense."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if math.isfinite(rate) and 0 < rate <= 1000 else DEFAULT_RATE
