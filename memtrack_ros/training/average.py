"""Average the weights of trainings of which one began where the other ended.

Their mean follows what is unlike their clips better than either does: Wortsman et al., Robust
fine-tuning of zero-shot models (CVPR 2022), Model soups (ICML 2022).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.trackers import NAMES
from memtrack_ros.training.learning import in_halves
from memtrack_ros.weights.files import Weights, load_weights, mismatches, save_weights


def average(parts: Sequence[Weights]) -> dict[str, torch.Tensor]:
    """The mean of each tensor; what is no number to calculate with is the first one's.

    Raises ConfigurationError where the networks are not the same.
    """
    first, *others = [weights.tensors for weights in parts]
    for other in others:
        if faults := mismatches(first, other):
            raise ConfigurationError(
                f'weights of two networks have no mean: {"; ".join(faults[:5])} '
                f'({len(faults)} faults); name weight files of one version.'
            )
    return {
        name: torch.stack([each[name] for each in (first, *others)]).mean(0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in first.items()
    }


def main(args: list[str]) -> None:
    """Average weight files of a tracker; to be calibrated and validated afterwards."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.training average', description=main.__doc__
    )
    parser.add_argument('tracker', choices=NAMES, metavar='TRACKER')
    parser.add_argument('weights', nargs='+', type=Path, help='weight files')
    parser.add_argument('--out', type=Path, required=True, help='weight file to write')
    given = parser.parse_args(args)
    parts = [load_weights(path, given.tracker, 'compact') for path in given.weights]
    said = 'mean of several trainings on drawn scenes, imagery and real clips: see the model card'
    given.out.parent.mkdir(parents=True, exist_ok=True)
    mean = in_halves(average(parts))
    save_weights(given.out, given.tracker, 'compact', mean, parts[0].calibration, said)
    print(f'{given.out}: the mean of {len(parts)}')
