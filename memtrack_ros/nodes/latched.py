"""A subscription to what was sent once and is kept for who comes late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

_PERIOD = 0.5  # seconds


@contextmanager
def latched_subscription(
    node: Node, kind: type, topic: str, callback: Callable[[Any], None]
) -> Iterator[None]:
    """Subscribes beside an ordinary subscription as soon as there is a publisher that keeps.

    Only a transient-local subscription is sent what is kept, and it does not hear publishers that
    keep nothing: where there are none but these, both sides would warn of one another.
    """
    with ExitStack() as made:

        def look() -> None:
            publishers = node.get_publishers_info_by_topic(topic)
            kept = DurabilityPolicy.TRANSIENT_LOCAL
            if any(publisher.qos_profile.durability == kept for publisher in publishers):
                timer.cancel()
                profile = QoSProfile(depth=1, durability=kept)
                subscription = node.create_subscription(kind, topic, callback, profile)
                made.callback(node.destroy_subscription, subscription)

        # A clock that runs when simulated time stands still.
        timer = node.create_timer(_PERIOD, look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        made.callback(node.destroy_timer, timer)
        look()
        yield
