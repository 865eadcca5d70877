"""The training loop: resumable at any moment, with a log and validation on fresh scenes."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from memtrack_ros.nets.stmtrack import CompactSTMTrack
from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.training import stmtrack as recipe
from memtrack_ros.training.clips import draw_clips
from memtrack_ros.training.losses import corner_iou
from memtrack_ros.weights.files import Calibration, save_weights

PEAK_RATE = 1.5e-3
WEIGHT_DECAY = 0.02
WARM_UP = 300  # steps
AVERAGING = 0.998  # of the exported weights, over steps
CHECKPOINT_EVERY = 60.0  # seconds
VALIDATE_EVERY = 240.0
# Crops grow once the network knows what to look for: share of the training, crop side, clips per
# step.
STAGES = ((0.35, 128, 32), (1.0, 192, 16))
FULL_STRENGTH_AT = 0.25
# Training draws from seeds of ten million and more, validation from one million on, demonstrations
# from below.
TRAINING_SEEDS = 10_000_000
VALIDATION_SEEDS = 1_000_000
VALIDATION_BATCHES, VALIDATION_COUNT, VALIDATION_SIDE = 4, 16, 192


@dataclass
class Progressed:
    """How far a training has come: optimiser steps and seconds spent training."""

    step: int = 0
    seconds: float = 0.0


def train(
    out: Path,
    *,
    minutes: float,
    seed: int,
    device: torch.device,
    imagery: Imagery | None,
    attribution: str,
) -> None:
    """Train compact STMTrack for `minutes` in all, going on from a checkpoint in `out`.

    Writes checkpoint.pt, log.jsonl and stmtrack-compact.safetensors (averaged weights) there.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    net = CompactSTMTrack().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    progressed = _resume(out / 'checkpoint.pt', net, average, optimiser)
    generator = torch.Generator(device)
    saved = validated = progressed.seconds
    columns = (
        TextColumn('{task.description}'),
        BarColumn(),
        TextColumn('{task.percentage:.1f} %'),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, (out / 'log.jsonl').open('a') as log:
        task = progress.add_task('training', total=minutes * 60)
        progress.update(task, completed=progressed.seconds)
        while progressed.seconds < minutes * 60:
            started = time.monotonic()
            done = progressed.seconds / (minutes * 60)
            generator.manual_seed(TRAINING_SEEDS * seed + progressed.step)
            parts = _step(net, average, optimiser, generator, done, progressed.step, imagery)
            progressed.step += 1
            progressed.seconds += time.monotonic() - started
            progress.update(
                task,
                completed=progressed.seconds,
                description=f'step {progressed.step} loss {sum(parts.values()):.3f}',
            )
            if progressed.step % 20 == 0:
                _write(log, step=progressed.step, seconds=progressed.seconds, **parts)
            finished = progressed.seconds >= minutes * 60
            if finished or progressed.seconds - saved > CHECKPOINT_EVERY:
                saved = progressed.seconds
                _save(out, net, average, optimiser, progressed, attribution)
            if finished or progressed.seconds - validated > VALIDATE_EVERY:
                validated = progressed.seconds
                _write(
                    log,
                    step=progressed.step,
                    seconds=progressed.seconds,
                    **validate(average, imagery, device),
                )


def _step(
    net: CompactSTMTrack,
    average: CompactSTMTrack,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    done: float,
    step: int,
    imagery: Imagery | None,
) -> dict[str, float]:
    """One optimiser step at the share `done` of the training; returns the losses by name."""
    side, count = next((side, count) for until, side, count in STAGES if done < until)
    strength = 0.3 + 0.7 * min(done / FULL_STRENGTH_AT, 1.0)
    clips = draw_clips(generator, count, side, recipe.MEMORY, recipe.QUERIES, strength, imagery)
    rate = PEAK_RATE * min((step + 1) / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * done))
    for group in optimiser.param_groups:
        group['lr'] = max(rate, PEAK_RATE / 200)
    net.train()
    with torch.autocast(generator.device.type, torch.bfloat16):
        parts = recipe.losses(net, clips, generator)
    total = torch.stack(list(parts.values())).sum()
    optimiser.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 5.0)
    optimiser.step()
    _follow(average, net, min(AVERAGING, (step + 1) / (step + 10)))
    return {name: value.item() for name, value in parts.items()}


@torch.no_grad()
def _follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the averaged weights a little towards the trained ones; counters are copied."""
    own = average.state_dict()
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            own[name].lerp_(tensor, 1 - decay)
        else:
            own[name].copy_(tensor)


@torch.inference_mode()
def validate(
    net: CompactSTMTrack, imagery: Imagery | None, device: torch.device
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
        clips = draw_clips(
            generator,
            VALIDATION_COUNT,
            VALIDATION_SIDE,
            recipe.MEMORY,
            recipe.QUERIES,
            1.0,
            imagery,
        )
        clips = clips.pointed_at()
        answer = recipe.answer_clips(net, clips, generator)
        boxes, score = recipe.best_boxes(answer.maps)
        present = clips.present[:, recipe.MEMORY :].flatten()
        truth = clips.boxes[:, recipe.MEMORY :].flatten(0, 1)
        masks = clips.masks[:, recipe.MEMORY :].flatten(0, 1)[:, ::2, ::2] > 0.5
        assert answer.mask is not None
        found = answer.mask[:, 0] > 0
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


def _resume(
    path: Path, net: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> Progressed:
    if not path.is_file():
        return Progressed()
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state['net'])
    average.load_state_dict(state['average'])
    optimiser.load_state_dict(state['optimiser'])
    return Progressed(state['step'], state['seconds'])


def _save(
    out: Path,
    net: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    progressed: Progressed,
    attribution: str,
) -> None:
    state = {
        'net': net.state_dict(),
        'average': average.state_dict(),
        'optimiser': optimiser.state_dict(),
        'step': progressed.step,
        'seconds': progressed.seconds,
    }
    partial = out / 'checkpoint.partial'
    torch.save(state, partial)
    partial.replace(out / 'checkpoint.pt')
    tensors = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in average.state_dict().items()
    }
    save_weights(
        out / 'stmtrack-compact.safetensors',
        'stmtrack',
        'compact',
        tensors,
        Calibration(1.0, 0.0),
        attribution,
    )


def _write(log: TextIO, **entry: float) -> None:
    print(json.dumps(entry), file=log, flush=True)
