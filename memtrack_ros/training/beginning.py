"""What a training begins with: weights shipped with a tracker, a weight file, or ImageNet's."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.efficientnet import EfficientNetLite0, of_checkpoint
from memtrack_ros.trackers import NAMES
from memtrack_ros.weights.checkpoints import opened_checkpoint, reason
from memtrack_ros.weights.files import load_weights, mismatches, shipped_file

BODY = 'trunk.body.'  # what the parameters of the backbone's body begin with


def begin_with(source: str) -> dict[str, Tensor]:
    """Parameters, in single precision, of the weights shipped with tracker `source`, or in a file.

    A weight file of whatever network of ours, or the published checkpoint of EfficientNet-Lite0.
    Raises ConfigurationError where it is none of these.
    """
    if source in NAMES:
        return load_weights(shipped_file(source, 'compact'), source, 'compact').tensors
    path, remedy = Path(source), f'set --begin to one, or to one of: {", ".join(NAMES)}'
    if path.suffix == '.safetensors':
        tensors = _of_file(path, remedy)
    else:
        with opened_checkpoint(path, 'checkpoint of EfficientNet-Lite0', remedy) as checkpoint:
            body = of_checkpoint(checkpoint)
            if faults := mismatches(EfficientNetLite0().state_dict(), body):
                raise ValueError(faults[0])
            tensors = {BODY + name: tensor for name, tensor in body.items()}
    return {name: x.float() if x.is_floating_point() else x for name, x in tensors.items()}


def _of_file(path: Path, remedy: str) -> dict[str, Tensor]:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f'{path} is damaged or no weight file ({reason(error)}); {remedy}.'
        ) from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ConfigurationError(f'{path} is damaged: {name} is not finite; {remedy}.')
    return tensors


def origin(source: str) -> str:
    """What the weights that `begin_with` takes from `source` say of where they come from."""
    path = shipped_file(source, 'compact') if source in NAMES else Path(source)
    if path.suffix != '.safetensors':
        return path.name
    with safe_open(path, framework='pt') as file:
        said: str = (file.metadata() or {}).get('attribution', path.name)
    return said
