"""Weight files: safetensors with what a tracker needs to know in the metadata."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from memtrack_ros.errors import ConfigurationError

FORMAT = '1'
SHIPPED = Path(__file__).parent


@dataclass(frozen=True)
class Calibration:
    """Confidence = sigmoid(slope logit(score) + intercept): the probability that IoU >= 0.5."""

    slope: float
    intercept: float

    def confidence(self, score: float) -> float:
        """The calibrated confidence of a score in 0..1."""
        bounded = min(max(score, 1e-6), 1 - 1e-6)
        logit = math.log(bounded / (1 - bounded))
        return 1 / (1 + math.exp(-(self.slope * logit + self.intercept)))


@dataclass(frozen=True)
class Weights:
    """Verified weights: tensors by parameter name (fp32, CPU) and the calibration of the score."""

    tensors: dict[str, Tensor]
    calibration: Calibration


def shipped_file(tracker: str, variant: str) -> Path:
    """Path of the weights that come with the package, whether or not there are any."""
    return SHIPPED / f'{tracker}-{variant}.safetensors'


def save_weights(
    path: Path,
    tracker: str,
    variant: str,
    tensors: dict[str, Tensor],
    calibration: Calibration,
    attribution: str,
) -> None:
    """Write `tensors`, of any precision, with all metadata; replaces `path` in one step."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {
        'format': FORMAT,
        'tracker': tracker,
        'variant': variant,
        'calibration': json.dumps([calibration.slope, calibration.intercept]),
        'sha256': _digest(tensors),
        'licence': 'Apache-2.0',
        'attribution': attribution,
    }
    partial = path.with_suffix('.partial')
    save_file(tensors, partial, metadata)
    partial.replace(path)


def load_weights(path: Path, tracker: str, variant: str) -> Weights:
    """Read and verify a weight file.

    Raises ConfigurationError when it is missing, damaged, or made for another tracker or variant.
    """
    if not path.is_file():
        raise ConfigurationError(
            f'There is no weight file {path}; set the parameter weights to one that exists, or '
            'leave it empty for the shipped compact weights.'
        )
    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ConfigurationError(
            f'{path} is damaged or no safetensors file ({error}); '
            'install the package again or name another file.'
        ) from error
    for key, expected in (('format', FORMAT), ('tracker', tracker), ('variant', variant)):
        if metadata.get(key) != expected:
            raise ConfigurationError(
                f'{path} has {key} {metadata.get(key)!r}, but {expected!r} is needed; '
                'name a weight file made for this tracker and variant.'
            )
    if metadata.get('sha256') != _digest(tensors):
        raise ConfigurationError(
            f'{path} is damaged: its tensors do not have the hash it was saved with; '
            'install the package again or name another file.'
        )
    slope, intercept = json.loads(metadata['calibration'])
    floats = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    return Weights(floats, Calibration(slope, intercept))


def load_into(net: torch.nn.Module, weights: Weights, path: Path) -> None:
    """Copy weights into `net`; ConfigurationError lists what is missing, unknown or misshapen."""
    faults = mismatches(net.state_dict(), weights.tensors)
    if faults:
        raise ConfigurationError(
            f'{path} does not fit the network: {"; ".join(faults[:10])} '
            f'({len(faults)} faults); name a weight file made for this version.'
        )
    net.load_state_dict(weights.tensors)


def mismatches(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Why `given` cannot be loaded as `own`: names missing or unknown, shapes that differ."""
    faults = [f'{name} is missing' for name in own.keys() - given.keys()]
    faults += [f'{name} is unknown' for name in given.keys() - own.keys()]
    faults += [
        f'{name} has shape {tuple(given[name].shape)}, not {tuple(own[name].shape)}'
        for name in own.keys() & given.keys()
        if given[name].shape != own[name].shape
    ]
    return sorted(faults)


def _digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f'{name} {tensor.dtype} {tuple(tensor.shape)} '.encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
