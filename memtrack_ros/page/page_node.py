"""The node `page`: what the tracker sees, in a browser, to point at.

Serves one page at an address of this machine. It is a client of the tracker node like any other:
it hears of images, targets and labels, and calls its services.
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.msg import TrackedTargets
from memtrack_ros.nodes import running
from memtrack_ros.nodes.frames import Frames
from memtrack_ros.page.access import Access, listening
from memtrack_ros.page.commands import COMMANDS, answered
from memtrack_ros.page.scene import Scene
from memtrack_ros.page.server import Server
from memtrack_ros.trackers import NAMES
from memtrack_ros.wire.bearing import CameraCalibration

_RING = 30  # images in which the one of an answer is looked for
_ATTENDING = 0.5  # seconds after which it is seen whether somebody looks
_PATIENCE = 60.0  # seconds that a service may take: it may load another tracker's weights
_TRANSPORTS = {'raw': (Image, 'image'), 'compressed': (CompressedImage, 'image/compressed')}


class PageNode(Node):
    """See the module; topics and parameters are in the README's tables."""

    def __init__(self) -> None:
        """Raises ConfigurationError where the page cannot be served as configured."""
        super().__init__('page')
        address = self._declared('address', '127.0.0.1', 'address of this machine to serve at')
        port = self._declared('port', 8080, 'TCP port', (1, 65535))
        token = self._declared(
            'token', '', 'what a viewer has to know; needed but on 127.0.0.1, 16 characters or more'
        )
        transport = self._declared('image_transport', 'raw', 'raw or compressed')
        if transport not in _TRANSPORTS:
            raise ConfigurationError(
                f'image_transport {transport!r} is unknown: choose one of {", ".join(_TRANSPORTS)}'
            )
        access = Access.at(address, token)
        socket = listening(address, port)
        self._service_clients = {
            command.service: self.create_client(command.kind, f'memtrack/{command.service}')
            for command in COMMANDS.values()
        }
        image, images = _TRANSPORTS[transport]
        calibration = CameraCalibration(False, lambda _: None)
        self._scene = Scene(Frames(images, _RING, calibration, kind=image))
        for kind, topic, receive in (
            (image, images, self._scene.see),
            (TrackedTargets, 'memtrack/targets', self._scene.hear),
            (Image, 'memtrack/labels', self._scene.label),
        ):
            self._subscribe(kind, topic, receive)
        self._server = Server(socket, access, self._scene, self._ask, list(NAMES))
        host = f'[{address}]' if ':' in address else address
        self._memory: Any = None
        self.create_timer(_ATTENDING, self._attend)
        self.get_logger().info(f'the page is at http://{host}:{port}/')

    def close(self) -> None:
        """Ends the server."""
        self._server.close()

    def _declared(
        self,
        name: str,
        default: str | int,
        description: str,
        limits: tuple[int, int] | None = None,
    ) -> Any:
        described = ParameterDescriptor(description=description, read_only=True)
        if limits:
            described.integer_range = [IntegerRange(from_value=limits[0], to_value=limits[1])]
        return self.declare_parameter(name, default, described).value

    def _subscribe(self, kind: type, topic: str, receive: Callable[[Any], None]) -> Any:
        return self.create_subscription(
            kind,
            topic,
            receive,
            QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _attend(self) -> None:
        """Has the memory drawn only while somebody looks."""
        if self._server.viewers and self._memory is None:
            self._memory = self._subscribe(Image, 'memtrack/memory', self._scene.remember)
        elif not self._server.viewers and self._memory is not None:
            self.destroy_subscription(self._memory)
            self._memory = None

    async def _ask(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        """Calls a service of the tracker, from the server's loop.

        Raises PromptError for a request that cannot be, TimeoutError without an answer.
        """
        command = COMMANDS[name]
        request = command.request(given)
        client = self._service_clients[command.service]
        if not client.service_is_ready():
            raise TimeoutError(f'the tracker is not there: nobody serves {client.srv_name}')
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def deliver(response: Any) -> None:
            if not answer.done():
                answer.set_result(response)

        called = client.call_async(request)
        called.add_done_callback(lambda done: loop.call_soon_threadsafe(deliver, done.result()))
        try:
            return answered(await asyncio.wait_for(answer, _PATIENCE))
        except asyncio.TimeoutError as error:
            client.remove_pending_request(called)
            raise TimeoutError(
                f'{client.srv_name} did not answer within {_PATIENCE:g} s'
            ) from error


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is interrupted; returns the exit code."""
    return running.run('page', lambda _: PageNode(), args)


if __name__ == '__main__':
    sys.exit(main())
