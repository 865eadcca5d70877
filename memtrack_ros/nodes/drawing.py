"""Overlays, drawn beside the worker: a picture to look at must not delay the next target."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import Header

from memtrack_ros.nodes import messages
from memtrack_ros.nodes.frames import Mailbox
from memtrack_ros.overlay import draw
from memtrack_ros.session import Estimate

Drawn = tuple[NDArray[np.uint8], Estimate, Header]
"""A frame, what was estimated in it, and the header of its image."""


class Drawing:
    """A thread that draws and publishes the newest estimate; older ones are passed over."""

    def __init__(self, publisher: LifecyclePublisher, report: Callable[[Exception], None]) -> None:
        """Start it; `report` hears of what went wrong."""
        self._publisher, self._report = publisher, report
        self._newest: Mailbox[Drawn] = Mailbox()
        self._thread = threading.Thread(target=self._run, name='drawing')
        self._thread.start()

    def put(self, drawn: Drawn) -> None:
        """To be drawn next."""
        self._newest.put(drawn)

    def close(self) -> None:
        """End with the picture at hand."""
        self._newest.close()
        self._thread.join()

    def _run(self) -> None:
        while self._newest.wait():
            if (drawn := self._newest.take()) is not None:
                frame, estimate, header = drawn
                try:
                    picture = draw(frame, estimate)
                    self._publisher.publish(messages.bgr_to_image(picture, header))
                except Exception as error:  # the next one may be drawn
                    self._report(error)
