"""MemTrack's loop: what it makes of recorded responses, and the crops it shows the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from memtrack_ros.evaluation.parity.reference import Arrays, Check, Reference, apart, check
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.nets.memtrack import PaperMemTrack, Signals, TemplateMemory
from memtrack_ros.session import Prompt
from memtrack_ros.session.prompts import resolve
from memtrack_ros.trackers import Prior
from memtrack_ros.trackers.memtrack import (
    SCALES,
    SEARCH_SIDE,
    TEMPLATE_SIDE,
    PaperMemTracker,
    finer,
    padding_around,
    search_extents,
    square_crops,
    template_extent,
)
from memtrack_ros.weights.files import Calibration

PIXELS, LEVEL = 1e-3, 1e-3  # of places; of values in 0..1
CLEAR = 1e-4  # lead of the best cell below which one cell more or less is right
CPU = torch.device('cpu')


class RecordedResponses(PaperMemTrack):
    """A network whose responses (3, 17, 17) are `recorded`."""

    recorded: Tensor = torch.zeros(len(SCALES), 17, 17)

    def answer(self, memory: TemplateMemory, crops: Tensor) -> tuple[Tensor, Signals]:
        """What is recorded; the controller says nothing."""
        nothing = self.recorded.new_zeros(len(SCALES), 1)
        return self.recorded[:, None], Signals(*[nothing] * len(Signals._fields))


@torch.inference_mode()
def checks(reference: Reference) -> Iterator[Check]:
    """All arrays of loops_memtrack_ref."""
    arrays = reference.arrays('loops_memtrack_ref')
    for one in (_steps, _crops):
        for found in one(arrays):
            yield replace(found, array=f'loop {found.array}')
    yield from arrays.skipped()


def _steps(arrays: Arrays) -> Iterator[Check]:
    net = RecordedResponses()
    tracker = PaperMemTracker(net, Calibration(1.0, 0.0), CPU, 2**30)
    frame = np.zeros((240, 320, 3), np.uint8)
    tracker.initialise(frame, resolve(frame, Prompt('box', np.array([100.0, 80, 60, 40]))))
    # Where another cell is as good, one more or less is right.
    clear = arrays['step_margin'] >= CLEAR
    columns: dict[str, list[Floats | float]] = {}
    for raw, place, size in zip(
        arrays['step_raw'], arrays['step_pos'], arrays['step_target_wh'], strict=True
    ):
        net.recorded = torch.from_numpy(raw)
        before = np.concatenate([place - size / 2, size])
        found = tracker.locate(frame, Prior(before))
        middle = found.box[:2] + found.box[2:] / 2
        extents = search_extents(before)
        scale = int(np.argmin(np.abs(found.box[2] / size[0] - (0.4 + 0.6 * SCALES))))
        row = {
            'x_rois': np.array([[*place, extent, extent] for extent in extents]),
            'z_roi': np.array([*place, *[template_extent(before)] * 2]),
            'up_every_16th': finer(net.recorded[:, None])[:, 0, 5::16, 9::16].numpy(),
            'scale': scale,
            'cell': np.rint((middle - place) * SEARCH_SIDE / extents[scale] * 2 + 136),
            'score': np.log(found.score / (1 - found.score)),
            'new_pos': middle,
            'new_wh': found.box[2:],
            'bbox': found.box,
            'new_x_side': template_extent(found.box) * SEARCH_SIDE / TEMPLATE_SIDE,
            'new_z_side': template_extent(found.box),
        }
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    for key, column in columns.items():
        ours, theirs = np.stack(column), arrays[f'step_{key}']
        if key == 'up_every_16th':
            yield check(f'step_{key}', ours, theirs)
            continue
        if key == 'cell':
            yield apart('step_cell (next to another)', ours[~clear], theirs[~clear], 1)
        if key in ('cell', 'new_pos', 'bbox'):
            ours, theirs = ours[clear], theirs[clear]
        yield apart(f'step_{key}', ours, theirs, PIXELS)
    yield apart('scales', SCALES, arrays['scales'], 1e-6)
    window = np.outer(*[np.hanning(272)] * 2)
    yield check(
        'window_every_16th', window[5::16, 9::16] / window.sum(), arrays['window_every_16th']
    )


def _crops(arrays: Arrays) -> Iterator[Check]:
    frame = np.ascontiguousarray(arrays['crop_image'][..., ::-1])
    size = np.array(frame.shape[1::-1])
    kinds = ('x', SEARCH_SIDE, 15), ('z', TEMPLATE_SIDE, 7)
    for kind, side, every in kinds:
        crops, paddings, rois = [], [], []
        for place, wh in zip(arrays['crop_pos'], arrays['crop_target_wh'], strict=True):
            box = np.concatenate([place - wh / 2, wh])
            extents = search_extents(box) if kind == 'x' else np.array([template_extent(box)])
            shown = square_crops(frame, boxes.centre(box), extents, side, CPU)
            crops.append(shown.permute(0, 2, 3, 1)[:, ::every, ::every].numpy() / 255)
            paddings.append(padding_around(place, float(extents.max()), size))
            rois.append(np.array([[*place, extent, extent] for extent in extents]))
        pictures, squares = np.stack(crops), np.stack(rois)
        if kind == 'z':
            pictures, squares = pictures[:, 0], squares[:, 0]
        yield apart(f'crop_{kind}', pictures, arrays[f'crop_{kind}'], LEVEL)
        yield apart(f'crop_{kind}_padding', paddings, arrays[f'crop_{kind}_padding'], 0)
        name = 'crop_x_rois' if kind == 'x' else 'crop_z_roi'
        yield apart(name, squares, arrays[name], PIXELS)
