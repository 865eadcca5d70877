"""The images of one topic of a ROS 2 bag, read without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from memtrack_ros.errors import BagError
from memtrack_ros.wire import images
from memtrack_ros.wire.bearing import CameraInfo
from memtrack_ros.wire.gain import Gain
from memtrack_ros.wire.images import Frame

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
INFO = 'sensor_msgs/msg/CameraInfo'
USUAL, SLOWEST, FASTEST = 30.0, 1.0, 240.0  # images per second


class RecordedImage(NamedTuple):
    """An image message, when it was recorded in nanoseconds, and the newest calibration by then."""

    time: int
    image: Any
    calibration: CameraInfo | None


class ImageTopic:
    """The images of a topic, Image or CompressedImage, one at a time, as a context manager.

    path: an .mcap or .db3 file, or a bag's folder. count: how many images there are. rate: how many
    a second, within what a video can have.

    Raises BagError when entered: no bag that can be read, no such topic, none of images, an empty
    one; when iterated over: a damaged bag.
    """

    def __init__(self, path: Path, topic: str) -> None:
        self.path = path
        self.topic = topic
        self.count = 0
        self.rate = USUAL
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._compressed = False
        self._gain = Gain()

    def __enter__(self) -> ImageTopic:
        try:
            self._reader = Reader(self.path)
            self._reader.open()
        except Exception as error:  # its own, the operating system's, those of damaged bytes
            raise self._unreadable(error) from error
        try:
            self._find()
        except BagError:
            self._reader.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.close()

    def __iter__(self) -> Iterator[RecordedImage]:
        calibration: Any = None
        # Where the node finds it: beside the image, or beside that which was compressed.
        beside = self.topic.removesuffix('/compressed') if self._compressed else self.topic
        names = self.topic, f'{beside.rpartition("/")[0]}/camera_info'
        wanted = [one for one in self._reader.connections if one.topic in names]
        try:
            for connection, time, data in self._reader.messages(wanted):
                if connection.topic == self.topic:
                    image = self._types.deserialize_cdr(data, connection.msgtype)
                    yield RecordedImage(time, image, calibration)
                elif connection.msgtype == INFO:
                    calibration = self._types.deserialize_cdr(data, INFO)
        except Exception as error:
            raise self._unreadable(error) from error

    def decode(self, image: Any) -> Frame:
        """The frame of one of the images. Raises ImageError as the node would."""
        decode: Any = images.compressed_to_bgr if self._compressed else images.image_to_bgr
        frame: Frame = decode(image, self._gain)
        return frame

    def _find(self) -> None:
        topics = self._reader.topics
        there = [
            name
            for name, info in topics.items()
            if info.msgtype in (IMAGE, COMPRESSED) and info.msgcount
        ]
        remedy = f'give one of {", ".join(there)}' if there else 'this bag holds no images'
        if self.topic not in topics:
            raise BagError(f'{self.path} has no topic {self.topic}: {remedy}')
        info = topics[self.topic]
        if info.msgtype not in (IMAGE, COMPRESSED):
            kind = info.msgtype or 'several types'
            raise BagError(f'{self.topic} of {self.path} is of {kind}, not of images: {remedy}')
        if not info.msgcount:
            raise BagError(f'{self.topic} of {self.path} holds 0 images: {remedy}')
        self.count, self._compressed = info.msgcount, info.msgtype == COMPRESSED
        if self.count > 1 and self._reader.duration > 1:
            rate = (self.count - 1) / self._reader.duration * 1e9
            self.rate = min(max(rate, SLOWEST), FASTEST)

    def _unreadable(self, error: Exception) -> BagError:
        reason = str(error).rstrip('.') or repr(error)
        return BagError(
            f'{self.path} cannot be read as a ROS 2 bag ({reason}): give an .mcap or .db3 file '
            "that is whole, or a bag's folder with its metadata.yaml"
        )
