"""What every training is made of: networks that learn by steps, and all it takes to go on later."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.weights.checkpoints import opened_checkpoint, write_checkpoint

WEIGHT_DECAY = 0.02
LEAST_RATE = 1 / 200  # of the peak
AVERAGING = 0.99  # of the weights that are written, over steps
CHECKPOINT_EVERY = 60.0  # seconds


class Learning:
    """A training under way: networks, their averages, optimiser, and how far they have come."""

    def __init__(
        self,
        nets: nn.Module,
        groups: Mapping[float, list[nn.Parameter]],
        out: Path,
        device: torch.device,
        *,
        rate: float,
        warm_up: int,
    ) -> None:
        """Go on from `out` / checkpoint.pt where there is one.

        `groups` says by which share of the `rate` parameters learn, which is reached after
        `warm_up` steps. ConfigurationError where the checkpoint is damaged or another training's.
        """
        self.out, self.checkpoint = out, out / 'checkpoint.pt'
        self.rate, self.warm_up, self.shares = rate, warm_up, list(groups)
        nets.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            nets, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING), use_buffers=True
        )
        self.optimiser = torch.optim.AdamW(
            [{'params': parameters} for parameters in groups.values()],
            lr=rate,
            weight_decay=WEIGHT_DECAY,
        )
        self.learner = nets
        self.steps, self.seconds, self.clips = 0, 0.0, 0
        if self.checkpoint.is_file():
            with opened_checkpoint(
                self.checkpoint, 'checkpoint of this training', 'remove it to begin anew', device
            ) as state:
                nets.load_state_dict(state['nets'])
                self.average.load_state_dict(state['average'])
                self.optimiser.load_state_dict(state['optimiser'])
                self.steps, self.clips = int(state['step']), int(state['clips'])
                self.seconds = float(state['seconds'])
        self.saved = self.seconds

    def set_rate(self, done: float) -> None:
        """Learn as fast as is right at the share `done` of the training: warm-up, then a cosine."""
        share = min((self.steps + 1) / self.warm_up, 0.5 + 0.5 * math.cos(math.pi * done))
        for group, own in zip(self.optimiser.param_groups, self.shares, strict=True):
            group['lr'] = self.rate * own * max(share, LEAST_RATE)

    def update(self, clips: int) -> None:
        """One step along the gradients of so many clips, which the averages follow."""
        self.optimiser.step()
        self.average.update_parameters(self.learner)
        self.steps += 1
        self.clips += clips

    def due(self, seconds: float) -> bool:
        """Whether it is time to save: every minute, and at the end, after `seconds` of training."""
        return self.seconds >= seconds or self.seconds - self.saved > CHECKPOINT_EVERY

    def save(self) -> None:
        """Write the checkpoint; replaces the one before in one step."""
        self.saved = self.seconds
        state = {
            'nets': self.learner.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'step': self.steps,
            'seconds': self.seconds,
            'clips': self.clips,
        }
        write_checkpoint(self.checkpoint, state)

    def write(self, log: TextIO, entry: Mapping[str, float]) -> None:
        """Write a line of the log."""
        line = json.dumps({'step': self.steps, 'seconds': self.seconds, **entry})
        print(line, file=log, flush=True)


def fitting(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of the `given` parameters a network has that has its `own`."""
    return {
        name: tensor
        for name, tensor in given.items()
        if name in own and own[name].shape == tensor.shape
    }


def in_halves(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A network's parameters in half precision, as they are written."""
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu()
        for name, tensor in tensors.items()
    }


def progress_bar(*, shown: bool = True) -> Progress:
    """Says how far a training is, and how long it will take."""
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.percentage:.1f} %'),
        TimeRemainingColumn(),
        disable=not shown,
    )


def seconds_of(minutes: float) -> float:
    """The seconds of a training; ConfigurationError where it would be none."""
    if not minutes > 0:
        raise ConfigurationError(f'--minutes is {minutes:g}; it must be above 0.')
    return minutes * 60
