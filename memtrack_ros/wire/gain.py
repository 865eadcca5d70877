"""Images of sixteen bits in eight: an automatic gain that follows its camera slowly.

Cameras of 10, 12 and 14 bits say sixteen, and infrared ones use a small part even of theirs: the
high byte alone would leave a few grey levels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_PERCENTILES = 1, 25, 75, 99
_NARROWEST = 255.0  # one grey level a count: an even image is not turned into noise
_RATE = 0.1  # of what a limit lacks, made up for with each image
_STEP = 0.02  # of the range, at most, so that nothing changes its grey by more than five levels
_SAMPLES = 2**15


class Gain:
    """Spreads the values of one camera over 0 to 255, what lies outside its range is cut off.

    The range runs from the 1st to the 99th percentile, so that neither dead pixels nor the sun set
    it, and over 255 counts at least. From image to image each limit moves by a tenth of its way and
    a fiftieth of the range at most. It starts anew with another size or encoding, and when more
    than a quarter of the pixels are below it, or above.
    """

    def __init__(self) -> None:
        self._kind: tuple[object, ...] = ()
        self._range: NDArray[np.float64] = np.zeros(2)

    def __call__(self, pixels: NDArray[np.uint16], encoding: str) -> NDArray[np.uint8]:
        """The pixels in eight bits, of the same shape; all channels have one range."""
        lowest, lower, upper, highest = np.percentile(_sampled(pixels), _PERCENTILES)
        wanted = _widened(lowest, highest)
        kind = encoding, *pixels.shape
        low, high = self._range
        if kind != self._kind or lower < low or upper > high:
            used = wanted
        else:
            most = _STEP * (high - low)
            used = self._range + np.clip(_RATE * (wanted - self._range), -most, most)
        self._kind, self._range = kind, used
        low, high = used
        scale = 255 / (high - low)
        dark = np.uint16(low)
        above = np.maximum(pixels, dark).reshape(len(pixels), -1)  # OpenCV takes absolute values
        grey = cv2.convertScaleAbs(above, alpha=scale, beta=-scale * float(dark))
        return np.asarray(grey, np.uint8).reshape(pixels.shape)


def _sampled(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Every so many pixels: an odd number, as every second one of a Bayer mosaic has one colour."""
    pace = int(np.sqrt(pixels.size / _SAMPLES)) // 2 * 2 + 1
    return pixels[::pace, ::pace]


def _widened(low: float, high: float) -> NDArray[np.float64]:
    """The range, or the narrowest that there is around its middle, within sixteen bits."""
    half = max(high - low, _NARROWEST) / 2
    middle = min(max((low + high) / 2, half), 2**16 - 1 - half)
    return np.array([middle - half, middle + half])
