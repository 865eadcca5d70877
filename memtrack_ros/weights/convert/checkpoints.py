"""Reading what others saved, without running anything in it, and renaming it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.weights.checkpoints import opened_checkpoint, reason

# Where a checkpoint keeps its parameters, if not at the top.
STATE_KEYS = ('model_state_dict', 'state_dict', 'model', 'net')
# What torch's data parallelism puts before every name.
PARALLEL = 'module.'
REMEDY = 'name the file that the authors of the tracker published'


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors by name of a PyTorch checkpoint or a NumPy archive (.npz).

    Raises ConfigurationError when the file is neither, or holds more than tensors.
    """
    if path.suffix == '.npz':
        return _read_archive(path)
    with opened_checkpoint(path, 'PyTorch checkpoint of tensors', REMEDY) as whole:
        state = next((whole[key] for key in STATE_KEYS if key in whole), whole)
        return {
            name.removeprefix(PARALLEL): _dense(tensor)
            for name, tensor in state.items()
            if isinstance(tensor, Tensor)
        }


def _read_archive(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:  # NumPy and zipfile raise what they like
        raise ConfigurationError(
            f'{path} is damaged or no NumPy archive of arrays ({reason(error)}); {REMEDY}.'
        ) from error


def _dense(tensor: Tensor) -> Tensor:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise TypeError(f'it holds a tensor of layout {tensor.layout} and type {tensor.dtype}')
    return tensor


def renamed(name: str, rules: Sequence[tuple[str, str]]) -> str:
    """`name` after all `rules` (pattern, replacement), applied in their order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
