"""From estimates to the fields of TrackedTarget.msg."""

from __future__ import annotations

from dataclasses import asdict
from math import nan
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:  # these bring torch, which a camera does not need
    from memtrack_ros.geometry.oriented import OrientedBox
    from memtrack_ros.memory import BankStatus
    from memtrack_ros.session import Estimate
    from memtrack_ros.wire.bearing import CameraCalibration
    from memtrack_ros.wire.position import Position


def box_fields(box: OrientedBox | None) -> dict[str, float]:
    """The fields of OrientedBox.msg; without a box all are NaN."""
    return {
        name: nan if box is None else float(getattr(box, name))
        for name in ('center_x', 'center_y', 'size_x', 'size_y', 'theta')
    }


def target_fields(
    estimate: Estimate,
    size: tuple[int, int],
    *,
    target_id: int,
    tracker: str,
    calibration: CameraCalibration | None = None,
    memory: BankStatus | None = None,
    processing_time: float = 0.0,
    image_age: float = 0.0,
    frames_dropped: int = 0,
    position: Position | None = None,
) -> dict[str, Any]:
    """The fields of TrackedTarget.msg for what was estimated in an image of size (width, height).

    box, position and memory are fields, too, of their messages. What is not known is NaN or zero
    and its flag false. Times are in seconds. Left to the caller are the stamps, header and
    last_seen.
    """
    width, height = size
    place = np.full(3, nan) if position is None else position.point
    covariance = np.full(9, nan) if position is None else position.covariance.ravel()
    box, angles = estimate.box, None
    if box is not None and calibration is not None:
        angles = calibration.bearing((box.center_x, box.center_y), size)
    roi = np.full(4, nan) if estimate.roi is None else estimate.roi
    return {
        'target_id': target_id,
        'tracker': tracker,
        'state': int(estimate.state),
        'confidence': float(estimate.confidence),
        'score': float(estimate.score),
        'box': box_fields(box),
        'roi': roi.astype(np.float32),
        'spread': float(estimate.spread),
        'has_mask': estimate.mask is not None,
        'mask_is_box': estimate.mask_is_box,
        'mask_area': 0 if estimate.mask is None else cv2.countNonZero(estimate.mask),
        'image_width': width,
        'image_height': height,
        'error_x': nan if box is None else (2 * box.center_x + 1) / width - 1,
        'error_y': nan if box is None else (2 * box.center_y + 1) / height - 1,
        'bearing_valid': angles is not None,
        'bearing_x': nan if angles is None else angles[0],
        'bearing_y': nan if angles is None else angles[1],
        'position_valid': position is not None,
        'position': dict(zip('xyz', map(float, place), strict=True)),
        'position_covariance': covariance,
        'frames_tracked': estimate.frames_tracked,
        'processing_time': processing_time,
        'image_age': image_age,
        'frames_dropped': frames_dropped,
        'memory': {} if memory is None else asdict(memory),
    }
