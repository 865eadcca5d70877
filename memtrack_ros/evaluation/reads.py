"""What the compact trackers read from their memories, to be drawn, one function a tracker.

Each has followed the target of a drawn scene. What its next query reads is computed once more from
the tensors of its own bank and network. The banks hold no pictures: the frames that were written
are kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.evaluation.pictures import Correspondence, Heat, Map, Panel, Reading, draw
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.nets.cells import CHANNELS
from memtrack_ros.nets.cmedfl import BEST, CMEDFLQuery
from memtrack_ros.nets.compact import CROP, STRIDE
from memtrack_ros.nets.memtrack import SIDE, TEMPLATE_CROP, addresses, patch_means
from memtrack_ros.nets.memtrack import written as after_write
from memtrack_ros.nets.readers import best_products, best_read, soft_weights
from memtrack_ros.nets.samn import SAMNQuery
from memtrack_ros.nets.voting import CANDIDATES, most_similar
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Prompt, Session
from memtrack_ros.trackers import AnyTracker, Observation, Prior, Target, Tracker
from memtrack_ros.trackers.cmedfl import CompactCMEDFLTracker
from memtrack_ros.trackers.dmv import CompactDMVTracker
from memtrack_ros.trackers.filter_tracker import CompactFilterTracker, FilterObservation
from memtrack_ros.trackers.memtrack import CompactMemTracker
from memtrack_ros.trackers.samn import CompactSAMNTracker
from memtrack_ros.trackers.search import cells_on, search_window, spread, to_device
from memtrack_ros.trackers.stmtrack import CompactSTMTracker

SEED, WIDTH, HEIGHT, FRAMES = 2, 640, 480, 70  # of the scene
GRID = CROP // STRIDE  # cells along the side of a crop
SHOWN = 2 / 3  # of a crop's side, its middle
TILES = GRID**2  # cells stored that are drawn: as many as a frame has
ASKING = 5  # cells of the query whose reads are shown one by one


Found = TypeVar('Found', bound=Observation, covariant=True)


@dataclass(frozen=True)
class Moment(Generic[Found]):
    """What a tracker saw: the frame of this number, where it looked, what it found."""

    number: int
    frame: Pixels
    border: Floats  # colour (3,) of the world beyond the frame
    prior: Prior
    found: Found

    @property
    def searched(self) -> Window:
        """The window in which the target was searched for."""
        return search_window(self.frame, self.prior.box, self.prior.search, CROP)

    @property
    def around(self) -> Window:
        """The window around what was found."""
        return search_window(self.frame, self.found.box, 1.0, CROP)

    @property
    def template(self) -> Window:
        """The window of MemTrack's template."""
        return Window.around(boxes.centre(self.found.box), self.around.pitch, TEMPLATE_CROP)

    @property
    def target(self) -> NDArray[np.intp]:
        """Rows and columns (2, N) of the searched window's cells on the target; the middle's."""
        return cells_on(self.found.mask, self.searched)

    @property
    def asking(self) -> NDArray[np.intp]:
        """Rows and columns (2, ASKING) of some of these, evenly spread."""
        return spread(self.target, ASKING)

    def crop(self, window: Window) -> Pixels:
        """What the window shows of the frame, as the networks see it, but BGR."""
        return cut(self.frame, window, self.border)

    def panel(self, window: Window, caption: str = '', heat: Heat | None = None) -> Panel:
        """It with the target's outline."""
        return Panel(self.crop(window), caption, cut(self.found.mask, window, 0), heat, SHOWN)


Moments = list[Moment[Any]]


class Watched(Tracker[Any, Any]):
    """A tracker, what it sees now, and what it saw in the frames that it wrote into its memory.

    In the first of these it found what it was told, a plain observation.
    """

    now: Moment[Any]
    written: Moments

    def __init__(self, tracker: AnyTracker) -> None:
        super().__init__(tracker.calibration, tracker.device)
        self.tracker, self.bank = tracker, tracker.bank
        self.segments, self.gated = tracker.segments, tracker.gated
        self.remembered = tracker.remembered

    def initialise(self, frame: Pixels, target: Target) -> Observation:
        """As the tracker does."""
        found = self.tracker.initialise(frame, target)
        self.excess = self.tracker.excess
        self.now = Moment(0, frame, self.tracker.border, Prior(target.box), found)
        self.written = [self.now]
        return found

    def view(self, frame: Pixels, box: Floats) -> Any:
        """As the tracker does."""
        return self.tracker.view(frame, box)

    def begin(self, view: Any, target: Target) -> None:
        """As the tracker does."""
        self.tracker.begin(view, target)

    def locate(self, frame: Pixels, prior: Prior) -> Observation:
        """As the tracker does."""
        found: Observation = self.tracker.locate(frame, prior)
        self.now = Moment(self.now.number + 1, frame, self.now.border, prior, found)
        return found

    def remember(self, frame: Pixels, found: Observation) -> None:
        """As the tracker does."""
        writes = self.bank.writes
        self.tracker.remember(frame, found)
        if self.bank.writes > writes:
            self.written.append(self.now)


def watch(tracker: AnyTracker, frames: int) -> Watched:
    """The tracker after it followed the scene's target; the last frame is not remembered yet."""
    scene, watched = drawn_scene(SEED, WIDTH, HEIGHT, frames), Watched(tracker)
    session = Session(watched)
    first = scene.render(0)
    session.prompt(first.image, Prompt('mask', first.mask))
    for number in range(1, frames):
        session.remember()
        session.step(scene.render(number).image)
    return watched


def stmtrack(tracker: CompactSTMTracker, written: Moments, now: Moment[Observation]) -> Reading:
    """The weights with which the target's cells read those of the frames that are read."""
    memory, used = tracker.bank.read()
    query = tracker.net.query(to_device(now.crop(now.searched), tracker.device))
    weights = soft_weights(memory, tracker.net.neck_q(query.eighth), used)
    read = [written[number - 1] for number in tracker.bank.selected()]
    panels = [moment.panel(moment.around, f'frame {moment.number}') for moment in read]
    held, links = weighed(weights, panels, now, lines=1)
    return Reading(
        'STMTrack',
        f'Every cell of the query reads the mean of all cells of {len(read)} of the '
        f'{tracker.bank.entries} frames stored, weighted by likeness.\n'
        'Lines join some cells with the one of most weight.',
        [
            now.panel(now.searched, f'query: frame {now.number}'),
            answer(now, tracker.net.answer(memory, used, query).maps.score[0, 0]),
        ],
        held,
        legend(held),
        links,
    )


def memtrack(tracker: CompactMemTracker, written: Moments, now: Moment[Observation]) -> Reading:
    """Where the controller looks, and how it reads and writes the slots."""
    memory = tracker.bank.read()
    query = tracker.net.query(to_device(now.crop(now.searched), tracker.device))
    patches = patch_means(query.cells)
    alpha = array(tracker.net.controller.attention.weights(patches, memory.hidden)[0, 0])
    middle = (SIDE - 1) / 2 * STRIDE  # of the first patch
    found, signals = tracker.net.answer(memory, query)
    read, (write, usage) = signals.read[0], addresses(memory.usage, signals)
    nothing, again, fresh = signals.gates[0].tolist()
    pictures = slot_pictures(tracker, written).permute(0, 2, 3, 1).round().byte().cpu().numpy()
    return Reading(
        'MemTrack',
        'The controller looks at patches of the query, and adds what it reads from the slots to '
        'the first template.\n'
        f'Then it writes: {nothing:.0%} nothing, {again:.0%} where it read, {fresh:.0%} to the '
        'least-used slot.',
        [
            now.panel(
                now.searched,
                f'query: frame {now.number}, attention',
                Heat(alpha, (0.0, alpha.max()), STRIDE, middle),
            ),
            answer(now, found.maps.score[0, 0]),
        ],
        [
            written[0].panel(written[0].template, 'first template'),
            *(
                Panel(picture, f'slot {number}: {share:.0%} of the read', shown=SHOWN)
                for number, (picture, share) in enumerate(zip(pictures, read, strict=True), 1)
            ),
        ],
        f'attention to a patch, up to {alpha.max():.1%}; white: the target',
        charts={
            'read weights': array(read),
            'write weights': array(write[0]),
            'usage': array(usage[0]),
        },
    )


def slot_pictures(tracker: CompactMemTracker, written: Moments) -> Tensor:
    """What the slots would hold (N, 3, S, S) if crops were written instead of their templates."""
    count = tracker.bank.capacity
    memory, signals = tracker.net.controller.start(tracker.bank.read().initial, count)
    blank = memory.templates.new_zeros(1, count, 3, TEMPLATE_CROP, TEMPLATE_CROP)
    memory = memory._replace(templates=blank)
    for number, moment in enumerate(written):
        signals = moment.found.signals if number else signals
        crop = torch.from_numpy(moment.crop(moment.template)).permute(2, 0, 1)[None]
        memory = after_write(memory, signals, crop.to(blank))
    return memory.templates[0]


def dmv(tracker: CompactDMVTracker, written: Moments, now: Moment[Observation]) -> Reading:
    """Which cells of the frames stored are the candidates of the target's cells."""
    keys, values, valid = tracker.bank.read()
    query = tracker.net.query(to_device(now.crop(now.searched), tracker.device))
    # Column 0 is 'no match', the others are the cells of the memory.
    columns = F.one_hot(most_similar(keys, query.key, valid), 1 + keys.shape[1] * GRID**2)
    shares = columns[..., 1:].sum(2).mT.unflatten(2, (GRID, GRID)) / CANDIDATES
    panels = [moment.panel(moment.searched, f'frame {moment.number}') for moment in written]
    held, links = weighed(shares, panels, now, lines=CANDIDATES)
    score = tracker.net.answer(keys, values, valid, query).maps.score[0].amax(0)
    return Reading(
        'DMV',
        f'Every cell of the query chooses its {CANDIDATES} most similar cells, '
        f'of {len(written)} stored frame{"s" * (len(written) > 1)}; these vote on what it shows.\n'
        'Lines join some cells with their candidates.',
        [now.panel(now.searched, f'query: frame {now.number}'), answer(now, score)],
        held,
        legend(held),
        links,
    )


def samn(
    tracker: CompactSAMNTracker, written: Moments, now: Moment[FilterObservation[SAMNQuery]]
) -> Reading:
    """The filter's response, and the weights with which the target's cells read those stored."""
    appearance, found = tracker.appearance, now.found
    keys, _, used = appearance.bank.read()
    weights = soft_weights(keys, appearance.net.cells_q(found.seen.deep).key, used)
    # While it is not full, the frames stand in the order in which they were written.
    stored = [written[number - 1] for number in appearance.bank.stored()]
    panels = [moment.panel(moment.searched, f'frame {moment.number}') for moment in stored]
    side = appearance.net.remembered(CROP)
    held, links = weighed(weights, panels, now, lines=1, side=side)
    return Reading(
        'SAMN',
        'The correlation filter says where to segment. Every cell there reads the mean of all '
        f'cells of the {len(stored)} frames stored,\nweighted by likeness. '
        'Lines join some cells with the one of most weight.',
        [now.panel(now.searched, f'query: frame {now.number}'), response(tracker, now)],
        held,
        legend(held),
        links,
    )


def cmedfl(
    tracker: CompactCMEDFLTracker, written: Moments, now: Moment[FilterObservation[CMEDFLQuery]]
) -> Reading:
    """How like target and background all cells are, and what the target's gather of the first."""
    appearance, found = tracker.appearance, now.found
    crops = [moment.crop(moment.searched) for moment in written]
    seen = [appearance.see(to_device(crop, tracker.device)).cells for crop in crops]
    cells, (keys, values, used) = found.seen.cells, appearance.bank.read()
    similarity = array(best_read(keys, values, cells, used, BEST)[0])
    between = float(similarity.min()), float(similarity.max())
    stored, target = keys[0, :, used[0]], values[0, 0, used[0]]
    order = target.argsort(descending=True)
    stored, target = stored[:, order], target[order]
    rows, columns = now.asking
    asked, valid = cells[:, :, rows, columns, None], torch.ones_like(target, dtype=torch.bool)
    _, best = best_products(stored[None], target[None], asked, valid[None], BEST)
    links = [
        Correspondence(colour, at(*now.asking[:, colour]), 0, at(*divmod(tile, GRID)))
        for colour, tiles in enumerate(best[0, :, :, 0].T.tolist())
        for tile in tiles
        if tile < TILES
    ]
    deformation = appearance.net.segmenter.deformation
    gathered = soft_weights(
        deformation.support(seen[0]).flatten(2),
        deformation.query(cells) * sqrt(CHANNELS),  # which that read is not divided by
        torch.ones_like(used[:, : GRID**2]),
    )
    first, _ = weighed(gathered, [written[0].panel(written[0].searched)], now, lines=0)
    return Reading(
        'CMEDFL',
        'A cell of the query is as like the target as the mean of those '
        f'{BEST} cells stored (lines) whose likeness × share of target is\n'
        'highest; as like the background likewise. Besides, it gathers cells of the first frame.',
        [
            likeness(now, f'frame {now.number}, like the target', similarity[0], between),
            likeness(now, 'like the background', similarity[1], between),
        ],
        [
            mosaic(
                cell_pictures(stored[:, :TILES], seen, crops),
                array(target[:TILES]),
                f'{TILES} of {len(target)} cells stored: most target first',
            ),
            first[0]._replace(caption='first frame: what the target’s cells gather'),
        ],
        f'likeness, {between[0]:.2f} to {between[1]:.2f}; in the first frame weight, none to most; '
        'white: the target',
        links,
    )


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Cosine similarity (M, N) of vectors (C, M) and (C, N)."""
    return F.normalize(one.float(), dim=0).T @ F.normalize(other.float(), dim=0)


def cell_pictures(keys: Tensor, seen: Sequence[Tensor], crops: Sequence[Pixels]) -> Pixels:
    """What stored cells (C, M) show, (M, 8, 8, 3): of the cells `seen` in `crops`, the most alike.

    A stored cell is one of these, or was one before others were merged into it.
    """
    alike = [cosine(cells[0].flatten(1), keys).max(0) for cells in seen]
    crop = torch.stack([similarity for similarity, _ in alike]).argmax(0)
    cell = torch.stack([cells for _, cells in alike]).gather(0, crop[None])[0]
    before = ((STRIDE // 2, 0), (STRIDE // 2, 0), (0, 0))  # a cell's pixels are around it
    around = np.stack([np.pad(pixels, before, 'edge')[:CROP, :CROP] for pixels in crops])
    tiles = around.reshape(-1, GRID, STRIDE, GRID, STRIDE, 3).swapaxes(2, 3)
    return np.asarray(tiles.reshape(len(crops), -1, STRIDE, STRIDE, 3)[crop.cpu(), cell.cpu()])


def mosaic(tiles: Pixels, target: Map, caption: str) -> Panel:
    """Tiles (TILES, 8, 8, 3) row by row; outlined are those that are `target` (TILES,) by half."""
    rows = tiles.reshape(GRID, GRID, *tiles.shape[1:])
    outline = np.where(target > 0.5, 255, 0).astype(np.uint8).reshape(GRID, GRID)
    return Panel(
        np.concatenate(np.concatenate(rows, 1), 1),
        caption,
        outline.repeat(STRIDE, 0).repeat(STRIDE, 1),
    )


def weighed(
    weights: Tensor,
    panels: Sequence[Panel],
    now: Moment[Observation],
    *,
    lines: int,
    side: int = GRID,
) -> tuple[list[Panel], list[Correspondence]]:
    """The panels with what the target's cells read from them, and links from some of these cells.

    `weights` (1, M, h, w) are those of M memory cells for every cell of the query: `side` x `side`
    cells from the middle of each panel's crop, row by row, then maybe those of frames not in use.
    A cell has as many `lines`, to the memory cells of most weight.
    """
    frames = array(weights[0])[: len(panels) * side**2].reshape(-1, side, side, GRID, GRID)
    rows, columns = now.target
    read = frames[..., rows, columns].mean(-1)
    margin = (GRID - side) // 2
    heated = [
        panel._replace(
            caption=f'{panel.caption}: {heat.sum():.0%}',
            heat=Heat(heat, (0.0, read.max()), STRIDE, margin * STRIDE),
        )
        for panel, heat in zip(panels, read, strict=True)
    ]
    links = []
    for colour, (row, column) in enumerate(now.asking.T):
        each = frames[..., row, column]
        for cell in each.argsort(axis=None)[::-1][:lines]:
            frame, *place = np.unravel_index(cell, each.shape)
            links.append(
                Correspondence(colour, at(row, column), int(frame), at(*np.add(place, margin)))
            )
    return heated, links


def legend(panels: Sequence[Panel]) -> str:
    """What the heat and the captions of `weighed` panels mean."""
    most = max(panel.heat.between[1] for panel in panels if panel.heat)
    return (
        f'weight of a memory cell for the target’s cells, up to {most:.1%}; '
        'captions: the sum of a frame; white: the target'
    )


def at(row: int, column: int) -> tuple[float, float]:
    """Where a cell stands in its crop: pixel x, y."""
    return float(STRIDE * column), float(STRIDE * row)


def answer(now: Moment[Observation], score: Tensor) -> Panel:
    """What came of the read: the score (h, w) of the target's centre being in a cell."""
    values = array(score)
    heat = Heat(values, (0.0, values.max()), STRIDE)
    return now.panel(now.searched, f'answer: centre, up to {values.max():.2f}', heat)


def likeness(
    now: Moment[Observation], caption: str, similarity: Map, between: tuple[float, float]
) -> Panel:
    """How like something the query's cells (h, w) are."""
    return now.panel(now.searched, caption, Heat(similarity, between, STRIDE))


def response(tracker: CompactFilterTracker[Any], now: Moment[FilterObservation[Any]]) -> Panel:
    """What the correlation filter says of every pixel."""
    values = tracker.filter.scores(now.found.peak.sample)
    heat = Heat(values, (0.0, values.max()), 1.0)
    return now.panel(now.searched, f'filter: response, up to {values.max():.2f}', heat)


def array(tensor: Tensor) -> Map:
    """A tensor of any device."""
    return np.asarray(tensor.float().cpu().numpy(), np.float32)


READINGS: dict[str, Callable[[Any, Moments, Moment[Any]], Reading]] = {
    'stmtrack': stmtrack,
    'memtrack': memtrack,
    'dmv': dmv,
    'samn': samn,
    'cmedfl': cmedfl,
}


@torch.inference_mode()
def pictures(trackers: Mapping[str, AnyTracker], folder: Path) -> list[Path]:
    """Draw the read of every tracker, named as in READINGS, into the folder; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, tracker in trackers.items():
        watched = watch(tracker, FRAMES)
        files.append(folder / f'{name}.png')
        draw(READINGS[name](tracker, watched.written, watched.now), files[-1])
    return files
