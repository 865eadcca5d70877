"""Is it the target? A judgement apart from the search, the same for all compact trackers.

A tracker's score says how peaked its answer is, not whether it is the target. Here the cells in the
answer's mask are compared with cells that surely are the target's and with cells that surely are
not: the ground around it, and things seen beside it at the same time. For each the likelihood is
the cosine to the most alike of them, and a cell speaks for the target as far as the first is above
the second. The cells are the shared trunk's, which `locate` has computed already. This is ours: no
paper of the five has it, and the paper variants have none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.masks.colour import Singles
from memtrack_ros.memory import SeenCells, Stateful
from memtrack_ros.memory.seen_cells import evenly
from memtrack_ros.memory.snapshot import LARGEST, Given, outside
from memtrack_ros.nets.compact import STRIDE, WIDTHS
from memtrack_ros.nets.graphs import captured, graphs_on
from memtrack_ros.nets.transfer import carried, fetched
from memtrack_ros.trackers.observation import Observation, Sight
from memtrack_ros.trackers.search import LEAST_FILL, label_map

INSIDE = 0.6  # share of the mask around a cell from which it is the target's
BESIDE = 1.0  # cells around mask and box that may be the target's, and are not said to be others
TARGET_CELLS = 96, 160  # that are known: of the first frame, of the newest that were admitted
OTHER_CELLS = 320, 256
RIVAL_CELLS = 144, 144  # of what was most like the target beside it, or anywhere at first
CELLS_OF_RIVAL = 48  # of such a thing in one frame, at most
RIVALS = 3  # things anywhere in the first frame that are known, at most
RIVAL_CORE = 0.7  # of the target's size: around a rival's middle, what is surely its
NEAR_CELLS = 192  # of those of the first frame: from the target's surroundings, the rest from afar
APART = 0.8  # of the target's size: what is seen nearer to the answer is the answer
FAR_ABOVE = 1.0  # what the margin is where there is no room for anything else
MAX_BYTES = 2**30
# What an answer is to be to be told from what was seen beside the target: of 24 drawn situations,
# look-alikes had a ratio of -.3 to .6 of the usual, targets that came back of .4 to .9.
LIKE = 0.5  # as like it
DISTINCT, SHARE = 0.2, 0.42  # a ratio of so much, and of this share of what it usually has
UNMISTAKABLE = 0.8  # the same share of what it is that no look-alike had
LEAST_RATIO = 0.05  # whatever is usual
USUAL = 0.1  # share of the newest frame in what is usual
LEAST_CONTRAST = 0.1  # of a target that looks like its surroundings
KIN = 0.7  # of the likeness of the best cell, from which another may belong to the same thing
SHIFTS = 3  # of a rival's place to the middle of what is like it there
GROWN = 0.5, 3.0  # times as large as it was last may a target be that was lost


Number = TypeVar('Number', float, Tensor)


class Evidence(NamedTuple):
    """What speaks for an answer's being the target.

    All in units of the target's contrast: how much less than itself the things around it were like
    it in its first frame. About 1 is the target, 0 or less is not.
    """

    likeness: float = 0.0
    """Of the mask's cells to the target: mean over them of the best cosine; 1 of what is quite
    alike, 0 of what is as much like it as its surroundings."""
    ratio: float = 0.0
    """The best cosine to the target less that to what is not the target, mean over the cells."""
    margin: float = 0.0
    """How much the ratio in the middle of the box is above the best one away from it."""


class Rival(NamedTuple):
    """What else in the window is most like the target: where in the frame (2,), and how like."""

    place: Floats
    likeness: float

    def apart(self, box: Floats) -> float:
        """How far it is from the middle of `box` (4,), in sizes of that."""
        return float(np.linalg.norm(self.place - boxes.centre(box)) / boxes.scale(box))

    def touches(self, box: Floats) -> bool:
        """Whether a box around it, as large as `box` (4,), overlaps that."""
        return bool((np.abs(self.place - boxes.centre(box)) < box[2:]).all())


class Compared(NamedTuple):
    """The cells (h w,) of a sight beside what is known, on the host.

    The best cosine to the target, and that less the best to what is not the target; and of what was
    known of the first frame alone the best to the target, and to what was not it.
    """

    likeness: Tensor
    ratio: Tensor
    own_first: Tensor
    other_first: Tensor


class Viewed(NamedTuple):
    """An answer, its box (4,) and its mask, beside what is known of the target.

    What of the mask is `shown` in the window (S, S), which cells (h w,) are `inside` the answer,
    and what else may be the target, by what `margin` less.
    """

    box: Floats
    mask: Pixels
    shown: Singles
    inside: Tensor
    compared: Compared
    rival: Rival
    margin: float


class Identity(Stateful):
    """What is known of one target and of what it could be mistaken for."""

    kept = ('target', 'others', 'rivals', '_mean', '_contrast', '_fill', '_usual')

    def __init__(self, device: torch.device) -> None:
        """Know nothing yet."""

        def cells(first: int, later: int) -> SeenCells:
            return SeenCells(WIDTHS[-1], first, later, max_bytes=MAX_BYTES, device=device)

        self.target, self.others = cells(*TARGET_CELLS), cells(*OTHER_CELLS)
        self.rivals = cells(*RIVAL_CELLS)
        self.graphs = graphs_on(device)
        self._mean = torch.zeros(WIDTHS[-1], 1, device=device)
        """Of the first window's cells: what all cells have in common says nothing."""
        self._contrast = 1.0
        self._fill = 1.0
        """Share of its first box that the target fills."""
        self._usual = 0.0
        """The ratio of what was learned lately."""
        self._viewed = WeakKeyDictionary[Sight, Viewed]()
        """What is judged is learned next: the newest answer by its sight, as long as that is held
        and what is known stays."""

    def faults(self, given: Given) -> Iterator[str]:
        """The mean is one of features."""
        yield from outside(given, '_mean', -LARGEST, LARGEST)
        yield from outside(given, '_contrast', LEAST_CONTRAST, 2)
        yield from outside(given, '_fill', LEAST_FILL, 1)
        yield from outside(given, '_usual', -2 / LEAST_CONTRAST, 2 / LEAST_CONTRAST)

    def begin(self, sight: Sight, whole: Sight, box: Floats, mask: Pixels) -> None:
        """Forget what was; know the target in its first frame, and all else in that.

        `whole` is the whole frame: what is anywhere in it, but not where the target is, is not it.
        """
        self.clear()
        self._mean = sight.features.float().flatten(1).mean(1, keepdim=True)
        self._fill = float(np.clip(cv2.countNonZero(mask) / box[2:].prod(), LEAST_FILL, 1))
        cells = self._cells(sight)
        shown = label_map(mask, sight.window)
        outside = _outside(sight, box, shown)
        self.target.begin(_marked(cells, _inside(sight, box, shown), TARGET_CELLS[0]))
        near = _marked(cells, outside, NEAR_CELLS)
        apart = ~_in_box(whole, box, 1.0, 1.0)
        afar = _marked(self._cells(whole), apart, OTHER_CELLS[0] - NEAR_CELLS)
        self.others.begin(torch.cat([near, afar]))
        around = (self.target.of_first() @ near.T).amax(1) if len(near) else torch.zeros(1)
        self._contrast = max(1 - float(around.mean()), LEAST_CONTRAST)
        rival, _ = _rival(sight, box, mask.shape, self._compared(sight))
        self.rivals.begin(_marked(cells, _of_rival(sight, box, outside, rival), CELLS_OF_RIVAL))

    def look_alikes(self, whole: Sight, box: Floats) -> Floats:
        """Where in the whole first frame, but not in `box`, what is most like the target is (N, 2).

        Apart from each other, the likeliest first.
        """
        likeness = _smooth(whole, box, self._compared(whole).likeness)[0]
        likeness[_in_box(whole, box, 2 * APART, 1.0)] = -1.0
        places: list[Floats] = []
        while len(places) < RIVALS and likeness.max() > -1.0:
            places.append(_places(whole)[int(likeness.argmax())])
            there = boxes.from_centre(places[-1], box[2:])
            likeness[_in_box(whole, there, 2 * APART, 1.0)] = -1.0
        return np.reshape(places, (-1, 2))

    def tell_apart(self, sights: Iterable[Sight], box: Floats) -> None:
        """Know that what is in the middle of each, as large as `box` (4,), is not the target."""
        cells = [self.rivals.of_first()]
        for sight in sights:
            there = boxes.from_centre([sight.window.center_x, sight.window.center_y], box[2:])
            core = _in_box(sight, there, RIVAL_CORE, 0.0)
            cells.append(_marked(self._cells(sight), core, CELLS_OF_RIVAL))
        self.rivals.begin(torch.cat(cells))
        self._viewed.clear()

    def learn(self, sight: Sight, box: Floats, mask: Pixels) -> None:
        """Admit what was surely seen: the target's cells, and all that is not it.

        What of that resembles it is known for longer, until something else does.
        """
        seen = self._view(sight, box, mask)
        outside = _outside(sight, box, seen.shown)
        own = seen.inside & ~self._foreign(seen.compared)
        if not self.frozen:
            now = float(seen.compared.ratio[seen.inside].mean()) / self._contrast
            self._usual += (USUAL if self._usual else 1.0) * (now - self._usual)
        rival = _of_rival(sight, box, outside, seen.rival) & self.resembles(seen.rival)
        chosen = (
            _places_of(rival, CELLS_OF_RIVAL),
            _places_of(own, TARGET_CELLS[1]),
            _places_of(outside, OTHER_CELLS[1]),
        )
        cells = self._cells(sight)
        admitted = cells[carried(torch.cat(chosen), cells.device)].split([*map(len, chosen)])
        for known, new in zip((self.rivals, self.target, self.others), admitted, strict=True):
            known.write(new)
        self._viewed.clear()

    def judge(self, found: Observation) -> tuple[Evidence, Rival]:
        """How far the answer is the target, and what else in its window may be."""
        assert found.sight is not None
        seen = self._view(found.sight, found.box, found.mask)
        evidence = Evidence(
            self._likeness(float(seen.compared.likeness[seen.inside].mean())),
            float(seen.compared.ratio[seen.inside].mean()) / self._contrast,
            seen.margin / self._contrast,
        )
        return evidence, seen.rival

    def distinguishes(self, said: Evidence) -> bool:
        """Whether the evidence tells an answer from all that was seen beside the target."""
        return self.resembles(said) and said.ratio >= max(DISTINCT, SHARE * self._usual)

    def unmistakable(self, said: Evidence) -> bool:
        """Whether it is told from all that as well as the target usually is, wherever it is."""
        return self.resembles(said) and said.ratio >= max(LEAST_RATIO, UNMISTAKABLE * self._usual)

    def strange(self, said: Evidence) -> bool:
        """Whether an answer is less like the target than its surroundings are, or more like others
        than the target usually is."""
        return said.likeness < 0 or said.ratio < max(0.0, SHARE * self._usual)

    def resembles(self, said: Evidence | Rival) -> bool:
        """Whether an answer, or another thing, is like the target, whatever else may be."""
        return said.likeness >= LIKE

    def likeliest(self, sight: Sight, box: Floats) -> tuple[Floats, float]:
        """Where in a wide window (2,) the target may be, and how many times as large as `box`."""
        likeness, ratio, *_ = self._compared(sight)
        side = sight.features.shape[-1]
        smooth = F.avg_pool2d(ratio.view(1, 1, side, side), 3, 1, 1, count_include_pad=False)
        best = int(smooth.argmax())
        like = (ratio > 0) & (likeness > KIN * likeness[best])
        like[best] = True
        marked = like.view(side, side).numpy().astype(np.uint8)
        labels = cv2.connectedComponents(marked, connectivity=4)[1].ravel()
        thing = labels == labels[best]
        area = thing.sum() * (STRIDE * sight.window.pitch) ** 2
        growth = np.sqrt(area / (self._fill * box[2:].prod()))
        return _places(sight)[thing].mean(0), float(np.clip(growth, *GROWN))

    @property
    def frozen(self) -> bool:
        """Whether nothing is learned."""
        return self.target.frozen

    @frozen.setter
    def frozen(self, value: bool) -> None:
        self.target.frozen = self.others.frozen = self.rivals.frozen = value

    def clear(self) -> None:
        """Forget everything."""
        for known in (self.target, self.others, self.rivals):
            known.clear()
        self._usual = 0.0
        self._viewed.clear()

    def _become(self, state: Mapping[str, Tensor]) -> None:
        super()._become(state)
        self._viewed.clear()

    def _view(self, sight: Sight, box: Floats, mask: Pixels) -> Viewed:
        """What is to be known of an answer; of what was just judged it is known already."""
        newest = self._viewed.get(sight)
        if newest and newest.box is box and newest.mask is mask:
            return newest
        compared = newest.compared if newest else self._compared(sight)
        shown = label_map(mask, sight.window)
        inside = _inside(sight, box, shown)
        rival, margin = _rival(sight, box, mask.shape, compared)
        rival = rival._replace(likeness=self._likeness(rival.likeness))
        view = self._viewed[sight] = Viewed(box, mask, shown, inside, compared, rival, margin)
        return view

    def _compared(self, sight: Sight) -> Compared:
        """Its cells beside what is known: on the host, as all is that is asked of their places."""
        known = self.target.read(), self.others.read(), self.rivals.read()
        return fetched(self._comparison(sight.features, self._mean, *known))

    @captured
    def _comparison(
        self, features: Tensor, mean: Tensor, target: Tensor, others: Tensor, rivals: Tensor
    ) -> Compared:
        cells = _cells(features, mean)
        own, other, rival = (cells @ known.T for known in (target, others, rivals))
        likeness = own.amax(1)
        return Compared(
            likeness,
            likeness - torch.maximum(other.amax(1), rival.amax(1)),
            own[:, : TARGET_CELLS[0]].amax(1),
            torch.maximum(other[:, : OTHER_CELLS[0]].amax(1), rival[:, : RIVAL_CELLS[0]].amax(1)),
        )

    def _likeness(self, cosine: Number) -> Number:
        """A cosine in units of the contrast: 1 is quite alike, 0 as the surroundings are."""
        return 1 - (1 - cosine) / self._contrast

    def _foreign(self, compared: Compared) -> Tensor:
        """Which cells (h w,) were another thing's in the first frame: rather like that.

        They are not learned as the target's, whatever hides or holds that.
        """
        like = self._likeness(compared.other_first) >= LIKE
        return like & (compared.other_first > compared.own_first)

    def _cells(self, sight: Sight) -> Tensor:
        """Its cells (h w, C), less what all have in common, of one length."""
        return _cells(sight.features, self._mean)


def _inside(sight: Sight, box: Floats, shown: Singles) -> Tensor:
    """Which cells (h w,) are the target's: in its mask or, where that shows none, in its box.

    At least one is: the one that is nearest to its middle.
    """
    whole = torch.from_numpy(shown)[None, None]
    share = F.avg_pool2d(whole, STRIDE + 1, STRIDE, STRIDE // 2, count_include_pad=False)
    inside = share.flatten() >= INSIDE
    if not inside.any():
        inside = _in_box(sight, box, 1.0, 0.0)
    if not inside.any():
        offset = np.abs(_places(sight) - boxes.centre(box)).sum(1)
        inside[int(offset.argmin())] = True
    return inside


def _outside(sight: Sight, box: Floats, shown: Singles) -> Tensor:
    """Which cells (h w,) are surely not the target's."""
    reach = STRIDE * (1 + 2 * int(BESIDE)) | 1
    near = cv2.dilate((shown > 0).astype(np.uint8), np.ones((reach, reach), np.uint8))
    at_cells = torch.from_numpy(near[::STRIDE, ::STRIDE].ravel() > 0)
    return ~(at_cells | _in_box(sight, box, 1.0, BESIDE))


def _of_rival(sight: Sight, box: Floats, outside: Tensor, rival: Rival) -> Tensor:
    """Which cells (h w,) of those `outside` are the rival's, as large as `box`."""
    return outside & _in_box(sight, boxes.from_centre(rival.place, box[2:]), RIVAL_CORE, 0.0)


def _rival(
    sight: Sight, box: Floats, shape: tuple[int, ...], compared: Compared
) -> tuple[Rival, float]:
    """What is most like the target away from `box` (4,) in a frame of this `shape` (h, w), and the
    margin of what is in the box.

    That is how far the ratio is above the best one away from it. All are the best means over places
    half as wide and high as the box. What is known not to be the target has a low ratio, however
    like it is: a twin that is known is a rival all the same.
    """
    smooth, alike = _smooth(sight, box, compared.ratio, compared.likeness)
    elsewhere = ~_in_box(sight, box, 2 * APART, 0.0)
    here = _in_box(sight, box, 0.5, 0.5)
    if not elsewhere.any() or not here.any():
        return Rival(boxes.centre(box), -1.0), FAR_ABOVE
    margin = float(smooth[here].amax() - smooth[elsewhere].amax())
    best = int(alike.masked_fill(~elsewhere, -2.0).argmax())
    return Rival(_middle(sight, box, shape, compared, best), float(alike[best])), margin


def _middle(
    sight: Sight, box: Floats, shape: tuple[int, ...], compared: Compared, cell: int
) -> Floats:
    """The middle (2,) of the thing beside `box` (4,), about as large as that, which has a `cell`.

    The cell that is best of all may stand anywhere in it, and rather on the side of the target. Of
    a thing that the border of the frame, of this `shape` (h, w), or of the window cuts off, the
    rest is as large as the target's would be.
    """
    places, reach = _places(sight), STRIDE * sight.window.pitch
    first = np.maximum(places[0], 0) + reach
    last = np.minimum(places[-1], [shape[1] - 1, shape[0] - 1]) - reach
    place: Floats = places[cell]
    like = compared.likeness >= KIN * compared.likeness[cell]
    like &= ~_in_box(sight, box, 1.0, 0.0)
    for _ in range(SHIFTS):
        thing = like & _in_box(sight, boxes.from_centre(place, box[2:]), 1.0, 0.0)
        if not thing.any():
            break
        cells = places[thing.numpy()]
        least, most = cells.min(0), cells.max(0)
        place = cells.mean(0)
        place = np.where(most > last, least + box[2:] / 2, place)
        place = np.where(least < first, most - box[2:] / 2, place)
    return place


def _cells(features: Tensor, mean: Tensor) -> Tensor:
    """Cells (h w, C) of features (C, h, w), less their mean (C, 1), of one length."""
    return F.normalize(features.float().flatten(1) - mean, dim=0).T


def _marked(cells: Tensor, marks: Tensor, most: int) -> Tensor:
    """Of cells (h w, C) those marked (h w,) on the host; at most so many, evenly."""
    return cells[carried(_places_of(marks, most), cells.device)]


def _places_of(marks: Tensor, most: int) -> Tensor:
    """The numbers of what is marked (h w,); at most so many, evenly."""
    return evenly(marks.nonzero()[:, 0], most)


def _smooth(sight: Sight, box: Floats, *maps: Tensor) -> Tensor:
    """Of maps (h w,) the means (n, h w) over places half as wide and high as `box` (4,)."""
    side = sight.features.shape[-1]
    width, height = (max(1, round(s)) | 1 for s in box[2:] / 2 / sight.window.pitch / STRIDE)
    padding = height // 2, width // 2
    stacked = torch.stack(maps).view(-1, 1, side, side)
    pooled = F.avg_pool2d(stacked, (height, width), 1, padding, count_include_pad=False)
    return pooled.view(len(maps), -1)


def _places(sight: Sight) -> Floats:
    """Where the cells stand in the frame, (h w, 2): cell i at pixel STRIDE i of the crop."""
    across, down = _axes(sight)
    return np.stack([np.tile(across, len(down)), np.repeat(down, len(across))], 1)


def _axes(sight: Sight) -> tuple[Floats, Floats]:
    """Where its columns (w,) and rows (h,) of cells stand in the frame: x and y."""
    origin, pitch = sight.window.origin, sight.window.pitch
    height, width = sight.features.shape[-2:]
    return (
        origin[0] + STRIDE * np.arange(width, dtype=float) * pitch,
        origin[1] + STRIDE * np.arange(height, dtype=float) * pitch,
    )


def _in_box(sight: Sight, box: Floats, times: float, beside: float) -> Tensor:
    """Which cells (h w,) lie in `box` (4,) made so many times as large, or so many cells beside."""
    half = times * box[2:] / 2 + beside * STRIDE * sight.window.pitch
    across, down = (
        np.abs(axis - middle) <= reach
        for axis, middle, reach in zip(_axes(sight), boxes.centre(box), half, strict=True)
    )
    return torch.from_numpy((down[:, None] & across).ravel())
