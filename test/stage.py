"""A stage for tests of the tracker node: the node in this process, and a client with listeners."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State as Lifecycle
from lifecycle_msgs.msg import Transition
from memtrack_ros.msg import TrackedTarget
from rcl_interfaces.msg import Log
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from memtrack_ros.nodes.tracker_node import TrackerNode
from memtrack_ros.tools.client import TrackerClient

DEADLINE = 60
STAGES = count(1)
PERIOD = 40_000_000  # nanoseconds between images
SIZE = 320, 240
BOX = 140, 100, 40, 30

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
UNCONFIGURED, INACTIVE = Lifecycle.PRIMARY_STATE_UNCONFIGURED, Lifecycle.PRIMARY_STATE_INACTIVE
ACTIVE, FINALIZED = Lifecycle.PRIMARY_STATE_ACTIVE, Lifecycle.PRIMARY_STATE_FINALIZED


def scene(width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray[Any, Any]:
    """A textured target at BOX (of SIZE) before another texture."""
    rng = np.random.default_rng(5)
    ground = cv2.resize(rng.integers(60, 120, (24, 32, 3), np.uint8), SIZE)
    x, y, w, h = BOX
    ground[y : y + h, x : x + w] = cv2.resize(rng.integers(130, 255, (6, 8, 3), np.uint8), (w, h))
    return np.asarray(cv2.resize(ground, (width, height)), np.uint8)


FRAME = scene()


class Stage(TrackerClient):
    """A client of the node under test, which runs in this process, and its listeners."""

    def __init__(self, node: TrackerNode, **options: Any) -> None:
        self.tracker = node
        self.space = node.get_namespace()
        options.setdefault('image', f'{self.space}/image')
        super().__init__(f'{self.space}/memtrack', **options)
        self.logs: list[str] = []
        self.levels: dict[str, int] = {}  # of each that was logged
        self.health: list[DiagnosticStatus] = []
        self.create_subscription(Log, '/rosout', self._hear, QoSProfile(depth=1000))
        self.create_subscription(DiagnosticArray, '/diagnostics', self._feel, 10)

    def _hear(self, log: Log) -> None:
        if log.name == self.tracker.get_logger().name:
            self.logs.append(log.msg)
            self.levels[log.msg] = log.level

    def _feel(self, diagnostics: DiagnosticArray) -> None:
        name = f'{self.space[1:]}/memtrack: tracker'
        self.health += [status for status in diagnostics.status if status.name == name]

    def bring(self, *transitions: int) -> None:
        """Goes through transitions, which all have to succeed."""
        for transition in transitions:
            assert self.change(transition), transition

    def set(self, name: str, value: Any) -> str:
        """Sets a parameter; the reason why not, or nothing."""
        result = self.tracker.set_parameters([Parameter(name, value=value)])[0]
        assert result.successful == (not result.reason)
        return str(result.reason)

    def send(self, publisher: Any, message: Any) -> Time:
        """Publishes an image message with a stamp of its own, once somebody listens."""
        now = self.get_clock().now().to_msg()
        message.header = Header(stamp=now, frame_id='camera')
        self.wait_until(lambda: publisher.get_subscription_count() > 0, 'a subscriber')
        publisher.publish(message)
        return now

    def shown(self, frame: np.ndarray[Any, Any] = FRAME) -> TrackedTarget:
        """The target of this frame."""
        return self.target(self.publish(frame))

    def next(self, frame: np.ndarray[Any, Any]) -> TrackedTarget:
        """The target of this frame, taken PERIOD after the last one however long that took."""
        self._last_stamp += PERIOD
        stamp = Time(sec=self._last_stamp // 10**9, nanosec=self._last_stamp % 10**9)
        return self.target(self.publish(frame, stamp))

    def said(self, text: str) -> int:
        """How often this was logged."""
        return sum(text in log for log in self.logs)

    def until(self, ready: Callable[[], Any], what: str) -> None:
        self.wait_until(lambda: bool(ready()), what, DEADLINE)


OneStage = TypeVar('OneStage', bound=Stage)


@contextmanager
def staged(*arguments: str, kind: type[OneStage] = Stage, **options: Any) -> Iterator[OneStage]:
    """The node in this process, in a namespace NS of its own, with these --ros-args; a client."""
    space = f'/stage{next(STAGES)}'
    given = [word.replace('NS', space) for argument in arguments for word in argument.split()]
    node = TrackerNode(cli_args=['--ros-args', '-r', f'__ns:={space}', *given])
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    ended = threading.Event()

    faults: list[Exception] = []

    def spin() -> None:
        try:
            while not ended.is_set():
                executor.spin_once(timeout_sec=0.1)
        except Exception as error:
            faults.append(error)

    def check() -> None:
        """Raises what ended the node's executor before its time: nobody answers then."""
        for fault in faults:
            raise fault

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        with kind(node, check=check, **options) as stage:
            yield stage
            check()
    finally:
        ended.set()
        executor.wake()
        thread.join()
        executor.shutdown()
        node.release()
        node.destroy_node()
