"""SAMN's and CMEDFL's loop: what they make of recorded answers of their networks and filters.

The trackers are those that a session calls. Recorded are the maps that the network segments and
the responses of the filter; iterations of conjugate gradients are counted instead of run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memtrack_ros.evaluation.parity.reference import (
    EXACT,
    HALF,
    Array,
    Arrays,
    Check,
    Reference,
    apart,
    check,
)
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.memory import FilterSamples
from memtrack_ros.nets.cells import CHANNELS
from memtrack_ros.nets.cmedfl import CMEDFLQuery
from memtrack_ros.nets.compact import Features
from memtrack_ros.nets.samn import KeyedCells, SAMNQuery
from memtrack_ros.session import Prompt
from memtrack_ros.session.prompts import resolve
from memtrack_ros.trackers import Prior, cmedfl, samn
from memtrack_ros.trackers.cmedfl import CompactMemory
from memtrack_ros.trackers.d3s import D3S_CROP, Square, contours_of, patch
from memtrack_ros.trackers.d3s_loop import BY_BOX, BY_MASK, Loop, Start
from memtrack_ros.trackers.filter_tracker import Appearance
from memtrack_ros.trackers.paper_filter_tracker import (
    AuthorsFilter,
    Habits,
    OutlinedObservation,
    PaperFilterTracker,
)
from memtrack_ros.trackers.samn import AppearanceNetwork
from memtrack_ros.trackers.target_filter import PAPER_FILTER
from memtrack_ros.weights.files import Calibration

PIXELS, RELATIVE, LEVEL = 1e-3, 1e-4, 1.0  # tolerances of places, of scales, of grey levels
AREA = 0.1  # crop pixels
MODES = {'turned': Start.CORNERS, 'upright': Start.BOX, 'vos': Start.MASK}
SCHEDULES = ('steady', 'dips', 'lost', 'fading', 'contested', 'vos')
QUEUE = 25
with np.errstate(divide='ignore'):
    LOGITS = np.asarray(np.log(np.arange(256) / (255 - np.arange(256))), np.float32)
CPU = torch.device('cpu')
MOST = 2**31  # bytes


class RecordedMaps(nn.Module):
    """A network that answers with `map` (384, 384) * 255 and keeps the crops it was shown."""

    stride, filtered, keys, values = 16, 1, 1, 1

    def __init__(self) -> None:
        super().__init__()
        self.map: NDArray[np.uint8] = np.zeros((D3S_CROP, D3S_CROP), np.uint8)
        self.shown: list[Tensor] = []

    def logit(self) -> Tensor:
        """Of the map, (1, 1, 384, 384)."""
        return torch.from_numpy(LOGITS[self.map])[None, None]

    def deep(self, crops: Tensor) -> Tensor:
        """Nothing, for the filter; what it answers is recorded."""
        self.shown.append(crops)
        return crops.new_zeros(len(crops), 1, *(side // self.stride for side in crops.shape[2:]))


class RecordedSAMN(RecordedMaps):
    """As SAMN's network."""

    def query(self, crops: Tensor) -> SAMNQuery:
        """No features."""
        nothing = crops.new_zeros(0)
        return SAMNQuery(crops, Features(nothing, nothing, nothing), self.deep(crops))

    def remembered(self, side: int) -> int:
        """Cells of a side."""
        return side // self.stride

    def memorise_seen(self, seen: SAMNQuery, masks: Tensor) -> KeyedCells:
        """Empty cells."""
        cells = masks.new_zeros(1, 1, *(side // self.stride for side in masks.shape[2:]))
        return KeyedCells(cells, cells)

    def answer(self, *_: Tensor | SAMNQuery) -> Tensor:
        """The map's."""
        return self.logit()


class RecordedCMEDFL(RecordedMaps):
    """As CMEDFL's network."""

    def query(self, crops: Tensor) -> CMEDFLQuery:
        """No features, and cells that are like no other."""
        deep = self.deep(crops)
        nothing = crops.new_zeros(0)
        cells = deep.expand(-1, CHANNELS, -1, -1).contiguous()
        return CMEDFLQuery(cells, Features(nothing, nothing, nothing), deep)

    def answer(self, *_: object) -> Tensor:
        """The map's."""
        return self.logit()


class RecordedFilter(AuthorsFilter):
    """A filter whose responses (16, 16) are `recorded`; what is learned is counted."""

    recorded: NDArray[np.float32] = np.zeros((PAPER_FILTER.cells,) * 2, np.float32)
    offsets: Floats = np.zeros((0, 2))
    joint: tuple[int, int] = (0, 0)
    iterations = 0

    def begin(self, features: Tensor, offsets: Any) -> None:
        """Keep where the target stands."""
        self.offsets = np.asarray(offsets)
        super().begin(features, offsets)

    def learn_first(self, features: Tensor, labels: Tensor) -> None:
        """Count iterations and steps."""
        self.joint = self.settings.step_iterations, self.settings.steps

    def learn_on(self) -> None:
        """Count iterations."""
        self.iterations += self.settings.iterations

    def response(self, sample: Tensor) -> Tensor:
        """What is recorded."""
        return torch.from_numpy(self.recorded)


class CountedSamples(FilterSamples):
    """Samples that say at which rate the last was written, nan where none was."""

    rate = float('nan')

    def write(self, feature: Tensor, label: Tensor, learning_rate: float | None = None) -> None:
        """As usual."""
        self.rate = learning_rate or self.learning_rate
        super().write(feature, label, learning_rate)


class Stage:
    """A paper tracker whose network and filter are recorded; `labels` are those it was taught."""

    appearance: AppearanceNetwork | CompactMemory

    def __init__(
        self, name: str, net: RecordedMaps, appearance: Appearance[Any], habits: Habits
    ) -> None:
        self.net = net
        self.labels: list[Array] = []
        begin = appearance.begin

        def taught(seen: Any, label: Tensor) -> None:
            self.labels.append(label[0, 0].numpy())
            begin(seen, label)

        appearance.begin = taught  # type: ignore[method-assign]
        self.tracker: PaperFilterTracker[Any] = PaperFilterTracker(
            name,
            appearance,
            PAPER_FILTER,
            habits,
            Calibration(1.0, 0.0),
            CPU,
            MOST,
        )
        self.samples = CountedSamples(
            PAPER_FILTER.capacity,
            PAPER_FILTER.channels,
            PAPER_FILTER.cells,
            learning_rate=PAPER_FILTER.learning_rate,
            max_bytes=MOST,
            device=CPU,
        )
        self.filter = RecordedFilter(self.net.filtered, PAPER_FILTER, self.samples)
        self.tracker.filter = self.filter

    def begin(self, frame: NDArray[np.uint8], prompt: Prompt) -> None:
        """Point at a target as a session does."""
        self.labels.clear()
        self.net.shown.clear()
        self.tracker.initialise(frame, resolve(frame, prompt))

    def step(self, frame: NDArray[np.uint8], raw: Array) -> OutlinedObservation[Any]:
        """Locate where the filter responds so, and remember."""
        self.filter.recorded = np.asarray(raw, np.float32)
        found = self.tracker.locate(frame, Prior(self.tracker.loop.answered))
        self.samples.rate, self.filter.iterations = float('nan'), 0
        self.tracker.remember(frame, found)
        return found

    def first_memory(self) -> dict[str, Array]:
        """What is recorded of the memory after the first frame."""
        return {}

    def memory(self, frames: list[int], number: int) -> list[int]:
        """What is recorded of it before frame `number`; `frames` are those segmented before."""
        return [number]


class SAMNStage(Stage):
    """Of SAMN is recorded which frames it reads."""

    appearance: AppearanceNetwork

    def __init__(self) -> None:
        net = RecordedSAMN()
        self.appearance = AppearanceNetwork(net, samn.PAPER, CPU, MOST)  # type: ignore[arg-type]
        super().__init__('samn', net, self.appearance, samn.HABITS)

    def memory(self, frames: list[int], number: int) -> list[int]:
        """The frames that are read."""
        return [frames[write - 1] for write in self.appearance.bank.stored()]


class CMEDFLStage(Stage):
    """Of CMEDFL is recorded what its cells are told, and whether it learned of a frame."""

    appearance: CompactMemory

    def __init__(self) -> None:
        net = RecordedCMEDFL()
        few = cmedfl.PAPER._replace(capacity=2 * (D3S_CROP // RecordedMaps.stride) ** 2)
        self.appearance = CompactMemory(net, few, CPU, MOST)  # type: ignore[arg-type]
        super().__init__('cmedfl', net, self.appearance, cmedfl.HABITS)

    def first_memory(self) -> dict[str, Array]:
        """How much of each cell is the target's."""
        cells = D3S_CROP // self.net.stride
        shares = self.appearance.bank.read()[1][0, 0, : cells**2]
        return {'bank_mask': shares.reshape(cells, cells).numpy().copy()}


STAGES: dict[str, Callable[[], Stage]] = {'samn': SAMNStage, 'cmedfl': CMEDFLStage}


@torch.inference_mode()
def checks(reference: Reference, name: str) -> Iterator[Check]:
    """All arrays of loops_NAME_ref."""
    arrays = reference.arrays(f'loops_{name}_ref')
    stage = STAGES[name]()
    everything: tuple[Callable[[Stage, Arrays], Iterator[Check]], ...]
    everything = (_crops, _begins, _outlines, _steps, _schedules, _writes)
    for one in everything:
        for found in one(stage, arrays):
            yield replace(found, array=f'loop {found.array}')
    yield from arrays.skipped()


def _crops(stage: Stage, arrays: Arrays) -> Iterator[Check]:
    frame = arrays['begin_image'][..., ::-1]
    patches, crops = [], []
    for place, scale, size in zip(
        arrays['patch_pos'],
        arrays['patch_scale'].astype(float),
        arrays['patch_target_wh'],
        strict=True,
    ):
        patches.append(patch(frame, place, scale, PAPER_FILTER.side)[::8, ::8, ::-1])
        crops.append(Square.around(place, size).show(frame)[::8, ::8, ::-1])
    yield apart('patch_patch', np.stack(patches), arrays['patch_patch'], LEVEL)
    yield apart('patch_crop', np.stack(crops), arrays['patch_crop'], LEVEL)


def _begins(stage: Stage, arrays: Arrays) -> Iterator[Check]:
    frame = np.ascontiguousarray(arrays['begin_image'][..., ::-1])
    height, width = frame.shape[:2]
    tracker, found = stage.tracker, Table()
    for number, kind in enumerate(arrays['begin_kind']):
        stage.net.map = arrays['begin_net'][number]
        given = arrays['begin_state'][number]
        if kind == 'mask':
            bits = np.unpackbits(arrays['begin_mask'][number], axis=1)[:, :width] * np.uint8(255)
            prompt = Prompt('mask', bits)
        elif kind == 'box':
            prompt = Prompt('box', given[:4] - [1, 1, 0, 0])
        else:
            prompt = Prompt('box', given)
        stage.begin(frame, prompt)
        loop = tracker.loop
        square = Square.around(loop.place, loop.size)
        least, most = loop.limits(np.array([width, height], float))
        found.add(
            pos=loop.place,
            target_wh=loop.size,
            scale=loop.scale,
            base_wh=loop.base,
            sample_side=PAPER_FILTER.search * np.sqrt(loop.base.prod()),
            least_scale=least,
            most_scale=most,
            sigma=stage.filter.sigma,
            crop_left=square.left,
            crop_top=square.top,
            crop_side=square.extent,
            first_mask=255 * (square.show_mask(bits) if kind == 'mask' else stage.labels[0]),
            pseudo=255 * stage.labels[-1],
            area=loop.areas[0],
            label_centre=_sorted(_in_cells(stage.filter.offsets) + 0.5),
            **stage.first_memory(),
        )
        if f'begin{number}_patches' in arrays:
            shown = stage.net.shown[0].numpy().transpose(0, 2, 3, 1)
            yield apart(
                f'begin{number}_patches',
                shown[:, ::16, ::16],
                arrays[f'begin{number}_patches'],
                LEVEL,
            )
            ours: dict[str, Any] = {
                'pos': np.rint(loop.place),
                'scale': loop.scale,
                'side': 2 * PAPER_FILTER.side,
                'shift': np.rint(stage.filter.offsets - stage.filter.offsets[0]),
            }
            for key, value in ours.items():
                name = f'begin{number}_patch_{key}'
                yield apart(name, value, arrays[name], PIXELS)
    relative = ('scale', 'least_scale', 'most_scale', 'sigma')
    exact = ('crop_left', 'crop_top', 'crop_side')
    for key, values in found.columns():
        theirs = arrays[f'begin_{key}']
        if key == 'label_centre':
            theirs = np.stack([_sorted(each) for each in theirs])
        limit = AREA if key == 'area' else LEVEL if key in ('first_mask', 'pseudo') else PIXELS
        if key in relative:
            yield _relative(f'begin_{key}', values, theirs)
        else:
            yield apart(f'begin_{key}', values, theirs, EXACT if key in exact else limit)
    distance = stage.appearance.distance(np.zeros(2))[0, 0]
    yield check('begin_distance', distance, arrays['begin_distance'])
    yield check('begin_joint_cg', stage.filter.joint, arrays['begin_joint_cg'], EXACT)
    yield check('begin_post_cg', [stage.filter.iterations], arrays['begin_post_cg'], EXACT)


def _outlines(stage: Stage, arrays: Arrays) -> Iterator[Check]:
    maps = [np.asarray(each / 255, np.float32) for each in arrays['step_maps']]
    for name, way in (('half', BY_BOX), ('fifth', BY_MASK)):
        theirs = arrays[f'step_map_area_{name}']
        outlines = [contours_of(each, way.threshold) for each in maps]
        # Of what is too small to be anything theirs is the area, ours nothing.
        areas = [
            their if found is None and their <= 50 else (found.area if found else 0.0)
            for found, their in zip(outlines, theirs, strict=True)
        ]
        yield apart(f'step_map_area_{name}', areas, theirs, PIXELS)


def _steps(stage: Stage, arrays: Arrays) -> Iterator[Check]:
    begun: dict[str, Any] = {
        'frame': arrays['begin_image'],
        'prompt': Prompt('box', np.array([80.0, 50, 40, 30])),
    }
    for mode, start in MODES.items():
        stage.begin(**begun)
        shared, own, labels = Table(), Table(), list[Array]()
        for number in range(len(arrays['step_in_map'])):
            given = {
                key: arrays[f'step_in_{key}'][number]
                for key in (
                    'map',
                    'frame_number',
                    'image_wh',
                    'base_wh',
                    'scale',
                    'target_wh',
                    'pos',
                    'scores',
                    'areas',
                    'raw',
                )
            }
            before = _resume(stage, start, given)
            stage.net.map = arrays['step_maps'][given['map']]
            width, height = given['image_wh']
            frame = np.zeros((height, width, 3), np.uint8)
            written, memorised = stage.samples.writes, stage.tracker.appearance.bank.writes
            sure = stage.filter.uncertainty
            found = stage.step(frame, given['raw'])
            shared.add(
                peak=found.peak.value,
                shift=found.peak.offset * before.scale,
                contested=found.peak.contested,
                crop_pos=found.place,
                crop_target_wh=found.after.size,
                crop_side=found.square.extent,
                crop_left=found.square.left,
                crop_top=found.square.top,
                segmented=found.looked,
                queue=_padded(stage.filter.peaks),
                written=stage.samples.writes > written,
                rate=stage.samples.rate,
                cg=stage.filter.iterations,
            )
            # As it was before this peak joined the queue.
            _resume_filter(stage, given)
            shared.add(uncertainty=sure(found.peak))
            wrote = stage.samples.writes > written
            label = _in_cells(found.shift) + 0.5 if wrote else np.full(2, np.nan)
            loop = stage.tracker.loop
            own.add(
                believed=found.believed,
                region=_region(found, start, arrays[f'step_{mode}_region'][number]),
                pos=loop.place,
                scale=loop.scale,
                areas=_padded(loop.areas),
                label_centre=label,
                mask=_packed(found.mask),
                memorised=stage.tracker.appearance.bank.writes - memorised,
            )
            if mode == 'turned' and number % 4 == 0:
                stored = stage.samples.labels[stage.samples.newest].numpy()
                labels.append(np.asarray(stored if wrote else np.full_like(stored, np.nan)))
        if labels:
            yield apart('step_turned_label', np.stack(labels), arrays['step_turned_label'], PIXELS)
        for key, values in own.columns():
            name = f'step_{mode}_{key}'
            if key == 'scale':
                yield _relative(name, values, arrays[name])
            else:
                exact = key in ('believed', 'mask', 'memorised')
                yield apart(name, values, arrays[name], EXACT if exact else PIXELS)
        segmented = arrays['step_segmented']
        for key, values in shared.columns():
            theirs = arrays[f'step_{key}']
            name = f'step_{key} ({mode})'
            if key.startswith('crop'):
                # What is segmented always has a crop even where theirs, in other modes, has none.
                chosen = segmented | (start is Start.MASK)
                values, theirs = values[chosen], theirs[chosen]
            if key == 'segmented':
                theirs = theirs | (start is Start.MASK)
            if key in ('uncertainty', 'rate'):
                yield _relative(name, values, theirs)
            else:
                exact = values.dtype.kind in 'bi'
                yield apart(name, values, theirs, EXACT if exact else PIXELS)


def _schedules(stage: Stage, arrays: Arrays) -> Iterator[Check]:
    width, height, size = 320, 240, np.array([60.0, 44.0])
    frame = np.full((height, width, 3), 100, np.uint8)
    first = np.array([width, height]) / 2 - size / 2
    (x0, y0), (x1, y1) = first, first + size
    cells = np.arange(PAPER_FILTER.cells) - PAPER_FILTER.cells / 2

    def bump(down: float) -> Array:
        rows, columns = np.meshgrid(cells - down / 16, cells, indexing='ij')
        return np.asarray(np.exp(-(rows**2 + columns**2) / (2 * 0.95**2)))

    for name in SCHEDULES:
        told = {key: arrays[f'schedule_{name}_{key}'] for key in ('amplitude', 'second', 'empty')}
        if name == 'vos':
            mask = np.zeros((height, width), np.uint8)
            mask[int(y0) : int(y1), int(x0) : int(x1)] = 255
            prompt = Prompt('mask', mask)
        else:
            prompt = Prompt('box', np.array([x0, y0, x1, y0, x1, y1, x0, y1]))
        stage.net.map = arrays['schedule_map']
        stage.begin(frame, prompt)
        stage.tracker.loop = replace(stage.tracker.loop, areas=np.array([7200.0]))
        frames, found = [1], Table()
        drawn = zip(told['amplitude'], told['second'], told['empty'], strict=True)
        for number, (amplitude, second, empty) in enumerate(drawn, 2):
            stage.net.map = np.where(empty, np.uint8(0), arrays['schedule_map'])
            memory = stage.memory(frames, number)
            raw = amplitude * (bump(0) + second * bump(70))
            stage.filter.recorded = np.asarray(raw, np.float32)
            one = stage.tracker.locate(frame, Prior(stage.tracker.loop.answered))
            uncertainty = stage.filter.uncertainty(one.peak)
            before = stage.samples.writes
            seen = stage.step(frame, raw)
            wrote = stage.samples.writes > before
            if seen.looked:
                frames.append(number)
            longest = arrays[f'schedule_{name}_memory'].shape[1]
            found.add(
                peak=seen.peak.value,
                contested=seen.peak.contested,
                uncertainty=uncertainty,
                segmented=seen.looked,
                believed=seen.believed,
                queue_mean=stage.filter.peaks.mean(),
                queue_size=len(stage.filter.peaks),
                written=wrote,
                slot=stage.samples.newest if wrote else -1,
                rate=stage.samples.rate,
                cg=stage.filter.iterations,
                weights=stage.samples.weights.numpy()[:100].copy(),
                areas_mean=stage.tracker.loop.areas.mean(),
                areas_size=len(stage.tracker.loop.areas),
                scale=stage.tracker.loop.scale,
                target_w=seen.after.size[0],
                memory=np.array((memory if seen.looked else []) + [-1] * longest)[:longest],
            )
        for key, values in found.columns():
            array = f'schedule_{name}_{key}'
            if values.dtype.kind in 'bi':
                yield apart(array, values, arrays[array], EXACT)
            elif key in ('areas_mean', 'target_w'):
                yield apart(array, values, arrays[array], PIXELS)
            else:
                yield _relative(array, values, arrays[array])


def _writes(stage: Stage, arrays: Arrays) -> Iterator[Check]:
    nothing = torch.zeros(PAPER_FILTER.channels, PAPER_FILTER.cells, PAPER_FILTER.cells)
    samples = stage.samples
    samples.begin(nothing.expand(27, -1, -1, -1), nothing[0].expand(27, -1, -1))
    slots, weights = [], []
    for number, hard in enumerate(arrays['writes_hard'], 1):
        samples.write(nothing, nothing[0], 0.02 if hard else None)
        slots.append(samples.newest)
        if number in arrays['writes_at']:
            weights.append(samples.weights.numpy().copy())
    yield check('writes_slot', slots, arrays['writes_slot'], EXACT)
    yield _relative('writes_weights', np.stack(weights), arrays['writes_weights'])


class Table(dict[str, Any]):
    """Columns, filled row by row; read as arrays."""

    def add(self, **row: Any) -> None:
        """A row, or a part of one."""
        for key, value in row.items():
            self.setdefault(key, []).append(value)

    def columns(self) -> Iterator[tuple[str, Array]]:
        """Arrays (rows, ...) by name."""
        for key, column in self.items():
            yield key, np.stack([np.asarray(one) for one in column])


def _resume(stage: Stage, start: Start, given: dict[str, Any]) -> Loop:
    """Put the tracker where it was before a recorded step; what is known then."""
    size = given['target_wh'].astype(float)
    place = given['pos'].astype(float)
    stage.tracker.loop = Loop(
        start,
        place,
        size,
        given['base_wh'].astype(float),
        float(given['scale']),
        given['areas'][~np.isnan(given['areas'])],
        np.concatenate([place - size / 2, size]),
    )
    _resume_filter(stage, given)
    return stage.tracker.loop


def _resume_filter(stage: Stage, given: dict[str, Any]) -> None:
    state = stage.filter.state()
    state['_peaks'] = torch.from_numpy(given['scores'][~np.isnan(given['scores'])])
    state['_frames'] = torch.tensor(int(given['frame_number']) - 1)
    stage.filter.restore(state)


def _region(found: OutlinedObservation[Any], start: Start, theirs: Array) -> Floats:
    """As the authors tell it (8,): four corners, or a box numbered from 1 and nan.

    Of the corners, any may be the first.
    """
    if start is Start.CORNERS:
        if found.oriented is not None:
            corners = found.oriented.polygon().reshape(4, 2)
            turns = [np.roll(corners, turn, 0).reshape(8) for turn in range(4)]
            return turns[int(np.argmin([np.abs(turn - theirs).sum() for turn in turns]))]
        return np.concatenate([found.box, np.full(4, np.nan)])
    return np.concatenate([found.box + np.array([1, 1, 0, 0]), np.full(4, np.nan)])


def _packed(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Packed bits (320, 40) of a mask in the upper left of 320 x 320 pixels."""
    whole = np.zeros((320, 320), np.uint8)
    whole[: mask.shape[0], : mask.shape[1]] = mask > 0
    return np.packbits(whole, axis=1)


def _padded(queue: Floats) -> Floats:
    return np.concatenate([queue, np.full(QUEUE - len(queue), np.nan)])


def _in_cells(offsets: Floats) -> Floats:
    """Offsets in pixels of the filter's crop as cells."""
    return offsets * (PAPER_FILTER.cells / PAPER_FILTER.side)


def _sorted(places: Floats) -> Floats:
    """Rows (n, 2) in an order that only they decide."""
    return np.asarray(places[np.lexsort(np.round(places, 3).T)], float)


def _relative(array: str, ours: Array, theirs: Array) -> Check:
    """Each number within RELATIVE of its own size."""
    scale = np.maximum(np.abs(theirs.astype(float)), 1e-6)
    with np.errstate(invalid='ignore'):
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        ratio = np.where(same, 1.0, ours / scale)
        wanted = np.where(same, 1.0, theirs / scale)
    tolerance = HALF if theirs.dtype == np.float16 else RELATIVE
    return apart(array, ratio, wanted, tolerance)
