"""Distil the teacher into the trunk that all compact trackers stand on.

python -m memtrack_ros.training distil --teacher vit_s_focus.onnx --data VIDEOS --data PHOTOGRAPHS \
    --imagery IMAGERY --minutes 26 --out trunk-out
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.scenes.imagery import read_imagery
from memtrack_ros.trackers import find_device
from memtrack_ros.training.beginning import begin_with
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.likeness import VIEW, DistilledTrunk, losses, photographed
from memtrack_ros.training.probe import probe
from memtrack_ros.training.teacher import Teacher, load_teacher
from memtrack_ros.training.views import Views
from memtrack_ros.weights.checkpoints import opened_checkpoint

PEAK_RATE = 1.5e-3
WEIGHT_DECAY = 0.02
LEAST_RATE = 1 / 200  # of the peak
WARM_UP = 40  # steps
AVERAGING = 0.99  # over steps
# The body knows photographs already: shares of the rate for its first blocks and for the others.
EARLY, LATE, FIRST_LATE = 0.05, 0.25, 5
# The teacher takes most of the time: a pair of views that it has seen is used several times.
PAIRS, FRESH, POOL = 8, 2, 600  # of a step, of these new, and kept
DRAWN_EVERY, DRAWN_STRENGTH = 3, 0.6  # every third time the new ones are drawn scenes
SEEDS = 77_000_000
CHECKPOINT_EVERY = 60.0  # seconds


class Pool:
    """Pairs of views with the teacher's tokens, the newest POOL."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def add(self, views: Tensor) -> None:
        """Let the teacher see pairs (n, 2, 3, VIEW, VIEW)."""
        with torch.autocast(views.device.type, torch.bfloat16):
            tokens = self._teacher(views.flatten(0, 1)).unflatten(0, (len(views), 2))
        self._pairs += zip(views.byte(), tokens.half(), strict=True)
        del self._pairs[:-POOL]

    def draw(self, generator: torch.Generator, fresh: int) -> tuple[Tensor, Tensor]:
        """PAIRS pairs, the `fresh` newest and others, and their tokens (2 PAIRS, 384, h, w)."""
        older = len(self._pairs) - fresh
        order = torch.randperm(max(older, 1), generator=generator, device=generator.device)
        chosen = [*self._pairs[older:], *(self._pairs[n] for n in order[: PAIRS - fresh].tolist())]
        views, tokens = (torch.stack(parts).float() for parts in zip(*chosen, strict=True))
        return views, tokens.flatten(0, 1)

    def __len__(self) -> int:
        return len(self._pairs)


class Distillation:
    """A distillation under way; goes on from `out` / checkpoint.pt where there is one."""

    def __init__(self, out: Path, beginning: dict[str, Tensor], device: torch.device) -> None:
        """Begin with what fits of the parameters `beginning`.

        ConfigurationError where the checkpoint is damaged or another network's.
        """
        self.checkpoint = out / 'checkpoint.pt'
        self.net = DistilledTrunk()
        own = self.net.state_dict()
        self.net.load_state_dict(own | {n: t for n, t in beginning.items() if n in own})
        self.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = AveragedModel(
            self.net, multi_avg_fn=get_ema_multi_avg_fn(AVERAGING), use_buffers=True
        )
        self.optimiser = torch.optim.AdamW(_groups(self.net), weight_decay=WEIGHT_DECAY)
        self.steps, self.seconds = 0, 0.0
        if self.checkpoint.is_file():
            with opened_checkpoint(
                self.checkpoint,
                'checkpoint of this distillation',
                'remove it to begin anew',
                device,
            ) as state:
                self.net.load_state_dict(state['net'])
                self.average.load_state_dict(state['average'])
                self.optimiser.load_state_dict(state['optimiser'])
                self.steps, self.seconds = int(state['step']), float(state['seconds'])

    def learn(
        self, generator: torch.Generator, views: Tensor, tokens: Tensor, done: float
    ) -> dict[str, float]:
        """One step at the share `done` of the distillation; returns the losses by name."""
        rate = min((self.steps + 1) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * done))
        for group in self.optimiser.param_groups:
            group['lr'] = PEAK_RATE * group['share'] * max(rate, LEAST_RATE)
        crops = photographed(generator, views)
        self.net.train()
        self.net.trunk.body.eval()
        with torch.autocast(crops.device.type, torch.bfloat16):
            parts = losses(self.net, tokens, crops, generator)
        self.optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.net)
        self.steps += 1
        return {name: value.item() for name, value in parts.items()}

    @property
    def averaged(self) -> DistilledTrunk:
        """The network with averaged weights."""
        return cast(DistilledTrunk, self.average.module)

    def save(self, out: Path) -> None:
        """Write checkpoint.pt, and the averaged trunk in half precision: trunk.safetensors."""
        state = {
            'net': self.net.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'step': self.steps,
            'seconds': self.seconds,
        }
        partial = self.checkpoint.with_suffix('.partial')
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        halves = {
            name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in self.averaged.state_dict().items()
        }
        save_file(halves, out / 'trunk.safetensors')


def _groups(net: DistilledTrunk) -> list[dict[str, object]]:
    """The optimiser's groups: the body's first blocks, its others, and all that is new."""
    late = tuple(f'trunk.body.blocks.{n}.' for n in range(FIRST_LATE, len(net.trunk.body.blocks)))
    groups: dict[float, list[Tensor]] = {EARLY: [], LATE: [], 1.0: []}
    for name, parameter in net.named_parameters():
        in_body = LATE if name.startswith(late) else EARLY
        groups[in_body if name.startswith('trunk.body.') else 1.0].append(parameter)
    return [
        {'params': parameters, 'share': share, 'lr': PEAK_RATE}
        for share, parameters in groups.items()
    ]


def main(words: Sequence[str]) -> None:
    """Distil as the command line says."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.training distil',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--teacher', type=Path, required=True, help='vit_s_focus.onnx')
    parser.add_argument(
        '--data',
        type=Path,
        action='append',
        required=True,
        help='folder with photographs and videos at any depth; may be given several times',
    )
    parser.add_argument('--imagery', type=Path, help='folder to draw scenes with, too')
    parser.add_argument(
        '--begin',
        default='dmv',
        help='with what fits of the weights shipped with a tracker, of a weight file, or of the '
        'published checkpoint of EfficientNet-Lite0',
    )
    parser.add_argument('--minutes', type=float, default=26.0, help='in all, resumed ones included')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    parser.add_argument(
        '--probe', type=Path, help='folder of sequences with masks to measure likeness on'
    )
    parser.add_argument('--out', type=Path, default=Path('trunk-out'))
    given = parser.parse_args(words)
    if given.minutes <= 0:
        raise ConfigurationError(f'--minutes is {given.minutes:g}; it must be above 0.')
    device = find_device(given.device)
    teacher = load_teacher(given.teacher, device)
    views = Views(given.data)
    scenes = DrawnClips(read_imagery(given.imagery, device) if given.imagery else None)
    given.out.mkdir(parents=True, exist_ok=True)
    run = Distillation(given.out, begin_with(given.begin), device)
    if given.probe:
        print(f'before: {probe(run.net.eval().trunk, given.probe)}')
    _distil(run, Pool(teacher), views, scenes, given.minutes * 60, SEEDS + given.seed, given.out)
    if given.probe:
        print(f'after: {probe(run.averaged.eval().trunk, given.probe)}')


def _distil(
    run: Distillation,
    pool: Pool,
    views: Views,
    scenes: DrawnClips,
    seconds: float,
    seed: int,
    out: Path,
) -> None:
    """Go on until `seconds` are spent; writes what `Distillation.save` does, and log.jsonl."""
    device = next(run.net.parameters()).device
    generator = torch.Generator(device)
    saved = run.seconds

    def steps() -> Iterator[float]:
        while run.seconds < seconds:
            yield run.seconds

    with (out / 'log.jsonl').open('a') as log:
        for _ in track(steps(), 'distilling', total=None):
            started = time.monotonic()
            generator.manual_seed(seed + run.steps)
            fresh = FRESH if len(pool) else PAIRS
            new = (
                views.draw(generator, fresh, VIEW)
                if run.steps % DRAWN_EVERY
                else scenes.draw(generator, fresh, VIEW, 2, DRAWN_STRENGTH).crops
            )
            pool.add(new.round())
            pairs, tokens = pool.draw(generator, fresh)
            parts = run.learn(generator, pairs, tokens, run.seconds / seconds)
            run.seconds += time.monotonic() - started
            print(json.dumps({'step': run.steps, 'seconds': run.seconds, **parts}), file=log)
            if run.seconds - saved > CHECKPOINT_EVERY or run.seconds >= seconds:
                saved = run.seconds
                run.save(out)
