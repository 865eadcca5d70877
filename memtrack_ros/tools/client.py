"""A client of the tracker node: drives its lifecycle, sends images and prompts, gets its answers.

    with TrackerClient() as client:
        client.start()                                         # configures and activates it
        stamp = client.publish(frame)
        client.target(stamp)                                   # IDLE: the frame has been seen
        client.init_target(box=(x, y, w, h), stamp=stamp)
        target = client.target(client.publish(next_frame))

The node spins in a thread of its own, so every call here simply blocks until it has its answer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import ArrayLike, NDArray
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.nodes import messages
from memtrack_ros.nodes.frames import nanoseconds
from memtrack_ros.srv import (
    InitTarget,
    ListMemories,
    LoadMemory,
    RemoveTarget,
    SaveMemory,
    SelectTarget,
)

DEADLINE = 180.0
"""Seconds any wait may take. Generous: it only ends what would otherwise hang."""
ANSWERED = 15.0
"""Seconds after which an answer is taken for lost."""
ATTEMPTS = 4
"""How often what may be asked again is asked before it counts as unanswered."""


class Received(NamedTuple):
    """A message and when it came, in nanoseconds of the node's clock."""

    message: Any
    time: int


class TrackerClient(Node):
    """Talks to one tracker node. Use it as a context manager; rclpy must be initialised.

    tracker: full name of the tracker node. image: topic the images are published on.
    masks, overlays: whether to subscribe to these pictures (the tracker makes them only then).
    check: called while waiting; what it raises ends the wait (a process that died, for instance).
    """

    def __init__(
        self,
        tracker: str = '/memtrack',
        image: str = '/image',
        *,
        masks: bool = False,
        overlays: bool = False,
        check: Callable[[], None] = lambda: None,
        context: Context | None = None,
    ) -> None:
        name = f'{tracker.strip("/").replace("/", "_")}_client'
        super().__init__(name, context=context)
        self.check = check
        self.targets: OrderedDict[int, Received] = OrderedDict()
        """The latest targets by stamp in nanoseconds, oldest first."""
        self._masks: OrderedDict[int, Received] = OrderedDict()
        self._overlays: OrderedDict[int, Received] = OrderedDict()
        self._news = threading.Condition()
        self._last_stamp = 0

        self.images = self.create_publisher(Image, image, QoSProfile(depth=10))
        pictures = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._keep(TrackedTarget, f'{tracker}/target', QoSProfile(depth=100), self.targets, 10_000)
        if masks:
            self._keep(Image, f'{tracker}/mask', pictures, self._masks, 20)
        if overlays:
            self._keep(Image, f'{tracker}/overlay', pictures, self._overlays, 20)
        self._change = self.create_client(ChangeState, f'{tracker}/change_state')
        self._state = self.create_client(GetState, f'{tracker}/get_state')
        self._init_target = self.create_client(InitTarget, f'{tracker}/init_target')
        self._reset = self.create_client(Trigger, f'{tracker}/reset')
        self._undo = self.create_client(Trigger, f'{tracker}/undo')
        self._select_target = self.create_client(SelectTarget, f'{tracker}/select_target')
        self._remove_target = self.create_client(RemoveTarget, f'{tracker}/remove_target')
        self._list_memories = self.create_client(ListMemories, f'{tracker}/list_memories')
        self._save_memory = self.create_client(SaveMemory, f'{tracker}/save_memory')
        self._load_memory = self.create_client(LoadMemory, f'{tracker}/load_memory')

        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)
        self._thread = threading.Thread(target=self._spin, name='client', daemon=True)

    def __enter__(self) -> TrackerClient:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.destroy_node()

    def change(self, transition: int, deadline: float = DEADLINE) -> bool:
        """Asks for a lifecycle transition (Transition.TRANSITION_…) and waits for its end."""
        request = ChangeState.Request()
        request.transition.id = transition
        return bool(self.call(self._change, request, deadline).success)

    def start(self) -> bool:
        """Configures and activates; whether both went well (the node's log says what did not)."""
        return self._change_to(
            State.PRIMARY_STATE_INACTIVE, Transition.TRANSITION_CONFIGURE
        ) and self._change_to(State.PRIMARY_STATE_ACTIVE, Transition.TRANSITION_ACTIVATE)

    def lifecycle(self) -> int:
        """The lifecycle state of the tracker: State.PRIMARY_STATE_…"""
        for _ in range(ATTEMPTS):
            with suppress(TimeoutError):
                return int(self.call(self._state, GetState.Request(), ANSWERED).current_state.id)
        raise TimeoutError(f'the tracker did not say its state when asked {ATTEMPTS} times')

    def publish(self, frame: NDArray[np.uint8], stamp: Time | None = None) -> Time:
        """Publishes a frame, uint8 (height, width, 3) BGR, and returns its stamp.

        The stamp is the time now (never the same twice) when none is given. Waits until an
        active tracker listens, so that the image is not lost.
        """
        if stamp is None:
            self._last_stamp = max(self.get_clock().now().nanoseconds, self._last_stamp + 1)
            stamp = Time(sec=self._last_stamp // 10**9, nanosec=self._last_stamp % 10**9)
        self.wait_until(lambda: self.images.get_subscription_count() > 0, 'a subscriber to images')
        self.images.publish(messages.bgr_to_image(frame, Header(stamp=stamp, frame_id='camera')))
        return stamp

    def init_target(
        self,
        *,
        box: ArrayLike | OrientedBox | None = None,
        mask: NDArray[np.uint8] | None = None,
        point: ArrayLike | None = None,
        stamp: Time | None = None,
        positive: ArrayLike = (),
        negative: ArrayLike = (),
        normalized: bool = False,
        tracker: str = '',
        add: bool = False,
        refine: bool = False,
        target_width: float = 0.0,
    ) -> InitTarget.Response:
        """Prompts the tracker with one of box (x, y, w, h or oriented), mask or point (x, y).

        positive, negative: instead of these, points (N, 2) on the target and off it.
        stamp: of the image it refers to; none means the newest.
        normalized: box and point are in 0..1 of the image size.
        tracker: that is to follow it; empty means the configured one.
        add: beside the present targets. refine: correct the selected one.
        target_width: of the real thing in metres; 0 where it is not known.
        """
        request = InitTarget.Request(
            stamp=stamp or Time(),
            normalized=normalized,
            tracker=tracker,
            add=add,
            refine=refine,
            target_width=target_width,
        )
        if box is not None:
            request.kind = InitTarget.Request.BOX
            request.box = messages.box_to_message(_oriented(box, normalized))
        if mask is not None:
            request.kind = InitTarget.Request.MASK
            request.mask = messages.mask_to_image(mask, Header(stamp=request.stamp))
        if point is not None:
            request.kind = InitTarget.Request.POINT
            request.point.x, request.point.y = (float(v) for v in np.asarray(point))
        for points, field in ((positive, request.positive), (negative, request.negative)):
            for x, y in np.asarray(points, float).reshape(-1, 2):
                request.kind = InitTarget.Request.POINTS
                field.append(Point(x=float(x), y=float(y)))
        answer: InitTarget.Response = self.call(self._init_target, request)
        return answer

    def reset(self) -> Trigger.Response:
        """Makes the tracker forget its target."""
        return self.call(self._reset, Trigger.Request())

    def undo(self) -> Trigger.Response:
        """Takes the latest correction of the selected target back."""
        return self.call(self._undo, Trigger.Request())

    def select_target(self, target_id: int) -> SelectTarget.Response:
        """Makes this the target on ~/target."""
        answer: SelectTarget.Response = self.call(
            self._select_target, SelectTarget.Request(target_id=target_id)
        )
        return answer

    def remove_target(self, target_id: int) -> RemoveTarget.Response:
        """Makes the tracker forget this target."""
        answer: RemoveTarget.Response = self.call(
            self._remove_target, RemoveTarget.Request(target_id=target_id)
        )
        return answer

    def list_memories(self) -> ListMemories.Response:
        """The names that can be loaded."""
        answer: ListMemories.Response = self.call(self._list_memories, ListMemories.Request())
        return answer

    def save_memory(self, name: str) -> SaveMemory.Response:
        """Saves what is known of the target under this name."""
        answer: SaveMemory.Response = self.call(self._save_memory, SaveMemory.Request(name=name))
        return answer

    def load_memory(self, name: str) -> LoadMemory.Response:
        """Goes on with the target that was saved under this name."""
        answer: LoadMemory.Response = self.call(self._load_memory, LoadMemory.Request(name=name))
        return answer

    def target(self, stamp: Time, deadline: float = DEADLINE) -> TrackedTarget:
        """Waits for the target of the image with this stamp."""
        target: TrackedTarget = self._wait_for(self.targets, stamp, 'target', deadline)
        return target

    def mask(self, stamp: Time, deadline: float = DEADLINE) -> Image:
        """Waits for the mask of the image with this stamp."""
        return self._wait_for(self._masks, stamp, 'mask', deadline)

    def overlay(self, stamp: Time, deadline: float = DEADLINE) -> Image:
        """Waits for the overlay of the image with this stamp."""
        return self._wait_for(self._overlays, stamp, 'overlay', deadline)

    def call(self, client: Any, request: Any, deadline: float = DEADLINE) -> Any:
        """Calls a service of any of this node's clients, as soon as it is there."""
        name = client.srv_name
        self.wait_until(client.service_is_ready, f'service {name}', deadline)
        future = client.call_async(request)
        future.add_done_callback(lambda _: self._notify())
        self.wait_until(future.done, f'the answer of {name}', deadline)
        return future.result()

    def wait_until(self, ready: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
        """Waits until ready() holds; raises TimeoutError naming `what` after `deadline` seconds."""
        end = time.monotonic() + deadline
        with self._news:
            while not ready():
                self.check()
                if time.monotonic() > end:
                    raise TimeoutError(f'{what} did not come within {deadline:g} s')
                self._news.wait(0.02)  # discovery announces nothing: look again

    def _change_to(self, state: int, transition: int) -> bool:
        """Asks for a lifecycle transition and waits for its end; whether it led to the state.

        A node that has just appeared may not know yet where its first answer goes, and a request
        may still go to one that has just ended: where no answer comes, the state tells.
        """
        self.wait_until(self._change.service_is_ready, 'the node')
        before = self.lifecycle()
        for _ in range(ATTEMPTS):
            try:
                return self.change(transition, ANSWERED)
            except TimeoutError:
                if (now := self.lifecycle()) != before:
                    return now == state
        return False

    def _wait_for(
        self, store: OrderedDict[int, Received], stamp: Time, what: str, deadline: float
    ) -> Any:
        key = nanoseconds(stamp)
        self.wait_until(lambda: key in store, f'the {what} of image {key / 1e9:.3f}', deadline)
        return store[key].message

    def _keep(
        self,
        kind: type,
        topic: str,
        qos: QoSProfile,
        store: OrderedDict[int, Received],
        limit: int,
    ) -> None:
        """Subscribes to a topic and stores its latest messages by stamp."""

        def receive(message: Any) -> None:
            now = self.get_clock().now().nanoseconds
            with self._news:
                store[nanoseconds(message.header.stamp)] = Received(message, now)
                if len(store) > limit:
                    store.popitem(last=False)
                self._news.notify_all()

        self.create_subscription(kind, topic, receive, qos)

    def _notify(self) -> None:
        with self._news:
            self._news.notify_all()

    def _spin(self) -> None:
        # After rclpy.shutdown() the waits end by their deadline or by check().
        with suppress(ExternalShutdownException):
            self._executor.spin()


def _oriented(box: ArrayLike | OrientedBox, normalized: bool) -> OrientedBox:
    if isinstance(box, OrientedBox):
        return box
    x, y, w, h = (float(v) for v in np.asarray(box, float))
    # Half a pixel between the centre and the middle of the extent means nothing in 0..1.
    return (
        OrientedBox(x + w / 2, y + h / 2, w, h)
        if normalized
        else OrientedBox.from_box((x, y, w, h))
    )
