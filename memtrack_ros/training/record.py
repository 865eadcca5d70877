"""What a training leaves for people: a plot of its course and the model cards of its weights."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

LOSSES = ('classification', 'centreness', 'centre', 'box', 'mask')
SCORES = ('box_iou', 'mask_iou', 'presence_auc')
SOURCES = {'drawn': '-o', 'real': '--s'}  # of clips to validate with, and how they are plotted
SMOOTHED = 0.05  # share of the points that a plotted loss is the mean of

Entries = list[dict[str, float]]


def read_log(path: Path) -> Entries:
    """The entries of a log.jsonl."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def of(entries: Entries, tracker: str) -> Entries:
    """What the entries say of a tracker, its name left out of the names."""
    mark = f'{tracker}_'
    return [
        {'step': entry['step'], 'seconds': entry['seconds']}
        | {name.removeprefix(mark): entry[name] for name in entry if name.startswith(mark)}
        for entry in entries
    ]


def plot(entries: Entries, trackers: Sequence[str], path: Path) -> None:
    """Draw the trackers' losses, summed up, and their scores over the minutes as a PNG."""
    figure = Figure((13, 3.4), 110, layout='constrained')
    losses, *panels = figure.subplots(1, 1 + len(SCORES))
    losses.set(title='loss', yscale='log')
    for number, tracker in enumerate(trackers):
        own, colour = of(entries, tracker), f'C{number}'
        minutes, values = curve(own, LOSSES)
        width = max(1, round(SMOOTHED * len(values)))
        smooth = np.convolve(values, np.full(width, 1 / width), 'valid') if len(values) else values
        losses.plot(minutes[width - 1 :], smooth, color=colour, label=tracker)
        for panel, score in zip(panels, SCORES, strict=True):
            for source, line in SOURCES.items():
                panel.plot(*curve(own, [f'{source}_{score}']), line, color=colour, ms=3)
    for panel, score in zip(panels, SCORES, strict=True):
        panel.set(title=f'{score.replace("_", " ")} on unseen clips')
    for source, line in SOURCES.items():
        panels[0].plot([], [], line, color='gray', ms=3, label=source)
    for panel in (losses, *panels):
        panel.set(xlabel='minutes')
        panel.grid(alpha=0.3)
    for panel in (losses, panels[0]):
        panel.legend(fontsize=8)
    figure.savefig(path)


def curve(entries: Entries, names: Sequence[str]) -> NDArray[np.float64]:
    """Minutes (n,) and sums (n,) of what `names` are in the n entries that have any of them."""
    points = [
        (entry['seconds'] / 60, sum(entry[name] for name in names if name in entry))
        for entry in entries
        if not entry.keys().isdisjoint(names)
    ]
    return np.array(points, float).reshape(-1, 2).T


def card(entries: Entries, *, tracker: str, command: str, clips: int, data: str) -> str:
    """The model card in Markdown: how the weights came to be, so that anyone can repeat it.

    `clips` were drawn in all, of `data`.
    """
    own = of(entries, tracker)
    found = {name: value for entry in own for name, value in entry.items()}
    rows = {
        'command': f'`{command}`',
        'data': data,
        'machine': machine(),
        'time': f'{found["seconds"] / 60:.0f} min, {found["step"]:.0f} steps, {clips} clips',
    }
    for source in SOURCES:
        scores = [
            f'{score.replace("_", " ")} {found[name]:.3f}'
            for score in SCORES
            if (name := f'{source}_{score}') in found
        ]
        if scores:
            rows[f'on unseen {source} clips'] = ', '.join(scores)
    rows['confidence'] = (
        f'Platt scaling on drawn scenes, slope {found["slope"]:.2f}, '
        f'intercept {found["intercept"]:.2f}'
    )
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
