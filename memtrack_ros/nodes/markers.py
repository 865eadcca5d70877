"""What is known of targets in space, for RViz."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from math import isfinite, sqrt, tan

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.wire.bearing import CameraCalibration

TRAIL = 300
"""Positions of the selected target that are kept."""
_FAR = 1.0  # metres: so far away is drawn what has no position
_SEEN, _UNSEEN = ColorRGBA(r=0.3, g=0.9, b=0.3, a=0.9), ColorRGBA(r=1.0, g=0.6, b=0.0, a=0.9)
_LIFE = Duration(sec=1)


class Markers:
    """Of each target the ray to it, its box on that ray and its place; where the selected one was.

    Everything is in the camera's frame, the trail as well: it shows motion beside the camera's.
    """

    def __init__(self) -> None:
        self._trail: deque[Point] = deque(maxlen=TRAIL)
        self._trailed = 0

    def of(
        self,
        targets: Sequence[TrackedTarget],
        selected: TrackedTarget,
        calibration: CameraCalibration,
    ) -> MarkerArray:
        """Of what is said in one image."""
        if selected.target_id != self._trailed:
            self._trail.clear()
            self._trailed = selected.target_id
        if selected.position_valid:
            self._trail.append(selected.position)
        shown = [marker for target in targets for marker in _of_target(target, calibration)]
        if len(self._trail) > 1:
            shown.append(_line('trail', selected, self._trail))
        return MarkerArray(markers=shown)


def _of_target(target: TrackedTarget, calibration: CameraCalibration) -> Iterable[Marker]:
    if not target.bearing_valid:
        return
    depth = target.position.z if target.position_valid else _FAR
    middle = _at(target.bearing_x, target.bearing_y, depth)
    yield _line('ray', target, [Point(), middle])
    given = target.box
    box = OrientedBox(given.center_x, given.center_y, given.size_x, given.size_y, given.theta)
    size = target.image_width, target.image_height
    angles = [calibration.bearing((float(x), float(y)), size) for x, y in box.corners()]
    corners = [_at(*angle, depth) for angle in angles if angle is not None]
    if len(corners) == len(angles):
        yield _line('box', target, [*corners, corners[0]])
    if target.position_valid:
        place = _marker('position', target, Marker.SPHERE)
        place.pose.position = target.position
        spread = [2 * sqrt(max(target.position_covariance[k], 0.0)) for k in (0, 4, 8)]
        place.scale = Vector3(**dict(zip('xyz', (max(one, 0.02) for one in spread), strict=True)))
        yield place


def _at(right: float, below: float, depth: float) -> Point:
    return Point(x=tan(right) * depth, y=tan(below) * depth, z=depth)


def _line(name: str, target: TrackedTarget, points: Iterable[Point]) -> Marker:
    line = _marker(name, target, Marker.LINE_STRIP)
    line.points = [point for point in points if isfinite(point.z)]
    line.scale.x = 0.01
    return line


def _marker(name: str, target: TrackedTarget, kind: int) -> Marker:
    """It goes by itself when nothing more is said of its target."""
    header = Header(stamp=target.header.stamp, frame_id=target.header.frame_id)
    tracked = target.state == TrackedTarget.TRACKING
    made = Marker(header=header, ns=name, id=target.target_id, type=kind, lifetime=_LIFE)
    made.color = _SEEN if tracked else _UNSEEN
    made.pose.orientation.w = 1.0
    return made
