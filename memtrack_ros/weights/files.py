"""Weight files: safetensors with what a tracker needs to know in the metadata."""

from __future__ import annotations

import json
import math
import reprlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.weights import tables

FORMAT = '1'
SHIPPED = Path(__file__).parent
STEEPEST = 40.0  # magnitude of slope and intercept of a calibration; a few is much
REMEDY = 'name a weight file made for this tracker and variant, or install the package again'


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
    """Verified weights: tensors by parameter name (fp32, CPU) and the calibration of the score.

    `digest` is the hash that tells these weights from any others.
    """

    tensors: dict[str, Tensor]
    calibration: Calibration
    digest: str


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
    metadata = {
        'format': FORMAT,
        'tracker': tracker,
        'variant': variant,
        'calibration': json.dumps([calibration.slope, calibration.intercept]),
        'licence': 'Apache-2.0',
        'attribution': attribution,
    }
    tables.write(path, {name: tensor.cpu() for name, tensor in tensors.items()}, metadata)


def load_weights(path: Path, tracker: str, variant: str) -> Weights:
    """Read and verify a weight file.

    Raises ConfigurationError when it is missing, damaged, or made for another tracker or variant.
    """
    if not path.is_file():
        raise ConfigurationError(
            f'There is no weight file {path}; set the parameter weights to one that exists, or '
            'leave it empty for the shipped compact weights.'
        )
    tensors, metadata = tables.read(
        path,
        {'format': FORMAT, 'tracker': tracker, 'variant': variant},
        ConfigurationError,
        REMEDY,
    )
    calibration = _calibration(metadata.get('calibration'))
    if calibration is None:
        raise ConfigurationError(
            f'{path} is damaged: its calibration is {reprlib.repr(metadata.get("calibration"))}, '
            f'not two numbers of at most {STEEPEST:g}; {REMEDY}.'
        )
    floats = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    return Weights(floats, calibration, metadata['sha256'])


def _calibration(text: str | None) -> Calibration | None:
    """What `save_weights` wrote; None where this is something else."""
    try:
        slope, intercept = map(float, json.loads(text or ''))
    except (ValueError, TypeError, RecursionError):
        return None
    if not max(abs(slope), abs(intercept)) <= STEEPEST or math.isnan(intercept):
        return None
    return Calibration(slope, intercept)


def load_into(net: torch.nn.Module, weights: Weights, path: Path) -> None:
    """Copy weights into `net`; ConfigurationError lists what is missing, unknown or wrong."""
    faults = mismatches(net.state_dict(), weights.tensors)
    if faults:
        raise ConfigurationError(
            f'{path} does not fit the network: {"; ".join(faults[:10])} '
            f'({len(faults)} faults); name a weight file made for this version.'
        )
    net.load_state_dict(weights.tensors)


def mismatches(own: dict[str, Tensor], given: dict[str, Tensor]) -> list[str]:
    """Why `given` cannot be loaded as `own`.

    Names missing or unknown, shapes that differ, numbers of another kind or not finite.
    """
    faults = [f'{name} is missing' for name in own.keys() - given.keys()]
    faults += [f'{name} is unknown' for name in given.keys() - own.keys()]
    for name in own.keys() & given.keys():
        wanted, tensor = own[name], given[name]
        if tensor.shape != wanted.shape:
            faults.append(f'{name} has shape {tuple(tensor.shape)}, not {tuple(wanted.shape)}')
        elif tensor.is_floating_point() != wanted.is_floating_point():
            faults.append(f'{name} has type {tensor.dtype}, not {wanted.dtype}')
        elif not tensor.isfinite().all():
            faults.append(f'{name} has numbers that are not finite')
    return sorted(faults)
