"""Depth images by the image that they belong to, as message_filters pairs them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.wire.bearing import CameraCalibration

try:
    import message_filters
except ImportError:  # it comes with ROS only
    message_filters = None

_QUEUE = 30  # images that wait for their depth
_PATIENCE = 0.02  # seconds; it mostly comes while the target is being located


def require_filters() -> None:
    """Raises ConfigurationError where message_filters is not there."""
    if message_filters is None:
        raise ConfigurationError(
            'depth needs message_filters, which does not import here: install '
            'ros-<distribution>-message-filters, or set depth to false'
        )


class Depths:
    """The depth of the latest images. Images go their way whether or not it comes."""

    def __init__(self, calibration: CameraCalibration) -> None:
        """calibration: that of the depth images."""
        self.calibration = calibration
        self._images = message_filters.SimpleFilter()
        self._matched = threading.Condition()
        self._image = self._depth = None
        self._comes = False

    @contextmanager
    def subscribed(self, node: Node, topic: str, slop: float) -> Iterator[None]:
        """Pairs images with depth of this topic, whose stamps differ by up to `slop` seconds."""
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        depths = message_filters.Subscriber(node, Image, topic, qos_profile=qos)
        pairs = message_filters.ApproximateTimeSynchronizer([self._images, depths], _QUEUE, slop)
        pairs.registerCallback(self._match)
        try:
            yield
        finally:
            node.destroy_subscription(depths.sub)

    def expect(self, image: Any) -> None:
        """An image came, which may have a depth."""
        self._images.signalMessage(image)

    def of(self, stamp: Time) -> Image | None:
        """The depth of the image of this stamp; None where there is none.

        While depth comes, one that has not yet come is waited for a moment.
        """
        with self._matched:
            if self._comes:
                self._matched.wait_for(lambda: self._image == stamp, _PATIENCE)
            self._comes = self._image == stamp
            return self._depth if self._comes else None

    def _match(self, image: Any, depth: Image) -> None:
        # Only handed over: message_filters holds its lock meanwhile.
        with self._matched:
            self._image, self._depth = image.header.stamp, depth
            self._comes = True
            self._matched.notify_all()
