"""Plots of a run: success, precision and normalised precision, calibration, attributes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memtrack_ros.data.sequences import Sequence
from memtrack_ros.evaluation.calibration import Beliefs
from memtrack_ros.evaluation.metrics import (
    NORM_PRECISION_THRESHOLDS,
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    Scores,
    norm_precision_curve,
    precision_curve,
    success_curve,
)
from memtrack_ros.evaluation.passes import Pass

COLOURS = matplotlib.colormaps['tab10'].colors  # type: ignore[attr-defined]
DPI = 110

CURVES = {
    'success': (success_curve, SUCCESS_THRESHOLDS, 'success_auc', 'IoU above'),
    'precision': (precision_curve, PRECISION_THRESHOLDS, 'precision_20', 'centre error to, px'),
    'norm_precision': (
        norm_precision_curve,
        NORM_PRECISION_THRESHOLDS,
        'norm_precision',
        'centre error to, widths and heights of the target',
    ),
}


def draw(
    sequences: list[Sequence],
    passes: Mapping[str, Mapping[str, Pass]],
    summaries: Mapping[str, Scores],
    folder: Path,
) -> list[Path]:
    """Write a plot of each of the CURVES, means over the sequences; the best tracker is first."""
    paths = []
    for name, (curve, thresholds, key, label) in CURVES.items():
        figure, axes = _page(6.8, 4.0)
        for number, (tracker, summary) in enumerate(summaries.items()):
            curves = [curve(passes[tracker][s.name].boxes, s.truth) for s in sequences]
            height = np.nanmean(np.stack(curves), 0)
            axes.plot(thresholds, height, label=f'{tracker} {summary[key]:.3f}', **_line(number))
        axes.set(xlabel=label, ylabel='share of frames', ylim=(0, 1))
        axes.set_xlim(thresholds[0], thresholds[-1])
        _legend(figure, key)
        paths.append(_saved(figure, folder / f'{name}.png'))
    return paths


def draw_calibration(
    beliefs: Mapping[str, Beliefs], folder: Path, name: str = 'calibration.png'
) -> Path:
    """Write a plot of the share of hits over the confidence, a dot as large as its bin is full."""
    figure, axes = _page(6.8, 4.0)
    axes.plot([0, 1], [0, 1], color='grey', lw=1, ls=':')
    for number, (tracker, belief) in enumerate(beliefs.items()):
        confidence, hits, frames = belief.bins
        axes.plot(confidence, hits, label=f'{tracker} {belief.error:.3f}', **_line(number))
        axes.scatter(confidence, hits, 120 * frames / frames.sum(), color=_colour(number))
    axes.set(xlabel='confidence', ylabel='share with IoU of at least .5', ylim=(0, 1), xlim=(0, 1))
    _legend(figure, 'calibration error')
    return _saved(figure, folder / name)


def draw_attributes(
    attributes: Mapping[str, list[Sequence]],
    successes: Mapping[str, Mapping[str, float | None]],
    folder: Path,
) -> Path:
    """Write a plot of every tracker's mean success AUC over the sequences of each attribute."""
    figure, axes = _page(max(5.2, 0.3 * len(attributes) * len(successes)), 3.4)
    width = 0.8 / len(successes)
    places = np.arange(len(attributes))
    for number, (tracker, success) in enumerate(successes.items()):
        heights = np.array([success[name] for name in attributes], float)
        axes.bar(places + number * width, heights, width, color=_colour(number), label=tracker)
    names = [f'{name}\n{len(chosen)}' for name, chosen in attributes.items()]
    axes.set_xticks(places + 0.4 - width / 2, names, fontsize=8)
    axes.set(ylabel='success AUC', ylim=(0, 1))
    axes.legend(fontsize=8)
    return _saved(figure, folder / 'attributes.png')


def _page(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure((width, height), DPI, layout='constrained')
    axes = figure.add_subplot()
    axes.grid(alpha=0.3)
    return figure, axes


def _legend(figure: Figure, title: str) -> None:
    """Beside the curves: within, it would hide some of so many."""
    figure.legend(loc='outside right upper', title=title, fontsize=8, title_fontsize=8)


def _colour(number: int) -> tuple[float, float, float]:
    colour: tuple[float, float, float] = COLOURS[number % len(COLOURS)]
    return colour


def _line(number: int) -> dict[str, Any]:
    """How a curve is drawn; dashes tell apart what has the same colour."""
    return {'color': _colour(number), 'ls': ('-', '--', ':')[number // len(COLOURS) % 3]}


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
