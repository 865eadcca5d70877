"""The training loop: resumable at any moment, with a log and validation on fresh scenes."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import TextIO

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from memtrack_ros.trackers import create
from memtrack_ros.training import record
from memtrack_ros.training.calibrate import calibrate
from memtrack_ros.training.clips import ClipSource
from memtrack_ros.training.losses import corner_iou
from memtrack_ros.training.recipe import Recipe
from memtrack_ros.training.workers import Workers
from memtrack_ros.weights.files import Calibration, save_weights

PEAK_RATE = 1.5e-3
WEIGHT_DECAY = 0.02
LEAST_RATE = 1 / 200  # of the peak
WARM_UP = 100  # steps
AVERAGING = 0.998  # of the exported weights, over steps
CHECKPOINT_EVERY = 60.0  # seconds
VALIDATE_EVERY = 240.0
# Crops grow once the network knows what to look for: share of the training, crop side, clips per
# step.
STAGES = ((0.35, 128, 32), (1.0, 192, 16))
FULL_STRENGTH_AT = 0.25
BODY = 'trunk.body.'  # what the parameters of a given backbone's body begin with
# Training draws from seeds of ten million and more, validation from one million on, demonstrations
# from below.
TRAINING_SEEDS = 10_000_000
VALIDATION_SEEDS = 1_000_000
VALIDATION_BATCHES, VALIDATION_COUNT, VALIDATION_SIDE = 4, 16, 192


class Run:
    """A training under way: network, averaged network, optimiser, and how far they have come."""

    def __init__(
        self,
        tracker: str,
        recipe: Recipe,
        out: Path,
        beginning: dict[str, Tensor],
        device: torch.device,
        workers: Workers,
        rate: float = PEAK_RATE,
    ) -> None:
        """Go on from `out` / checkpoint.pt where there is one.

        Else begin with what fits of the parameters `beginning`. Modules that are all given are not
        trained where the recipe has them stand still.
        """
        self.tracker, self.recipe, self.rate, self.workers = tracker, recipe, rate, workers
        self.checkpoint = out / 'checkpoint.pt'
        self.weights = out / f'{tracker}-compact.safetensors'
        self.net = recipe.net().to(device)
        own = self.net.state_dict()
        given = {
            name: tensor
            for name, tensor in beginning.items()
            if name in own and own[name].shape == tensor.shape
        }
        self.net.load_state_dict(own | given)
        # What to go halfway back to; counters stay those of the training.
        whole = given if given.keys() == own.keys() else {}
        self.whole = {name: tensor for name, tensor in whole.items() if tensor.is_floating_point()}
        self.still = [
            name
            for name, module in self.net.named_modules()
            if name.startswith(recipe.still)
            and all(f'{name}.{part}' in given for part in module.state_dict())
        ]
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.net)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=rate, weight_decay=WEIGHT_DECAY
        )
        self.steps, self.seconds, self.clips = 0, 0.0, 0
        if self.checkpoint.is_file():
            state = torch.load(self.checkpoint, weights_only=True, map_location=device)
            self.net.load_state_dict(state['net'])
            self.average.load_state_dict(state['average'])
            self.optimiser.load_state_dict(state['optimiser'])
            self.steps, self.seconds = state['step'], state['seconds']
            self.clips, self.still, self.whole = state['clips'], state['still'], state['whole']

    def step(self, generator: torch.Generator, done: float, source: ClipSource) -> dict[str, float]:
        """One optimiser step at the share `done` of the training; returns the losses by name."""
        started = time.monotonic()
        side, count = next((side, count) for until, side, count in STAGES if done < until)
        strength = 0.3 + 0.7 * min(done / FULL_STRENGTH_AT, 1.0)
        recipe = self.recipe
        clips = source.draw(generator, count, side, recipe.memory, recipe.queries, strength)
        rate = min((self.steps + 1) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * done))
        for group in self.optimiser.param_groups:
            group['lr'] = self.rate * max(rate, LEAST_RATE)
        self.net.train()
        for name in self.still:
            self.net.get_submodule(name).eval().requires_grad_(False)
        with torch.autocast(generator.device.type, torch.bfloat16):
            parts = recipe.losses(self.net, clips.pointed_at(), generator)
        total = torch.stack(list(parts.values())).sum()
        self.optimiser.zero_grad()
        total.backward()
        self.workers.average_gradients(self.net)
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self._average()
        self.steps += 1
        self.clips += count * self.workers.count
        seconds = self.seconds + time.monotonic() - started
        self.seconds = self.workers.agree(seconds, generator.device)
        return {name: value.item() for name, value in parts.items()}

    def save(self, attribution: str) -> None:
        """Write the checkpoint and the averaged weights, not yet calibrated."""
        state = {
            'net': self.net.state_dict(),
            'average': self.average.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'step': self.steps,
            'seconds': self.seconds,
            'clips': self.clips,
            'still': self.still,
            'whole': self.whole,
        }
        partial = self.checkpoint.with_suffix('.partial')
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        self.export(Calibration(1.0, 0.0), attribution)

    def export(self, calibration: Calibration, attribution: str) -> None:
        """Write the averaged weights, in half precision."""
        halves = {
            name: tensor.half() if tensor.is_floating_point() else tensor
            for name, tensor in self.average.state_dict().items()
        }
        save_weights(self.weights, self.tracker, 'compact', halves, calibration, attribution)

    def go_halfway_back(self) -> None:
        """Average the averaged weights with those of a whole network that the training began with.

        Drawn scenes teach what real video does not ask for; the mean forgets less of what was known
        (Wortsman et al., *Robust fine-tuning of zero-shot models*, CVPR 2022, their alpha of 0.5).
        """
        self._move_average(self.whole, 0.5)

    def _average(self) -> None:
        """Move the averaged weights a little towards the trained ones."""
        decay = min(AVERAGING, (self.steps + 1) / (self.steps + 10))
        self._move_average(self.net.state_dict(), 1 - decay)

    @torch.no_grad()
    def _move_average(self, others: dict[str, Tensor], share: float) -> None:
        """Move the averaged weights a `share` of the way to `others`; counters are copied."""
        own = self.average.state_dict()
        for name, tensor in others.items():
            if tensor.is_floating_point():
                own[name].lerp_(tensor.to(own[name]), share)
            else:
                own[name].copy_(tensor)


def train(
    tracker: str,
    recipe: Recipe,
    out: Path,
    *,
    beginning: dict[str, Tensor],
    minutes: float,
    seed: int,
    rate: float,
    device: torch.device,
    source: ClipSource,
    scenes: ClipSource,
    attribution: str,
    command: str,
    workers: Workers,
) -> None:
    """Train compact `tracker` for `minutes` in all, going on from a checkpoint in `out`.

    It learns at `rate` at most. The clips are those of `source`, and for validation those of drawn
    `scenes`. A new training begins with what fits of the parameters `beginning`. Writes
    checkpoint.pt, log.jsonl and TRACKER-compact.safetensors every minute, so that a stop loses no
    more; in the end takes the weights halfway back to the `beginning`, if that was a whole network,
    calibrates them, and writes training.png and a model card, TRACKER-compact.md, that says with
    which `command` they were made.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    run = Run(tracker, recipe, out, beginning, device, workers, rate)
    generator = torch.Generator(device)
    saved = validated = run.seconds
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.percentage:.1f} %'),
        TimeRemainingColumn(),
    )
    first = workers.rank == 0
    log_path = out / 'log.jsonl' if first else Path(os.devnull)
    with Progress(*columns, disable=not first) as progress, log_path.open('a') as log:
        task = progress.add_task('training', total=minutes * 60)
        while (done := run.seconds / (minutes * 60)) < 1:
            number = run.steps * workers.count + workers.rank
            generator.manual_seed(TRAINING_SEEDS * seed + number)
            parts = run.step(generator, done, source)
            progress.update(
                task,
                completed=run.seconds,
                description=f'step {run.steps} loss {sum(parts.values()):.3f}',
            )
            if not first:
                continue
            if run.steps % 20 == 0:
                _write(log, run, parts)
            if run.seconds >= minutes * 60 or run.seconds - saved > CHECKPOINT_EVERY:
                saved = run.seconds
                run.save(attribution)
            if run.seconds - validated > VALIDATE_EVERY:
                validated = run.seconds
                _write(log, run, validate(recipe, run.average, scenes, device))
        if not first:
            return
        run.go_halfway_back()
        _write(log, run, validate(recipe, run.average, scenes, device))
        run.export(Calibration(1.0, 0.0), attribution)
        progress.update(task, completed=minutes * 60, description='calibrating')
        calibration = calibrate(create(tracker, 'compact', run.weights, device.type))
        run.export(calibration, attribution)
        _write(log, run, dataclasses.asdict(calibration))
    entries = record.read_log(log_path)
    record.plot(entries, out / 'training.png')
    card = record.card(entries, tracker=tracker, command=command, clips=run.clips, data=attribution)
    (out / f'{tracker}-compact.md').write_text(card)


@torch.inference_mode()
def validate(
    recipe: Recipe, net: nn.Module, scenes: ClipSource, device: torch.device
) -> dict[str, float]:
    """Scores on scenes no training drew.

    Mean IoU of the best cell's box and of the mask where the target is present; how often a
    present target scores above an absent one.
    """
    net.eval()
    generator = torch.Generator(device)
    box_overlap, mask_overlap, seen, unseen = [], [], [], []
    for batch in range(VALIDATION_BATCHES):
        generator.manual_seed(VALIDATION_SEEDS + batch)
        clips = scenes.draw(
            generator, VALIDATION_COUNT, VALIDATION_SIDE, recipe.memory, recipe.queries, 1.0
        )
        clips = clips.pointed_at()
        boxes, score, mask = recipe.answers(net, clips, generator)
        present = clips.present[:, recipe.memory :].flatten()
        truth = clips.boxes[:, recipe.memory :].flatten(0, 1)
        masks = clips.masks[:, recipe.memory :].flatten(0, 1)[:, ::2, ::2] > 0.5
        found = mask[:, 0] > 0
        both, either = (found & masks).sum((1, 2)), (found | masks).sum((1, 2))
        box_overlap.append(corner_iou(boxes, truth)[present])
        mask_overlap.append((both / either.clamp_min(1))[present])
        seen.append(score[present])
        unseen.append(score[~present])
    told_apart = (torch.cat(seen)[:, None] > torch.cat(unseen)).float()
    return {
        'valid_box_iou': float(torch.cat(box_overlap).mean()),
        'valid_mask_iou': float(torch.cat(mask_overlap).mean()),
        'valid_presence_auc': float(told_apart.mean()),
    }


def _write(log: TextIO, run: Run, entry: dict[str, float]) -> None:
    print(json.dumps({'step': run.steps, 'seconds': run.seconds, **entry}), file=log, flush=True)
