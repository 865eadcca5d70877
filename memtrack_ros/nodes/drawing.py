"""What an overlay shows: mask, oriented box, state and confidence, drawn into the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from memtrack_ros.nodes.messages import Frame

if TYPE_CHECKING:
    from memtrack_ros.trackers import Estimate

COLOURS = {
    'TRACKING': (96, 214, 64),
    'OCCLUDED': (40, 176, 255),
    'LOST': (72, 72, 244),
    'ERROR': (200, 64, 200),
}
"""BGR by name of state; grey for any other."""


def overlay(frame: Frame, estimate: Estimate) -> Frame:
    """A copy of the frame with the estimate drawn into it: lines and letters grow with the frame."""
    picture = frame.copy()
    state, box, mask = estimate.state.name, estimate.box, estimate.mask
    colour = COLOURS.get(state, (160, 160, 160))
    unit = max(1, round(max(frame.shape[:2]) / 640))
    if mask is not None and not estimate.mask_is_box:
        _tint(picture, mask, colour, unit)
    if box is not None:
        # Sixteenths of a pixel: a slowly turning box does not jitter.
        corners = np.round(box.corners() * 16).astype(np.int32)
        for shade, width in (((0, 0, 0), 3 * unit + 1), (colour, 2 * unit)):
            cv2.polylines(picture, [corners], True, shade, width, cv2.LINE_AA, shift=4)
    confidence = '' if np.isnan(estimate.confidence) else f' {estimate.confidence:.2f}'
    label(picture, state + confidence, colour, scale=unit)
    return picture


def label(
    picture: Frame,
    text: str,
    colour: tuple[int, int, int],
    scale: float = 1.0,
    bottom: bool = False,
) -> None:
    """Writes a line on a dark ground into the top (or bottom) left corner, in place."""
    font, size, thick = cv2.FONT_HERSHEY_DUPLEX, 0.5 * scale, max(1, round(scale))
    (width, height), below = cv2.getTextSize(text, font, size, thick)
    pad = round(6 * scale)
    tall = height + below + 2 * pad
    top = picture.shape[0] - tall if bottom else 0
    ground = picture[top : top + tall, : width + 2 * pad + pad]
    ground[:] = ground // 4
    ground[:, : pad // 2] = colour
    cv2.putText(
        picture,
        text,
        (2 * pad, top + pad + height),
        font,
        size,
        (255, 255, 255),
        thick,
        cv2.LINE_AA,
    )


def _tint(picture: Frame, mask: Frame, colour: tuple[int, int, int], unit: int) -> None:
    """Mixes the colour into what the mask covers and draws its contour, in place."""
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0:
        return
    part, inside = picture[y : y + h, x : x + w], mask[y : y + h, x : x + w] > 0
    tinted = cv2.addWeighted(part, 0.6, np.full_like(part, colour), 0.4, 0)
    part[inside] = tinted[inside]
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, contours, -1, colour, unit, cv2.LINE_AA)
