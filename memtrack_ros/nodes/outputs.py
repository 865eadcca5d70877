"""What the tracker node publishes of an image."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from geometry_msgs.msg import Point, Pose, PoseStamped, Quaternion, TransformStamped, Vector3
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.msg import TrackedTarget, TrackedTargets
from memtrack_ros.nodes import messages
from memtrack_ros.nodes.managed import ManagedNode
from memtrack_ros.nodes.markers import Markers
from memtrack_ros.session import Estimate
from memtrack_ros.session.group import labels
from memtrack_ros.wire.bearing import CameraCalibration

try:
    from tf2_ros import TransformBroadcaster
except ImportError:  # it comes with ROS only
    TransformBroadcaster = None


class Outputs:
    """The publishers. Pictures are made for subscribers only; those for people elsewhere."""

    def __init__(self, node: ManagedNode, *, publish_tf: bool, made: ExitStack) -> None:
        """Makes them, until `made` is closed.

        Raises ConfigurationError for publish_tf where tf2_ros does not import.
        """
        if publish_tf and TransformBroadcaster is None:
            raise ConfigurationError(
                'publish_tf needs tf2_ros, which does not import here: install '
                'ros-<distribution>-tf2-ros-py, or set publish_tf to false'
            )
        publisher = node.publisher
        self._target = publisher(TrackedTarget, '~/target', 10, made)
        self._targets = publisher(TrackedTargets, '~/targets', 10, made)
        self._pose = publisher(PoseStamped, '~/pose', 10, made)
        self._mask = publisher(Image, '~/mask', 5, made)
        self._labels = publisher(Image, '~/labels', 5, made)
        self._markers = publisher(MarkerArray, '~/markers', 5, made)
        self._drawn = Markers()
        self.overlay = publisher(Image, '~/overlay', 5, made)
        self.memory = publisher(Image, '~/memory', 5, made)
        self._transforms: Any = None
        if publish_tf:
            self._transforms = TransformBroadcaster(node)
            made.callback(node.destroy_publisher, self._transforms.pub_tf)

    def publish_targets(
        self,
        selected: TrackedTarget,
        targets: Sequence[TrackedTarget],
        calibration: CameraCalibration,
    ) -> None:
        """The selected one; all of them; where the selected one is, and the frames of all."""
        self._target.publish(selected)
        if self._targets.get_subscription_count():
            self._targets.publish(
                TrackedTargets(
                    header=selected.header, selected=selected.target_id, targets=list(targets)
                )
            )
        if selected.position_valid:
            self._pose.publish(pose(selected))
        if self._markers.get_subscription_count():
            self._markers.publish(self._drawn.of(targets, selected, calibration))
        if self._transforms is not None:
            there = [target for target in targets if target.position_valid]
            if there:
                self._transforms.sendTransform([transform(target) for target in there])

    def publish_masks(
        self, frame: Pixels, header: Header, shown: Estimate, estimates: dict[int, Estimate]
    ) -> None:
        """The mask of what is shown, and those of all by their place in ~/targets.

        estimates: of all targets, by id.
        """
        if shown.mask is not None and self._mask.get_subscription_count():
            self._mask.publish(messages.mask_to_image(shown.mask, header))
        if self._labels.get_subscription_count():
            numbered = {number: estimates[key] for number, key in enumerate(sorted(estimates), 1)}
            self._labels.publish(messages.mask_to_image(labels(numbered, *frame.shape[:2]), header))


def pose(target: TrackedTarget) -> PoseStamped:
    """Where a target is; which way it is turned is not known."""
    return PoseStamped(
        header=target.header,
        pose=Pose(position=target.position, orientation=Quaternion(w=1.0)),
    )


def transform(target: TrackedTarget) -> TransformStamped:
    """The same as the frame target_<id>."""
    place: Point = target.position
    made = TransformStamped(header=target.header, child_frame_id=f'target_{target.target_id}')
    made.transform.translation = Vector3(x=place.x, y=place.y, z=place.z)
    return made
