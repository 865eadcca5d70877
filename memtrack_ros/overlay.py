"""What was estimated, drawn into its frame."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

import cv2
import numpy as np
from numpy.typing import NDArray

from memtrack_ros.session import Estimate, State

_COLOURS = {  # BGR
    State.IDLE: (200, 200, 200),
    State.TRACKING: (80, 220, 60),
    State.UNSURE: (0, 230, 255),
    State.OCCLUDED: (0, 130, 255),
    State.LOST: (60, 60, 240),
    State.ERROR: (240, 60, 200),
}
_SUBPIXEL_BITS = 4  # OpenCV draws at sixteenths of a pixel, given as integers


def draw(
    frame: NDArray[np.uint8], estimate: Estimate, others: Iterable[Estimate] = ()
) -> NDArray[np.uint8]:
    """A copy of the frame, uint8 (height, width, 3) BGR, with mask, box, state and confidence.

    others: of other targets, whose mask and box are drawn, too.
    """
    picture: NDArray[np.uint8] = frame.copy()
    for one in (*others, estimate):
        _outline(picture, one)
    colour = _COLOURS[estimate.state]
    height = picture.shape[0]
    stroke = max(1, round(height / 240))
    text = estimate.state.name
    if not isnan(estimate.confidence):
        text += f' {estimate.confidence:.2f}'
    scale = height / 600
    origin = (round(12 * scale), round(30 * scale))
    for ink, width in (((0, 0, 0), 3 * stroke), (colour, stroke)):
        cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, width, cv2.LINE_AA)
    return picture


def _outline(picture: NDArray[np.uint8], estimate: Estimate) -> None:
    """Draws mask and box, in place."""
    colour = _COLOURS[estimate.state]
    stroke = max(1, round(picture.shape[0] / 240))
    if estimate.mask is not None:
        x, y, w, h = cv2.boundingRect(estimate.mask)
        part, mask = picture[y : y + h, x : x + w], estimate.mask[y : y + h, x : x + w]
        if w:
            tinted = cv2.addWeighted(part, 0.65, np.full_like(part, colour), 0.35, 0)
            cv2.copyTo(tinted, mask, part)
        # A line around it shows on a ground of its own colour, too.
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        for ink, width in (((0, 0, 0), stroke + 2), (colour, stroke)):
            cv2.drawContours(picture, outlines, -1, ink, width, cv2.LINE_AA, offset=(x, y))
    if estimate.box is not None:
        corners = np.round(estimate.box.corners() * 2**_SUBPIXEL_BITS).astype(np.int32)
        for ink, width in (((0, 0, 0), stroke + 2), (colour, stroke)):
            cv2.polylines(picture, [corners], True, ink, width, cv2.LINE_AA, _SUBPIXEL_BITS)
