"""A bag of what the tracker node would publish, written without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from memtrack_ros.errors import BagError
from memtrack_ros.wire.images import Frame, image_fields

TARGET = 'memtrack_ros/msg/TrackedTarget'
MASK = 'sensor_msgs/msg/Image'
PARTS = {
    'box': 'memtrack_ros/msg/OrientedBox',
    'position': 'geometry_msgs/msg/Point',
    'memory': 'memtrack_ros/msg/MemoryStatus',
}
"""The types of the fields that are messages."""


class OutputBag:
    """The topics /memtrack/target and /memtrack/mask of a bag that is open for writing."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._types = message_types()
        self._target = self._add('/memtrack/target', TARGET)
        self._mask = self._add('/memtrack/mask', MASK)

    def write_target(
        self, time: int, header: Any, fields: dict[str, Any], *, last_seen: Any
    ) -> None:
        """Adds a TrackedTarget at `time` in nanoseconds; header of the image, fields of wire."""
        types = self._types.types
        parts = {name: types[kind](**fields[name]) for name, kind in PARTS.items()}
        message = types[TARGET](header=header, **fields | parts, last_seen=last_seen)
        self._writer.write(self._target, time, self._types.serialize_cdr(message, TARGET))

    def write_mask(self, time: int, header: Any, mask: Frame) -> None:
        """Adds a mask, uint8 (height, width), at `time` in nanoseconds."""
        mask = np.ascontiguousarray(mask)
        message = self._types.types[MASK](
            header=header, data=mask.reshape(-1), **image_fields(mask, 'mono8')
        )
        self._writer.write(self._mask, time, self._types.serialize_cdr(message, MASK))

    def _add(self, topic: str, kind: str) -> Connection:
        return self._writer.add_connection(topic, kind, typestore=self._types)


@contextmanager
def output_bag(folder: Path) -> Iterator[OutputBag]:
    """Writes a bag into a new folder: an MCAP file and metadata.yaml."""
    # Version 8 is the newest one whose qualities of service ROS 2 Humble reads, too.
    with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        yield OutputBag(writer)


def message_types() -> Typestore:
    """The types of ROS 2 and of our msg/."""
    types = get_typestore(Stores.ROS2_JAZZY)
    definitions = {}
    for file in _definitions().glob('*.msg'):
        definitions.update(get_types_from_msg(file.read_text(), f'memtrack_ros/msg/{file.stem}'))
    types.register(definitions)
    return types


def _definitions() -> Path:
    """The folder msg/, of the checkout or under the share/ of an installation."""
    for folder in Path(__file__).resolve().parents:
        for place in (folder / 'msg', folder / 'share' / 'memtrack_ros' / 'msg'):
            if (place / 'TrackedTarget.msg').is_file():
                return place
    raise BagError(
        f'no msg/TrackedTarget.msg lies beside or above {__file__}: install the package again'
    )
