"""The authors' checkpoints in our names.

Whether all is there is checked when weights are loaded.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

from memtrack_ros.errors import ConfigurationError

# Authors' name -> ours, applied in this order.
STMTRACK_NAMES = (
    (r'^basemodel_', 'trunk_'),
    (r'^(neck_[mq])\.adjustor', r'\1'),
    (r'^(head\.(?:cls_ctr|reg))\.conv1\.', r'\1.conv_layers.-1.'),
    (r'^(head\.\w+_(?:score|offsets))\.conv\.', r'\1.0.'),
    (r'^(head\.\w+_(?:score|offsets))\.bn\.', r'\1.1.'),
)
# Weights of an ancestor that every checkpoint carries and no computation uses.
STMTRACK_DEAD = re.compile(r'^[rc]_(z_k|x)\.')


def convert_stmtrack(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published STMTrack's parameters by the names of PaperSTMTrack; other names stay."""
    converted: dict[str, Tensor] = {}
    for theirs, tensor in checkpoint.items():
        if STMTRACK_DEAD.match(theirs):
            continue
        name = theirs
        for pattern, ours in STMTRACK_NAMES:
            name = re.sub(pattern, ours, name)
        # The authors keep a tower's first convolution apart, so their numbers lag ours by one.
        name = re.sub(r'\.conv_layers\.(-?\d+)\.', lambda m: f'.{int(m[1]) + 1}.', name)
        converted[name] = tensor
        if name.endswith('running_var'):
            counter = name.replace('running_var', 'num_batches_tracked')
            converted.setdefault(counter, torch.zeros((), dtype=torch.long))
    return converted


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of an authors' PyTorch checkpoint, read without running anything in it.

    Raises ConfigurationError when the file is no such checkpoint.
    """
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
        state = state.get('model_state_dict', state)
        return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    except Exception as error:  # torch.load has no exception of its own
        raise ConfigurationError(
            f'{path} is no PyTorch checkpoint of tensors alone ({error}); name the file that the '
            'authors of the tracker published.'
        ) from error
