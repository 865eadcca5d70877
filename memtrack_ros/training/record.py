"""What a training leaves for people: a plot of its course and the model card of its weights."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

LOSSES = ('classification', 'centreness', 'centre', 'box', 'mask')
SCORES = ('valid_box_iou', 'valid_mask_iou', 'valid_presence_auc')
SMOOTHED = 0.05  # share of the points that a drawn loss is the mean of

Entries = list[dict[str, float]]


def read_log(path: Path) -> Entries:
    """The entries of a log.jsonl."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def plot(entries: Entries, path: Path) -> None:
    """Draw losses and validation scores over the minutes of a training as a PNG."""
    figure = Figure((8, 3.2), 110, layout='constrained')
    left, right = figure.subplots(1, 2)
    for axes, names, label in ((left, LOSSES, 'loss'), (right, SCORES, 'on unseen scenes')):
        for name in names:
            points = [(entry['seconds'] / 60, entry[name]) for entry in entries if name in entry]
            if not points:
                continue
            minutes, values = np.array(points).T
            width = max(1, round(SMOOTHED * len(values))) if axes is left else 1
            smooth = np.convolve(values, np.full(width, 1 / width), 'valid')
            axes.plot(minutes[width - 1 :], smooth, label=name.removeprefix('valid_'))
        axes.set(xlabel='minutes', ylabel=label)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    left.set_yscale('log')
    figure.savefig(path)


def card(entries: Entries, *, tracker: str, command: str, clips: int, data: str) -> str:
    """The model card in Markdown: how the weights came to be, so that anyone can repeat it.

    `clips` were drawn in all, of `data`.
    """
    last = entries[-1]
    scores = {name: entry[name] for entry in entries for name in SCORES if name in entry}
    rows = {
        'command': f'`{command}`',
        'data': data,
        'machine': machine(),
        'time': f'{last["seconds"] / 60:.0f} min, {last["step"]:.0f} steps, {clips} clips',
        'on unseen drawn scenes': ', '.join(
            f'{name.removeprefix("valid_").replace("_", " ")} {value:.3f}'
            for name, value in scores.items()
        ),
        'confidence': f'Platt scaling on drawn scenes, slope {last["slope"]:.2f}, '
        f'intercept {last["intercept"]:.2f}',
    }
    lines = [f'## {tracker}-compact', '', '| | |', '|---|---|']
    return '\n'.join([*lines, *(f'| {key} | {value} |' for key, value in rows.items())]) + '\n'


def machine() -> str:
    """What trains here, in words."""
    if torch.cuda.is_available():
        return f'{torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    return f'{os.cpu_count()} cores, {processor()}, no GPU'


def processor() -> str:
    """The processor's name."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(': ', 1)[1] for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()
