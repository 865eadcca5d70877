"""From an authors' checkpoint to the tensors of our paper variant, or a list of what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.cmedfl import PaperCMEDFL
from memtrack_ros.nets.dmv import PaperDMV, depth_of
from memtrack_ros.nets.memtrack import PaperMemTrack
from memtrack_ros.nets.samn import PaperSAMN
from memtrack_ros.nets.stmtrack import PaperSTMTrack
from memtrack_ros.weights.convert import cmedfl, dmv, memtrack, samn, stmtrack
from memtrack_ros.weights.convert.checkpoints import read_checkpoint
from memtrack_ros.weights.files import mismatches

COUNTER = 'num_batches_tracked'  # of batch normalisation; of no use to a trained network


class Converter(NamedTuple):
    """The network to fill and how its authors' names become ours; names unknown to it stay.

    `note` says what else is to be known of the result. `fitting` makes another network where the
    names of our parameters ask for one.
    """

    net: Callable[[], nn.Module]
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    note: str = ''
    fitting: Callable[[Iterable[str]], nn.Module] | None = None


CONVERTERS = {
    'cmedfl': Converter(PaperCMEDFL, cmedfl.translate),
    'dmv': Converter(PaperDMV, dmv.translate, dmv.NOTE, lambda names: PaperDMV(depth_of(names))),
    'memtrack': Converter(PaperMemTrack, memtrack.translate),
    'samn': Converter(PaperSAMN, samn.translate),
    'stmtrack': Converter(PaperSTMTrack, stmtrack.translate),
}


def convert(tracker: str, checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """All tensors of the paper variant of `tracker`, found in its authors' `checkpoints` together.

    Raises ConfigurationError that lists every entry that is unknown, missing or misshapen.
    """
    theirs: dict[str, Tensor] = {}
    for path in checkpoints:
        theirs |= read_checkpoint(path)
    net, translate, _, fitting = CONVERTERS[tracker]
    ours = translate({name: tensor for name, tensor in theirs.items() if COUNTER not in name})
    with torch.device('meta'):
        own = (net() if fitting is None else fitting(ours)).state_dict()
    ours |= {name: torch.zeros((), dtype=torch.long) for name in own if name.endswith(COUNTER)}
    if faults := mismatches(own, ours):
        files = ' and '.join(path.name for path in checkpoints)
        raise ConfigurationError(
            f'{files} does not hold the published {tracker}: {"; ".join(faults)}; '
            'name what its authors published.'
        )
    return ours
