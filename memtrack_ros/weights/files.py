"""Weight files: safetensors with what a tracker needs to know in the metadata."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.weights import tables

FORMAT = '1'
SHIPPED = Path(__file__).parent
STEEPEST = 100.0  # magnitude of the numbers of a calibration; a tenth is much
EVIDENCE = 5  # factors of a calibration beside the score's
REMEDY = 'name a weight file made for this tracker and variant, or install the package again'


@dataclass(frozen=True)
class Calibration:
    """Confidence: the probability that IoU >= 0.5, of a score and further evidence.

    sigmoid(slope logit(score) + sum of the evidence times its `factors` + intercept). Without
    factors, as in files of before there was any evidence, only the score counts.
    """

    slope: float
    intercept: float
    factors: tuple[float, ...] = ()

    def confidence(self, score: float, evidence: Sequence[float] = ()) -> float:
        """The calibrated confidence of a score in 0..1; without evidence, by the score alone."""
        said = self.slope * logit(score) + self.intercept
        if self.factors and evidence:
            said += sum(f * e for f, e in zip(self.factors, evidence, strict=True))
        return 1 / (1 + math.exp(-min(max(said, -STEEPEST), STEEPEST)))


def logit(score: float) -> float:
    """log(score / (1 - score)) of a score in 0..1, kept finite."""
    bounded = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(bounded / (1 - bounded))


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
        'calibration': json.dumps([calibration.slope, calibration.intercept, *calibration.factors]),
        'licence': 'Apache-2.0',
        'attribution': attribution,
    }
    tables.write(path, {name: tensor.cpu() for name, tensor in tensors.items()}, metadata)


def recalibrate(path: Path, tracker: str, variant: str, calibration: Calibration) -> None:
    """Give a weight file another calibration; ConfigurationError as `load_weights` has it."""
    load_weights(path, tracker, variant)
    identity = {'format': FORMAT, 'tracker': tracker, 'variant': variant}
    tensors, metadata = tables.read(path, identity, ConfigurationError, REMEDY)
    save_weights(path, tracker, variant, tensors, calibration, metadata.get('attribution', ''))


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
            f'not two numbers, or {2 + EVIDENCE}, of at most {STEEPEST:g}; {REMEDY}.'
        )
    floats = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    return Weights(floats, calibration, metadata['sha256'])


def _calibration(text: str | None) -> Calibration | None:
    """What `save_weights` wrote; None where this is something else."""
    try:
        slope, intercept, *factors = map(float, json.loads(text or ''))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = slope, intercept, *factors
    if len(factors) not in (0, EVIDENCE) or not all(abs(n) <= STEEPEST for n in numbers):
        return None
    return Calibration(slope, intercept, tuple(factors))


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
