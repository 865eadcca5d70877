"""The correlation filter: learned from first samples, kept up to date, used to find the target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.evaluation.parity.reference import EXACT, OPTIMISED, Check, Reference, check
from memtrack_ros.memory import FilterSamples
from memtrack_ros.nets.correlation_filter import (
    fit_filter,
    fit_jointly,
    gaussian_labels,
    loss,
    principal_components,
    project,
    respond,
    upsampled,
    windowed,
)
from memtrack_ros.trackers.target_filter import PAPER_FILTER, REGULARISATION


@torch.inference_mode()
def checks(reference: Reference) -> Iterator[Check]:
    """All arrays of dcf_ref, each from what ours computed before it."""
    arrays = reference.arrays('dcf_ref')
    x, new_x, test_x = (torch.from_numpy(arrays[key]).float() for key in ('x', 'new_x', 'test_x'))
    count, _, height, width = x.shape
    kernel = arrays['filt_init_opt'].shape[-1]
    sigma = float(arrays['sigma'][0])

    def labels(shifts: NDArray[np.float32]) -> Tensor:
        """For shifts (N, 2) in cells, rows first as the authors have them."""
        offsets = torch.from_numpy(shifts[:, ::-1].copy())
        return gaussian_labels(offsets, sigma, height, width, kernel)

    y = labels(arrays['shifts'])
    yield check('y', y[:, None], arrays['y'])

    axes = principal_components(x, len(arrays['proj_init']))
    theirs = torch.from_numpy(arrays['proj_init']).flatten(1)
    # Which way along an axis is up depends on the library that finds it.
    projection = axes * (axes * theirs).sum(1, keepdim=True).sign()
    yield check('proj_init', projection[..., None, None], arrays['proj_init'])
    filt = torch.zeros(arrays['filt_init_opt'].shape[1:])
    weights = x.new_full((count,), 1 / count)
    before = loss(x, y, weights, projection, filt, REGULARISATION)
    projection, filt = fit_jointly(
        x,
        y,
        weights,
        projection,
        filt,
        reg=REGULARISATION,
        steps=PAPER_FILTER.steps,
        iterations=PAPER_FILTER.step_iterations,
    )
    after = loss(x, y, weights, projection, filt, REGULARISATION)
    yield check('proj', projection[..., None, None], arrays['proj'], OPTIMISED)
    yield check('filt_init_opt', filt[None], arrays['filt_init_opt'], OPTIMISED)
    yield check('loss', torch.stack([before, after]), arrays['loss'])

    bank = FilterSamples(
        len(arrays['weights']),
        len(projection),
        height,
        learning_rate=PAPER_FILTER.learning_rate,
        max_bytes=2**30,
        device=torch.device('cpu'),
    )
    bank.begin(project(x, projection), y)
    slots = []
    for sample, slot in zip(project(new_x, projection), arrays['replace'], strict=True):
        # Where the target stood is not stored apart: it is read off the label.
        shift = _peak(arrays['labels_mem'][slot, 0]) - 0.5 * ((kernel + 1) % 2)
        bank.write(sample, labels(shift[None])[0])
        slots.append(bank.newest)
    yield check('replace', slots, arrays['replace'], EXACT)
    yield check('weights', bank.weights, arrays['weights'])
    yield check('labels_mem', bank.labels[:, None], arrays['labels_mem'])

    filt = fit_filter(
        bank.features,
        bank.labels,
        bank.weights,
        filt,
        reg=REGULARISATION,
        iterations=PAPER_FILTER.iterations,
    )
    yield check('filt_online', filt[None], arrays['filt_online'], OPTIMISED)
    score = respond(project(test_x, projection), filt)
    fine = upsampled(score[0], kernel, arrays['score_up'].shape[-1])
    found = windowed(fine, central=True)
    peak = np.unravel_index(int(found.argmax()), found.shape)
    yield check('score', score[None], arrays['score'], OPTIMISED)
    yield check('score_up', fine[None, None], arrays['score_up'], OPTIMISED)
    yield check('score_win', found[None, None], arrays['score_win'], OPTIMISED)
    yield check('peak', peak, arrays['peak'], EXACT)
    yield from arrays.skipped()


def _peak(label: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row and column (2,), from the middle, of the top of a Gaussian (h, w)."""
    top = np.unravel_index(int(label.argmax()), label.shape)
    place = []
    for axis, size in enumerate(label.shape):
        # The logarithm is a parabola: three values next to the top give its middle.
        at = min(max(int(top[axis]), 1), size - 2)
        line = np.log(np.take(label, top[1 - axis], 1 - axis)[at - 1 : at + 2].astype(float))
        bend = line[0] - 2 * line[1] + line[2]
        place.append(at + (line[0] - line[2]) / (2 * bend) - (size - 1) / 2)
    return np.array(place, np.float32)
