"""Pictures for people, drawn beside the worker: they must not delay the next target."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import Header

from memtrack_ros.nodes import messages
from memtrack_ros.nodes.frames import Mailbox


class Picture(NamedTuple):
    """The header of the image that it is about, and what draws it, (H, W, 3) BGR."""

    header: Header
    draw: Callable[[], NDArray[np.uint8]]


class Drawing:
    """A thread that draws and publishes the newest picture; older ones are passed over."""

    def __init__(
        self,
        publisher: LifecyclePublisher,
        report: Callable[[Exception], None],
        period: float = 0.0,
    ) -> None:
        """Start it; `report` hears of what went wrong. Pictures are `period` seconds apart."""
        self._publisher, self._report, self._period = publisher, report, period
        self._due = 0.0
        self._newest: Mailbox[Picture] = Mailbox()
        self._thread = threading.Thread(target=self._run, name='drawing')
        self._thread.start()

    @property
    def wanted(self) -> bool:
        """Whether somebody looks, and the next picture is due."""
        return time.monotonic() >= self._due and self._publisher.get_subscription_count() > 0

    def show(self, header: Header, draw: Callable[[], NDArray[np.uint8]]) -> None:
        """To be drawn next."""
        self._due = time.monotonic() + self._period
        self._newest.put(Picture(header, draw))

    def close(self) -> None:
        """End with the picture at hand."""
        self._newest.close()
        self._thread.join()

    def _run(self) -> None:
        while self._newest.wait():
            if (picture := self._newest.take()) is not None:
                try:
                    self._publisher.publish(messages.bgr_to_image(picture.draw(), picture.header))
                except Exception as error:  # the next one may be drawn
                    self._report(error)
