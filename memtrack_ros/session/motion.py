"""How a target moves: a Kalman filter, of constant velocity, for its centre and its log size.

Kalman, 1960; white noise for the acceleration, as Bar-Shalom, Li & Kirubarajan 2001, section 6.2.2.
Width and height, and x and y, are alike and independent, so that each pair has one covariance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from typing import ClassVar

import numpy as np

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import Given, outside

# Standard deviations; of the centre over the target's sqrt(w h), of the logarithm of a side.
MEASURED = np.array([0.05, 0.05])  # of a tracker's box
FIRST_RATE = np.array([4.0, 0.5])  # a second: of a target just pointed at, which may move
AGILITY = np.array([4.0, 1.0])  # after a second, of the rate: how fast that changes
FARTHEST = np.array([20.0, 1.5])  # of any prediction: beyond that nothing is known anyway
SLOWING = 0.32  # seconds after which an unseen target has a 1/e of its rate left
LARGEST_FRAME = 2.0**16  # pixels of a side
SMALLEST_BOX = 0.01  # pixels of a side: less than a pixel of any crop
FASTEST = 1e3 * LARGEST_FRAME  # a second: through any frame in a thousandth
ROUNDING = 1e-9  # relative, of covariances that are alike


@dataclass
class Motion(Stateful):
    """What is known of a target's box and its rates, at one moment. Methods give new ones.

    Place and rate are (2, 2): centre x, y in pixels and log w, log h; the rates a second.
    Covariances are (2, 2, 2): of place and rate, of the centre and of the size.
    """

    kept: ClassVar[tuple[str, ...]] = ('place', 'rate', 'covariance')

    place: Floats
    rate: Floats
    covariance: Floats

    def faults(self, given: Given) -> Iterator[str]:
        """A place in some frame, rates, and covariances: symmetric and positive definite."""
        (centre, size), covariance = given['place'], given['covariance']
        yield from outside({'place': centre}, 'place', -2 * LARGEST_FRAME, 2 * LARGEST_FRAME)
        yield from outside({'place': size}, 'place', log(SMALLEST_BOX), log(4 * LARGEST_FRAME))
        yield from outside(given, 'rate', -FASTEST, FASTEST)
        yield from outside(given, 'covariance', -(FASTEST**2), FASTEST**2)
        if not np.allclose(covariance, covariance.swapaxes(1, 2), rtol=ROUNDING, atol=0):
            yield 'covariance is not symmetric'
        variances = covariance[:, [0, 1], [0, 1]]
        if variances.min() <= 0 or np.linalg.det(covariance).min() <= 0:
            yield 'covariance is not positive definite'
        yield from outside({'covariance': variances[1, 0]}, 'covariance', 0, (2 * FARTHEST[1]) ** 2)

    @classmethod
    def of(cls, box: Floats) -> Motion:
        """Of a target just seen in `box` (4,), of whose motion nothing is known."""
        unit = _unit(box)
        covariance = np.zeros((2, 2, 2))
        covariance[:, 0, 0] = (MEASURED * unit) ** 2
        covariance[:, 1, 1] = (FIRST_RATE * unit) ** 2
        return cls(_place(box), np.zeros((2, 2)), covariance)

    @property
    def box(self) -> Floats:
        """The box (4,)."""
        return boxes.from_centre(self.place[0], np.exp(self.place[1]))

    @property
    def spread(self) -> float:
        """Standard deviation of the centre along an axis, in pixels."""
        return float(np.sqrt(self.covariance[0, 0, 0]))

    @property
    def growth(self) -> float:
        """Factor by which a side may be larger than believed: one standard deviation."""
        return exp(float(np.sqrt(self.covariance[1, 0, 0])))

    def after(self, seconds: float, *, seen: bool = True) -> Motion:
        """Predicted; a target that is not `seen` slows down."""
        left = 1.0 if seen else exp(-seconds / SLOWING)
        travelled = seconds if seen else SLOWING * (1 - left)
        step = np.array([[1.0, travelled], [0.0, left]])
        noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        power = (AGILITY * _unit(self.box)) ** 2
        covariance = step @ self.covariance @ step.T + power[:, None, None] * noise
        reach = FARTHEST * _unit(self.box)
        covariance *= np.minimum(1, reach**2 / covariance[:, 0, 0])[:, None, None]
        shift = np.clip(travelled * self.rate, -reach[:, None], reach[:, None])
        return Motion(self.place + shift, left * self.rate, covariance)

    def distance(self, box: Floats) -> Floats:
        """How many standard deviations place and size of `box` (4,) are off, (2,).

        Of the centre along both axes together, of the mean log side.
        """
        off = _place(box) - self.place
        apart = np.array([np.linalg.norm(off[0]), abs(off[1].mean())])
        noise = (MEASURED * _unit(self.box)) ** 2
        return np.asarray(apart / np.sqrt(self.covariance[:, 0, 0] + noise))

    def corrected(self, box: Floats) -> Motion:
        """By a box (4,) in which the target is seen now, which is taken as it is.

        Only the rates are filtered: trackers expect to be asked around the box they gave.
        """
        noise = (MEASURED * _unit(box)) ** 2
        certainty = self.covariance[:, 0, 0] + noise
        gain = self.covariance[:, 1, 0] / certainty
        place = _place(box)
        rate = self.rate + gain[:, None] * (place - self.place)
        # Joseph's form, for a gain of 1 of the place.
        kept = np.zeros((2, 2, 2))
        kept[:, 1, 0], kept[:, 1, 1] = -gain, 1.0
        added = np.stack([np.ones(2), gain], 1)
        covariance = kept @ self.covariance @ kept.swapaxes(1, 2)
        covariance += noise[:, None, None] * added[:, :, None] * added[:, None]
        return Motion(place, rate, covariance)

    def scaled(self, scale: Floats) -> Motion:
        """In an image whose pixels are smaller by `scale` (2,) x, y."""
        place, rate, covariance = self.place.copy(), self.rate.copy(), self.covariance.copy()
        place[0] = (place[0] + 0.5) * scale - 0.5
        place[1] += np.log(scale)
        rate[0] *= scale
        covariance[0] *= scale.prod()
        return Motion(place, rate, covariance)

    def within(self, width: int, height: int) -> Motion:
        """With the centre in an image, and the size from a pixel to the image's."""
        limit = np.array([width, height], float)
        centre = np.clip(self.place[0], 0, limit - 1)
        size = np.clip(self.place[1], 0, np.log(limit))
        return Motion(np.stack([centre, size]), self.rate, self.covariance)


def _place(box: Floats) -> Floats:
    return np.stack([boxes.centre(box), np.log(box[2:])])


def _unit(box: Floats) -> Floats:
    """Of a length in pixels, and of a logarithm."""
    return np.array([boxes.scale(box), 1.0])
