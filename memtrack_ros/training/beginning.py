"""What a training begins with: weights shipped with a tracker, a weight file, or ImageNet's."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.efficientnet import published
from memtrack_ros.trackers import NAMES
from memtrack_ros.weights.files import load_weights, shipped_file

BODY = 'trunk.body.'  # what the parameters of the backbone's body begin with


def begin_with(source: str) -> dict[str, Tensor]:
    """Parameters, in single precision, of the weights shipped with tracker `source`, or in a file.

    A weight file of whatever network of ours, or the published checkpoint of EfficientNet-Lite0.
    Raises ConfigurationError where it is none of these.
    """
    if source in NAMES:
        return load_weights(shipped_file(source, 'compact'), source, 'compact').tensors
    path = Path(source)
    try:
        if path.suffix == '.safetensors':
            tensors = load_file(path)
        else:
            checkpoint = torch.load(path, weights_only=True, map_location='cpu')
            tensors = {BODY + name: tensor for name, tensor in published(checkpoint).items()}
    except (
        OSError, EOFError, KeyError, RuntimeError, AttributeError, UnpicklingError, SafetensorError
    ) as reason:  # fmt: skip
        raise ConfigurationError(
            f'{source} is neither a weight file nor a checkpoint of EfficientNet-Lite0 ({reason}); '
            f'name one, or one of: {", ".join(NAMES)}.'
        ) from reason
    return {name: x.float() if x.is_floating_point() else x for name, x in tensors.items()}


def origin(source: str) -> str:
    """What the weights that `begin_with` takes from `source` say of where they come from."""
    path = shipped_file(source, 'compact') if source in NAMES else Path(source)
    if path.suffix != '.safetensors':
        return path.name
    with safe_open(path, framework='pt') as file:
        said: str = (file.metadata() or {}).get('attribution', path.name)
    return said
