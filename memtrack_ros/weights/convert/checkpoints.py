"""Reading what others saved, without running anything in it, and renaming it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memtrack_ros.errors import ConfigurationError

# Where a checkpoint keeps its parameters, if not at the top.
STATE_KEYS = ('model_state_dict', 'state_dict', 'model', 'net')
# What torch's data parallelism puts before every name.
PARALLEL = 'module.'


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors by name of a PyTorch checkpoint or a NumPy archive (.npz).

    Raises ConfigurationError when the file is neither, or holds more than tensors.
    """
    try:
        if path.suffix == '.npz':
            with np.load(path, allow_pickle=False) as archive:
                return {name: torch.from_numpy(archive[name]) for name in archive.files}
        state = torch.load(path, map_location='cpu', weights_only=True)
        state = next((state[key] for key in STATE_KEYS if key in state), state)
        return {
            name.removeprefix(PARALLEL): tensor
            for name, tensor in state.items()
            if isinstance(tensor, Tensor)
        }
    except Exception as error:  # neither library has an exception of its own
        raise ConfigurationError(
            f'{path} is no PyTorch checkpoint of tensors alone and no NumPy archive ({error}); '
            'name the file that the authors of the tracker published.'
        ) from error


def renamed(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """`name` after all `rules` (pattern, replacement), applied in their order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
