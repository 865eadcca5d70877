"""Where targets are in space, image by image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from memtrack_ros.errors import ImageError
from memtrack_ros.nodes.depths import Depths
from memtrack_ros.session import Estimate, State
from memtrack_ros.wire import depth, position
from memtrack_ros.wire.bearing import CameraCalibration
from memtrack_ros.wire.position import Bearing, Position, Ray

Size = tuple[int, int]


class Positions:
    """By the depth of the same moment or, without depth, by the target's known width."""

    def __init__(
        self,
        calibration: CameraCalibration,
        depths: Depths | None,
        share: float,
        warn: Callable[[str], None],
    ) -> None:
        """share: of the pixels in the mask, whose depth has to be known. warn: takes reasons."""
        self._calibration, self._depths, self._share = calibration, depths, share
        self._warn = warn

    def of(
        self, estimate: Estimate, header: Header, size: Size, width: float | None
    ) -> Position | None:
        """The place of what was estimated in an image of size (width, height).

        None where it is not seen in this image, or cannot be known.
        """
        if estimate.state is not State.TRACKING or estimate.box is None or estimate.roi is None:
            return None
        if self._depths is not None:
            image = self._depths.of(header.stamp)
            return None if image is None else self._by_depth(estimate, header, size, image)
        ray = None if width is None else self._ray(estimate, size)
        if width is None or ray is None:
            return None
        return position.by_width(ray, estimate.roi, size, width)

    def _by_depth(
        self, estimate: Estimate, header: Header, size: Size, image: Image
    ) -> Position | None:
        ray = self._ray(estimate, size)
        if ray is None or estimate.mask is None:
            return None
        try:
            depth.refuse_other_view(image, size, header.frame_id)
            return position.by_depth(
                ray,
                estimate.mask,
                partial(depth.pixels_to_metres, image),
                (image.width, image.height),
                self._share,
            )
        except ImageError as error:
            self._warn(f'no position: {error}')
            return None

    def _ray(self, estimate: Estimate, size: Size) -> Ray | None:
        bearing = self._bearing(size)
        if bearing is None:
            self._warn('no position: neither camera_info nor depth/camera_info has come')
            return None
        box, roi = estimate.box, estimate.roi
        assert box is not None and roi is not None
        return Ray.to((box.center_x, box.center_y), (float(roi[2]), float(roi[3])), bearing)

    def _bearing(self, size: Size) -> Bearing | None:
        """By the image's calibration; without one by that of the depth, which shows the same."""
        if self._calibration.lens is not None:
            return partial(self._calibration.bearing, size=size)
        if self._depths is None or self._depths.calibration.lens is None:
            return None
        calibration, other = self._depths.calibration, self._depths.calibration.lens.size

        def bearing(point: tuple[float, float]) -> tuple[float, float] | None:
            x, y = (
                (value + 0.5) * theirs / ours - 0.5
                for value, theirs, ours in zip(point, other, size, strict=True)
            )
            return calibration.bearing((x, y), other)

        return bearing
