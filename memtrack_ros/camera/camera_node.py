"""The camera node: publishes a video file, a webcam or a drawn scene as a camera driver would.

Publishes `image_raw` (sensor_msgs/Image, bgr8) and `camera_info` with sensor-data QoS, both under
one header: the stamp of the moment the image was taken, or was due. For a drawn scene also
`~/truth` (TrackedTarget): where the target really is in that image.
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from memtrack_ros.camera import sources
from memtrack_ros.camera.sources import Ahead, Shot, Source
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.nodes import messages, running
from memtrack_ros.nodes.paths import expanded

SETTLE = 0.5
"""Seconds from seeing the listeners to the first image: they have to see this node, too."""


class CameraNode(Node):
    """Publishes one source; a thread of its own keeps the rate while the executor serves the rest.

    Raises ConfigurationError when the source cannot be had.
    """

    def __init__(self, end: Callable[[], None]) -> None:
        """end: called when the source has ended, or something went wrong."""
        super().__init__('camera')
        self._declare(
            'source',
            'scene',
            'scene (drawn, with truth), the path of a video file, or a webcam: 0 or /dev/video0',
        )
        self._declare('loop', True, 'play a file or scene again and again; else exit at its end')
        self._declare('rate', 0.0, 'images per second; 0 = as the source says', (0.0, 1000.0))
        self._declare('width', 640, 'pixels; of a scene, or asked of a webcam', (16, 8192))
        self._declare('height', 480, 'pixels; of a scene, or asked of a webcam', (16, 8192))
        self._declare('seed', 0, 'which scene is drawn', (0, 2**31 - 1))
        self._declare('strength', 1.0, 'how hard the scene is', (0.0, 1.0))
        self._declare('frames', 300, 'length of the scene', (1, 100_000))
        self._declare('frame_id', 'camera', 'frame_id of the headers')
        self._declare('camera_info_url', '', 'calibration file; empty = not calibrated')
        self._declare(
            'wait_for_nodes', 0, 'no image is published before so many nodes listen', (0, 100)
        )
        self._end = end
        self._fault: Exception | None = None
        self._stopping = threading.Event()
        self._source = self._open()
        self._info = calibration(
            self.get_parameter('camera_info_url').value,
            self._source.width,
            self._source.height,
        )
        qos = QoSOverridingOptions.with_default_policies()
        self._images = self.create_publisher(
            Image, 'image_raw', qos_profile_sensor_data, qos_overriding_options=qos
        )
        self._infos = self.create_publisher(
            CameraInfo,
            'camera_info',
            qos_profile_sensor_data,
            qos_overriding_options=qos,
        )
        self._truths = (
            self.create_publisher(TrackedTarget, '~/truth', QoSProfile(depth=10))
            if self._source.has_truth
            else None
        )
        self._count = 0
        self._thread = threading.Thread(target=self._run, name='camera', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the stream; raises what went wrong in it."""
        self._stopping.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def _declare(
        self,
        name: str,
        default: str | bool | float,
        description: str,
        limits: tuple[float, float] | None = None,
    ) -> None:
        described = ParameterDescriptor(
            description=description,
            read_only=True,
            dynamic_typing=name == 'source',  # 0 on the command line is a number
        )
        if limits and isinstance(default, float):
            described.floating_point_range = [
                FloatingPointRange(from_value=limits[0], to_value=limits[1])
            ]
        elif limits:
            described.integer_range = [
                IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]), step=1)
            ]
        self.declare_parameter(name, default, described)

    def _open(self) -> Source:
        def value(name: str) -> Any:
            return self.get_parameter(name).value

        source, size = str(value('source')), (value('width'), value('height'))
        if source == 'scene':
            return sources.drawn(
                value('seed'), value('strength'), *size, value('frames'), value('loop')
            )
        if source.isdecimal() or source.startswith('/dev/'):
            device = int(source) if source.isdecimal() else source
            return sources.webcam(device, *size, value('rate'))
        return sources.video(expanded('source', source), value('loop'))

    def _run(self) -> None:
        try:
            shots = self._source.shots(lambda: self.get_clock().now().to_msg())
            if self._source.live:
                self._publish_live(shots)
            else:
                self._publish_at_rate(shots)
            self._pause(SETTLE)  # what is under way in shared memory goes with the process
            if not self._stopping.is_set():
                self.get_logger().info(f'{self._source.name} has ended after {self._count} images')
        except Exception as error:
            self._fault = error
        finally:
            self._end()

    def _publish_live(self, shots: Iterator[Shot]) -> None:
        self._await_listeners()
        for shot in shots:
            if self._stopping.is_set():
                return
            self._publish(shot)

    def _publish_at_rate(self, shots: Iterator[Shot]) -> None:
        ahead = Ahead(shots)
        try:
            self._await_lead(ahead)
            self._await_listeners()
            period = 1 / (self.get_parameter('rate').value or self._source.rate)
            due = time.monotonic()
            for shot in ahead:
                self._pause(due - time.monotonic())
                if self._stopping.is_set():
                    return
                self._publish(shot)
                # Late by more than a period, it goes on from here: no burst to catch up.
                due = max(due + period, time.monotonic())
        finally:
            ahead.close()

    def _await_lead(self, ahead: Ahead) -> None:
        since, told = time.monotonic(), False
        while not ahead.ready() and not self._stopping.is_set():
            self._pause(0.02)
            if not told and time.monotonic() - since > 1:
                told = True
                self.get_logger().info(f'preparing {self._source.name} ahead, to keep the rate')

    def _await_listeners(self) -> None:
        count = self.get_parameter('wait_for_nodes').value
        while len(self._listeners()) < count and not self._stopping.is_set():
            self._pause(0.05)
        if count:
            self._pause(SETTLE)

    def _listeners(self) -> set[str]:
        """The nodes that subscribe to anything published here, by full name."""
        return {
            f'{info.node_namespace}/{info.node_name}'
            for publisher in (self._images, self._infos, self._truths)
            if publisher
            for info in self.get_subscriptions_info_by_topic(publisher.topic_name)
            if info.node_name != '_NODE_NAME_UNKNOWN_'  # it will be, in a moment
        }

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._stopping.wait(seconds)

    def _publish(self, shot: Shot) -> None:
        stamp = shot.stamp or self.get_clock().now().to_msg()
        header = Header(stamp=stamp, frame_id=self.get_parameter('frame_id').value)
        self._images.publish(messages.bgr_to_image(shot.image, header))
        self._info.header = header
        self._infos.publish(self._info)
        if self._truths and shot.truth:
            height, width = shot.image.shape[:2]
            self._truths.publish(
                messages.estimate_to_target(
                    shot.truth, header, (width, height), target_id=1, tracker='truth'
                )
            )
        self._count += 1
        if self._count == 1:
            self.get_logger().info(f'playing {self._source.name}')


def calibration(url: str, width: int, height: int) -> CameraInfo:
    """The camera_info of a calibration file as camera_calibration writes it; empty for no url.

    url: a path, or file:// and one. Raises ConfigurationError: no such file, or not for this size.
    """
    if not url:
        return CameraInfo(width=width, height=height)  # zeros mean: not calibrated
    path = expanded('camera_info_url', url.removeprefix('file://'))
    try:
        data = yaml.safe_load(path.read_text())
        info = CameraInfo(
            width=data['image_width'],
            height=data['image_height'],
            distortion_model=data['distortion_model'],
            d=[float(v) for v in data['distortion_coefficients']['data']],
            k=[float(v) for v in data['camera_matrix']['data']],
            r=[float(v) for v in data['rectification_matrix']['data']],
            p=[float(v) for v in data['projection_matrix']['data']],
        )
    except OSError as error:
        raise ConfigurationError(
            f'the calibration {path} cannot be read ({error.strerror}): give a file, or none'
        ) from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise ConfigurationError(
            f'{path} is no calibration ({error!r}): give a file that camera_calibration wrote'
        ) from error
    if (info.width, info.height) != (width, height):
        raise ConfigurationError(
            f'the calibration {path} is for {info.width}x{info.height}, the images have '
            f'{width}x{height}: calibrate at that size'
        )
    return info


def main(args: list[str] | None = None) -> int:
    """Runs the node until its source ends or a signal comes; returns the exit code."""
    return running.run('camera', CameraNode, args)


if __name__ == '__main__':
    sys.exit(main())
