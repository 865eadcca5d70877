"""The training loop: resumable at any moment, with a log and validation on fresh clips.

Trackers that stand on one trunk are trained together: it sees every clip once.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from memtrack_ros.nets.compact import CompactTrunk
from memtrack_ros.trackers import create
from memtrack_ros.training import record
from memtrack_ros.training.calibrate import calibrate
from memtrack_ros.training.clips import Clips, ClipSource
from memtrack_ros.training.learning import Learning, fitting, in_halves, progress_bar, seconds_of
from memtrack_ros.training.losses import corner_iou
from memtrack_ros.training.recipe import Recipe, Seen
from memtrack_ros.training.workers import Workers
from memtrack_ros.weights.files import Calibration, save_weights

FRAMES, LEAST_FRAMES = 8, 2  # of a clip
PEAK_RATE = 1e-3
WARM_UP = 50  # steps
VALIDATE_EVERY = 1200.0
BATCH = 8  # clips per step
# Crops grow once the networks know what to look for: share of the training, crop side, and which
# share of the clips a step then has.
STAGES = ((0.6, 128, 1.0), (1.0, 192, 0.75))
FULL_STRENGTH_AT = 0.25
LABEL = 'trunk.label.'  # what those parameters of the trunk begin with that are a tracker's own
# Training draws from seeds of ten million and more, validation from one million on, demonstrations
# from below.
TRAINING_SEEDS = 10_000_000
VALIDATION_SEEDS = 1_000_000
VALIDATION_BATCHES, VALIDATION_COUNT, VALIDATION_SIDE = 3, 8, 192


class Sources(NamedTuple):
    """Where clips come from: those to learn from, and by name those to validate with."""

    training: ClipSource
    validation: Mapping[str, ClipSource]


class Run(Learning):
    """A training of several trackers under way. They share a trunk, which may stand still."""

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
        out: Path,
        beginning: Mapping[str, Mapping[str, Tensor]],
        device: torch.device,
        workers: Workers,
        rate: float = PEAK_RATE,
        trunk_rate: float = 0.0,
        batch: int = BATCH,
        frames: int = FRAMES,
    ) -> None:
        """Go on from `out` / checkpoint.pt where there is one.

        Else each tracker begins with what fits of the parameters that `beginning` has for it. All
        have the first one's trunk, which learns at the share `trunk_rate` of the rate; what its
        normalisations know of features stays. ConfigurationError where the checkpoint is damaged
        or another training's.
        """
        self.recipes, self.workers, self.device = recipes, workers, device
        self.batch, self.frames = batch, frames
        self.nets = nn.ModuleDict({name: recipe.net() for name, recipe in recipes.items()})
        first = trunk_of(next(iter(self.nets.values())))
        for name, net in self.nets.items():
            own = net.state_dict()
            net.load_state_dict(own | fitting(own, beginning.get(name, {})))
            trunk_of(net).stand_on(first)
        self._trunk = [p for part in first.common().values() for p in part.parameters()]
        for parameter in self._trunk:
            parameter.requires_grad_(trunk_rate > 0)
        self._own = [[*own_parameters(net).values()] for net in self.nets.values()]
        groups = {1.0: [p for own in self._own for p in own]}
        if trunk_rate > 0:
            groups[trunk_rate] = [*groups.get(trunk_rate, []), *self._trunk]
        super().__init__(self.nets, groups, out, device, rate=rate, warm_up=WARM_UP)

    def draw(self, generator: torch.Generator, done: float, source: ClipSource) -> Clips:
        """The clips of a step at the share `done` of the training."""
        side, share = next((side, share) for until, side, share in STAGES if done <= until)
        count = max(1, round(share * self.batch))
        strength = 0.3 + 0.7 * min(done / FULL_STRENGTH_AT, 1.0)
        return source.draw(generator, count, side, self.frames, strength).pointed_at()

    def step(self, generator: torch.Generator, done: float, clips: Clips) -> dict[str, float]:
        """One optimiser step at the share `done` of the training; returns the losses by name."""
        self.set_rate(done)
        self.nets.train()
        for net in self.nets.values():
            trunk_of(net).eval()
        self.optimiser.zero_grad()
        parts = {}
        with torch.autocast(generator.device.type, torch.bfloat16):
            seen = see(self.nets, clips)
            for name, recipe in self.recipes.items():
                answer = recipe.ask(self.nets[name], clips, seen, generator)
                losses = recipe.losses(self.nets[name], answer, clips)
                parts.update({f'{name}_{part}': value for part, value in losses.items()})
        torch.stack(list(parts.values())).sum().backward()
        self.workers.average_gradients(self.nets)
        for parameters in (*self._own, self._trunk):
            nn.utils.clip_grad_norm_(parameters, 5.0)
        self.update(len(clips.crops) * self.workers.count)
        return {part: value.item() for part, value in parts.items()}

    def pass_time(self, seconds: float) -> None:
        """So much longer it took, by the clock of the process that measures."""
        self.seconds = self.workers.agree(self.seconds + seconds, self.device)

    @property
    def averaged(self) -> nn.ModuleDict:
        """The networks with averaged weights."""
        return cast(nn.ModuleDict, self.average.module)

    def weights(self, tracker: str) -> Path:
        """Where the averaged weights of a tracker are written."""
        return self.out / f'{tracker}-compact.safetensors'

    def export(self, tracker: str, calibration: Calibration, attribution: str) -> None:
        """Write the averaged weights of a tracker, in half precision."""
        halves = in_halves(self.averaged[tracker].state_dict())
        save_weights(self.weights(tracker), tracker, 'compact', halves, calibration, attribution)


def trunk_of(net: nn.Module) -> CompactTrunk:
    """The trunk that a compact network stands on."""
    return cast(CompactTrunk, net.trunk)


def own_parameters(net: nn.Module) -> dict[str, nn.Parameter]:
    """A network's parameters but those of the trunk that all stand on."""
    common = {p for part in trunk_of(net).common().values() for p in part.parameters()}
    return {name: p for name, p in net.named_parameters() if p not in common}


def see(nets: nn.ModuleDict, clips: Clips) -> Seen:
    """What the trunk that all `nets` have makes of clips."""
    return Seen.by(trunk_of(next(iter(nets.values()))), clips.crops)


def train(
    recipes: Mapping[str, Recipe],
    out: Path,
    *,
    beginning: Mapping[str, Mapping[str, Tensor]],
    minutes: float,
    seed: int,
    rate: float,
    trunk_rate: float = 0.0,
    batch: int = BATCH,
    frames: int = FRAMES,
    device: torch.device,
    sources: Sources,
    attribution: str,
    command: str,
    workers: Workers,
) -> None:
    """Train compact trackers for `minutes` in all, going on from a checkpoint in `out`.

    They learn at `rate` at most, their trunk at the share `trunk_rate` of it, of `batch` clips of
    so many `frames` a step. A new training begins with what fits of the parameters that
    `beginning` has for each.
    Writes checkpoint.pt, log.jsonl and for each TRACKER-compact.safetensors every minute, so that
    a stop loses no more; in the end calibrates the weights, and writes training.png and model
    cards, TRACKER-compact.md, that say with which `command` they were made.
    """
    length = seconds_of(minutes)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    run = Run(recipes, out, beginning, device, workers, rate, trunk_rate, batch, frames)
    validated = run.seconds
    first = workers.rank == 0

    def done() -> float:
        """The share of the training that is over."""
        return min(run.seconds / length, 1.0)

    def draw(step: int) -> tuple[torch.Generator, Clips]:
        """The clips of a step, and what the rest of its chance is drawn with."""
        number = step * workers.count + workers.rank
        generator = torch.Generator(device).manual_seed(TRAINING_SEEDS * seed + number)
        return generator, run.draw(generator, done(), sources.training)

    log_path = out / 'log.jsonl' if first else Path(os.devnull)
    with (
        progress_bar(shown=first) as progress,
        log_path.open('a') as log,
        ThreadPoolExecutor(1) as ahead,  # clips are drawn while those before are learned from
    ):
        task = progress.add_task('training', total=length)
        drawn = ahead.submit(draw, run.steps)
        while run.seconds < length:
            started = time.monotonic()
            generator, clips = drawn.result()
            drawn = ahead.submit(draw, run.steps + 1)
            parts = run.step(generator, done(), clips)
            run.pass_time(time.monotonic() - started)
            said = f'step {run.steps} loss {sum(parts.values()):.3f}'
            progress.update(task, completed=run.seconds, description=said)
            if not first:
                continue
            if run.steps % 10 == 0:
                run.write(log, parts)
            if run.due(length):
                run.save()
                for name in recipes:
                    run.export(name, Calibration(1.0, 0.0), attribution)
            if run.seconds - validated > VALIDATE_EVERY:
                validated = run.seconds
                run.write(log, validate(run, sources.validation, device))
        if not first:
            return
        run.write(log, validate(run, sources.validation, device))
        for name in recipes:
            progress.update(task, completed=length, description=f'calibrating {name}')
            run.export(name, Calibration(1.0, 0.0), attribution)
            calibration = calibrate(create(name, 'compact', run.weights(name), device.type))
            run.export(name, calibration, attribution)
            fitted = dataclasses.asdict(calibration)
            run.write(log, {f'{name}_{part}': value for part, value in fitted.items()})
    entries = record.read_log(log_path)
    record.plot(entries, list(recipes), out / 'training.png')
    for name in recipes:
        card = record.card(
            entries, tracker=name, command=command, clips=run.clips, data=attribution
        )
        (out / f'{name}-compact.md').write_text(card)


@torch.inference_mode()
def validate(run: Run, sources: Mapping[str, ClipSource], device: torch.device) -> dict[str, float]:
    """Scores of all trackers on clips no training drew, by tracker, source and what is scored.

    Mean IoU of the best cell's box and of the mask where the target is present; how often a
    present target scores above an absent one.
    """
    nets = run.averaged
    nets.eval()
    generator = torch.Generator(device)
    scores: dict[str, list[dict[str, Tensor]]] = {}
    for kind, source in sources.items():
        for batch in range(VALIDATION_BATCHES):
            generator.manual_seed(VALIDATION_SEEDS + batch)
            clips = source.draw(generator, VALIDATION_COUNT, VALIDATION_SIDE, run.frames, 1.0)
            clips = clips.pointed_at()
            seen = see(nets, clips)
            for name, recipe in run.recipes.items():
                answers = recipe.answers(recipe.ask(nets[name], clips, seen, generator))
                scores.setdefault(f'{name}_{kind}', []).append(_scores(clips, *answers))
    means = {}
    for title, batches in scores.items():
        of = {part: torch.cat([batch[part] for batch in batches]) for part in batches[0]}
        present = of['present']
        told_apart = of['score'][present][:, None] > of['score'][~present]
        means[f'{title}_box_iou'] = float(of['box'][present].mean())
        means[f'{title}_mask_iou'] = float(of['mask'][present].mean())
        means[f'{title}_presence_auc'] = float(told_apart.float().mean())
    return means


def _scores(clips: Clips, boxes: Tensor, score: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Of every answer: overlap of box and mask, score, and whether the target is present, (N,)."""
    masks = clips.masks[:, 1:].flatten(0, 1)[:, ::2, ::2] > 0.5
    found = mask[:, 0] > 0
    both, either = (found & masks).sum((1, 2)), (found | masks).sum((1, 2))
    return {
        'box': corner_iou(boxes, clips.boxes[:, 1:].flatten(0, 1)),
        'mask': both / either.clamp_min(1),
        'score': score,
        'present': clips.present[:, 1:].flatten(),
    }
