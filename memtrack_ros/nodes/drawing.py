"""Overlays, drawn beside the worker: a picture to look at must not delay the next target."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import Header

from memtrack_ros.nodes import messages
from memtrack_ros.nodes.frames import Mailbox
from memtrack_ros.overlay import draw
from memtrack_ros.session import Estimate


class Picture(NamedTuple):
    """A frame, the header of its image, what is shown in it and what else was estimated there."""

    frame: NDArray[np.uint8]
    header: Header
    shown: Estimate
    others: list[Estimate]


class Drawing:
    """A thread that draws and publishes the newest estimate; older ones are passed over."""

    def __init__(self, publisher: LifecyclePublisher, report: Callable[[Exception], None]) -> None:
        """Start it; `report` hears of what went wrong."""
        self._publisher, self._report = publisher, report
        self._newest: Mailbox[Picture] = Mailbox()
        self._thread = threading.Thread(target=self._run, name='drawing')
        self._thread.start()

    def show(
        self,
        frame: NDArray[np.uint8],
        header: Header,
        shown: Estimate,
        estimates: dict[int, Estimate],
    ) -> None:
        """To be drawn next, if somebody looks: what is shown, beside all other estimates."""
        if self._publisher.get_subscription_count():
            others = [estimate for estimate in estimates.values() if estimate is not shown]
            self._newest.put(Picture(frame, header, shown, others))

    def close(self) -> None:
        """End with the picture at hand."""
        self._newest.close()
        self._thread.join()

    def _run(self) -> None:
        while self._newest.wait():
            if (picture := self._newest.take()) is not None:
                try:
                    drawn = draw(picture.frame, picture.shown, picture.others)
                    self._publisher.publish(messages.bgr_to_image(drawn, picture.header))
                except Exception as error:  # the next one may be drawn
                    self._report(error)
