"""For tests of trackers: making one, following a target with it, comparing what was found."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.trackers import AnyTracker, Observation, Prior, Target, cmedfl, samn
from memtrack_ros.trackers.target_filter import PAPER_FILTER, Augmentation
from memtrack_ros.training.__main__ import RECIPES
from memtrack_ros.weights.convert import CONVERTERS
from memtrack_ros.weights.files import Calibration, save_weights, shipped_file

SURE = 0.9  # score
TWO_SAMPLES = PAPER_FILTER._replace(augmentation=Augmentation((), (), ()))
REFERENCE = Path(os.environ.get('MEMTRACK_REFERENCE', 'none'))
needs_reference = pytest.mark.skipif(
    not (REFERENCE / 'fill.py').is_file(),
    reason='needs the numeric references: set MEMTRACK_REFERENCE to their folder',
)


class Video(NamedTuple):
    """Frames, and the target's box and mask in the first of them."""

    frames: list[Pixels]
    box: Floats
    mask: Pixels


def save_initial(path: Path, tracker: str, variant: str) -> None:
    """Writes weights as they are before any training, the same in every run."""
    torch.manual_seed(0)
    net = RECIPES[tracker].net() if variant == 'compact' else CONVERTERS[tracker].net()
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in net.state_dict().items()
    }
    save_weights(path, tracker, variant, halves, Calibration(1.0, 0.0), 'nobody')


class Maker:
    """Makes trackers with the shipped weights, and with initial ones where none are shipped."""

    def __init__(self, folder: Path) -> None:
        """Initial weights are kept in `folder`."""
        self.folder = folder

    def weights(self, tracker: str, variant: str) -> Path:
        shipped = shipped_file(tracker, variant)
        if shipped.is_file():
            return shipped
        path = self.folder / shipped.name
        if not path.is_file():
            save_initial(path, tracker, variant)
        return path

    def __call__(
        self,
        tracker: str,
        variant: str = 'compact',
        *,
        device: str = 'cpu',
        max_bytes: int = 2**31,
    ) -> AnyTracker:
        """A tracker; a published filter begins with two samples, which a CPU has soon."""
        with pytest.MonkeyPatch.context() as patch:
            for module in (samn, cmedfl):
                patch.setattr(module, 'PAPER_FILTER', TWO_SAMPLES)
            weights = self.weights(tracker, variant)
            return trackers.create(tracker, variant, weights, device, max_bytes)


def boxed(frame: Pixels, box: Floats) -> Target:
    """A target of which a box is known."""
    return Target(box, boxes.box_mask(box, *frame.shape[:2]), exact=False)


def remember(tracker: AnyTracker, frame: Pixels, found: Observation) -> None:
    """Makes it remember what it found as if it had been sure."""
    tracker.remember(frame, replace(found, score=SURE))


def follow(tracker: AnyTracker, frames: Iterable[Pixels], box: Floats) -> Iterator[Observation]:
    """What is found in every frame, from `box` on; all is remembered."""
    for frame in frames:
        found = tracker.locate(frame, Prior(box))
        box = found.box
        remember(tracker, frame, found)
        yield found


def same(one: Observation, other: Observation) -> bool:
    return (
        one.score == other.score
        and np.array_equal(one.box, other.box)
        and np.array_equal(one.mask, other.mask)
    )


def all_same(some: Iterable[Observation], others: Iterable[Observation]) -> bool:
    return all(same(*pair) for pair in zip(some, others, strict=True))


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """Names of what differs between two states."""
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def live_tensors() -> dict[int, torch.Tensor]:
    gc.collect()
    return {id(thing): thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)}


def owners_of_graphs(tracker: Any) -> list[Any]:
    """What of a tracker has functions that are graphs on a GPU."""
    appearance = getattr(tracker, 'appearance', tracker)
    parts = [tracker, *vars(tracker).values(), *vars(appearance).values()]
    owners = {id(part): part for part in parts if 'graphs' in getattr(part, '__dict__', ())}
    return list(owners.values())
