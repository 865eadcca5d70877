"""Which trackers there are, and how one is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.inference import native_precision
from memtrack_ros.trackers import cmedfl, dmv, memtrack, samn, stmtrack
from memtrack_ros.trackers.parts import Parts
from memtrack_ros.trackers.settings import DEFAULTS, Chosen
from memtrack_ros.trackers.tracker import AnyTracker
from memtrack_ros.weights.files import load_weights, shipped_file

CREATORS: dict[str, Callable[[str, Parts], AnyTracker]] = {
    'stmtrack': stmtrack.create,
    'memtrack': memtrack.create,
    'dmv': dmv.create,
    'samn': samn.create,
    'cmedfl': cmedfl.create,
}
NAMES = tuple(CREATORS)
VARIANTS = ('compact', 'paper')
PRECISIONS = {'auto': None, 'float32': torch.float32, 'bfloat16': torch.bfloat16}
DEFAULT = 'dmv'
"""The tracker that is best over all, by `evaluation run` and `evaluation presence`."""


def create(
    tracker: str,
    variant: str = 'compact',
    weights: Path | None = None,
    device: str = 'auto',
    max_bytes: int = 2**30,
    precision: str = 'auto',
    chosen: Chosen = DEFAULTS,
) -> AnyTracker:
    """Make a tracker with verified weights, its memory allocated.

    `weights` None takes the shipped file; of its settings those `chosen` are taken. `precision` is
    that of the compact variants' convolutions; auto is bfloat16 on a CPU made for it, else
    float32. The paper variants compute in float32, as their authors do.
    Raises ConfigurationError, with nothing left allocated, for an unknown tracker, variant or
    setting, weights that are missing or damaged, a device or precision that is not there, or a bank
    over `max_bytes`.
    """
    if tracker not in NAMES:
        raise ConfigurationError(
            f'There is no tracker {tracker!r}; set tracker to one of: {", ".join(NAMES)}.'
        )
    if variant not in VARIANTS:
        raise ConfigurationError(
            f'There is no variant {variant!r}; set variant to one of: {", ".join(VARIANTS)}.'
        )
    if precision not in PRECISIONS:
        raise ConfigurationError(
            f'There is no precision {precision!r}; set precision to one of: '
            f'{", ".join(PRECISIONS)}.'
        )
    path = weights or shipped_file(tracker, variant)
    if weights is None and not path.is_file():
        raise ConfigurationError(
            f'No weights of {tracker} ({variant}) come with the package; '
            'configure with tracker, variant and weights set to a weight file of your own.'
        )
    place = find_device(device)
    loaded = load_weights(path, tracker, variant)
    computed = PRECISIONS[precision] or native_precision(place)
    if variant == 'paper':
        computed = torch.float32
    parts = Parts(loaded, path, place, max_bytes, computed, chosen)
    try:
        made = CREATORS[tracker](variant, parts)
    except torch.cuda.OutOfMemoryError as error:
        raise ConfigurationError(
            f'{tracker} ({variant}) does not fit into the memory of {place}: free some, or set '
            'device to cpu or another one.'
        ) from error.with_traceback(None)
    made.weights, made.precision = loaded.digest, computed
    return made


def find_device(name: str) -> torch.device:
    """The torch device called `name`; 'auto' is the GPU where there is one.

    ConfigurationError where it is not there.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        there = ['cpu', *(f'cuda:{i}' for i in range(torch.cuda.device_count()))]
        raise ConfigurationError(
            f'The device {name!r} is not there; set device to auto or one of: {", ".join(there)}.'
        ) from error
    return device
