"""The training of a published network: by steps, resumable bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.training.clips import ClipSource
from memtrack_ros.training.learning import fitting, progress_bar
from memtrack_ros.training.paper_recipes import PaperRecipe
from memtrack_ros.training.workers import Workers
from memtrack_ros.weights.checkpoints import opened_checkpoint, write_checkpoint
from memtrack_ros.weights.files import Calibration, save_weights

SAVE_EVERY = 100  # steps
SEEDS = 10_000_000  # as many as steps of no training


class PaperRun:
    """A training under way; `steps` is how many there will have been in the end."""

    def __init__(
        self,
        recipe: PaperRecipe,
        out: Path,
        beginning: Mapping[str, Tensor],
        *,
        steps: int,
        seed: int,
        device: torch.device,
        workers: Workers,
    ) -> None:
        """Go on from `out` / checkpoint.pt where there is one; else with what fits of `beginning`.

        ConfigurationError where the checkpoint is damaged or another training's.
        """
        if steps < 1:
            raise ConfigurationError(f'--steps is {steps}; it must be at least 1.')
        self.recipe, self.total, self.seed = recipe, steps, seed
        self.device, self.workers = device, workers
        self.checkpoint, self.step = out / 'checkpoint.pt', 0
        torch.manual_seed(seed)
        self.net = recipe.net()
        own = self.net.state_dict()
        self.net.load_state_dict(own | fitting(own, beginning))
        self.net.to(device)
        self.names = [name for name, _ in self.net.named_parameters()]
        self.optimiser = recipe.optimiser(
            {'params': [parameter]} for _, parameter in self.net.named_parameters()
        )
        if self.checkpoint.is_file():
            with opened_checkpoint(
                self.checkpoint, 'checkpoint of this training', 'remove it to begin anew', device
            ) as state:
                self.net.load_state_dict(state['net'])
                self.optimiser.load_state_dict(state['optimiser'])
                self.step = int(state['step'])

    def learn(self, source: ClipSource, batch: int) -> dict[str, float]:
        """One step on `batch` clips; the losses by name. Its number alone decides what it does."""
        done = self.step / self.total
        number = SEEDS * self.seed + self.step * self.workers.count + self.workers.rank
        generator = torch.Generator(self.device).manual_seed(number)
        torch.manual_seed(number)
        rate = self.recipe.rate(self.step, self.total)
        parameters = list(self.net.parameters())
        for name, parameter, group in zip(
            self.names, parameters, self.optimiser.param_groups, strict=True
        ):
            group['lr'] = rate * self.recipe.share(name, done)
            parameter.requires_grad_(group['lr'] > 0)
        self.net.train()
        clips = source.draw(
            generator, batch, self.recipe.side, self.recipe.length(done), 1.0
        ).pointed_at()
        losses = self.recipe.losses(self.net, clips, done, generator)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        self.workers.average_gradients(self.net)
        if self.recipe.clip is not None:
            nn.utils.clip_grad_norm_(parameters, self.recipe.clip)
        self.optimiser.step()
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def save(self) -> None:
        """Write the checkpoint; replaces the one before in one step."""
        state = {
            'net': self.net.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'step': self.step,
        }
        write_checkpoint(self.checkpoint, state)


def train(
    tracker: str,
    recipe: PaperRecipe,
    out: Path,
    *,
    beginning: Mapping[str, Tensor],
    source: ClipSource,
    steps: int,
    batch: int,
    seed: int,
    device: torch.device,
    attribution: str,
    workers: Workers,
) -> None:
    """Train the published network of a tracker up to so many steps of `batch` clips.

    Writes `out` / checkpoint.pt, log.jsonl and TRACKER-paper.safetensors every SAVE_EVERY steps and
    in the end; goes on from there.
    """
    out.mkdir(parents=True, exist_ok=True)
    run = PaperRun(recipe, out, beginning, steps=steps, seed=seed, device=device, workers=workers)
    first = workers.rank == 0
    log_path = out / 'log.jsonl' if first else Path(os.devnull)
    with progress_bar(shown=first) as progress, log_path.open('a') as log:
        task = progress.add_task(tracker, total=steps, completed=run.step)
        while run.step < steps:
            losses = run.learn(source, batch)
            said = f'step {run.step} loss {sum(losses.values()):.3f}'
            progress.update(task, completed=run.step, description=said)
            print(json.dumps({'step': run.step, **losses}), file=log, flush=True)
            if first and (run.step % SAVE_EVERY == 0 or run.step == steps):
                run.save()
                # No truth to calibrate on: confidence is the score itself.
                save_weights(
                    out / f'{tracker}-paper.safetensors',
                    tracker,
                    'paper',
                    run.net.state_dict(),
                    Calibration(1.0, 0.0),
                    attribution,
                )
