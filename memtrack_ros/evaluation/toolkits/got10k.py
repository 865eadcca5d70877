"""A tracker for the got10k toolkit (https://github.com/got-10k/toolkit).

from got10k.experiments import ExperimentGOT10k
from memtrack_ros import trackers
from memtrack_ros.evaluation.toolkits.got10k import MemtrackTracker

tracker = MemtrackTracker(trackers.create('stmtrack'))
experiment = ExperimentGOT10k('data/GOT-10k', subset='val')
experiment.run(tracker)
experiment.report([tracker.name])
"""

from __future__ import annotations

import numpy as np
from PIL.Image import Image

from memtrack_ros import trackers
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.session import Prompt, Session

try:
    from got10k.trackers import Tracker
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'{error.name} is missing: pip install "memtrack_ros[toolkits]"', name=error.name
    ) from error

# GOT-10k's boxes are x, y, w, h whose first pixel is (1, 1), by its authors
# (https://github.com/got-10k/toolkit/issues/6); here it is (0, 0).
FIRST_PIXEL = np.array([1.0, 1.0, 0.0, 0.0])


class MemtrackTracker(Tracker):  # type: ignore[misc]  # the toolkit has no types
    """Runs a tracker as the node does; its results lie in a folder TRACKER-VARIANT.

    Images are PIL, RGB; boxes float64 (4,) x, y, w, h in pixels, counted from 1.
    """

    def __init__(self, tracker: trackers.AnyTracker) -> None:
        """Take a tracker as `trackers.create` makes it."""
        # Repeating a run changes nothing: the toolkit need not do it three times.
        super().__init__(f'{tracker.name}-{tracker.variant}', is_deterministic=True)
        self.session = Session(tracker)

    def init(self, image: Image, box: Floats) -> None:
        """Take the target in the box, whatever was followed before.

        PromptError when it is not in the image.
        """
        self.session.prompt(_bgr(image), Prompt('box', np.asarray(box, float) - FIRST_PIXEL))

    def update(self, image: Image) -> Floats:
        """Where the target is in the next image; while it is not seen, where it is expected."""
        estimate = self.session.step(_bgr(image))
        self.session.remember()
        if estimate.roi is None:
            raise RuntimeError('There is no target yet; call init first.')
        return np.asarray(estimate.roi + FIRST_PIXEL, float)


def _bgr(image: Image) -> Pixels:
    return np.ascontiguousarray(np.asarray(image.convert('RGB'), np.uint8)[..., ::-1])
