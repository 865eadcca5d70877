"""CMEDFL's bank: single cells, merged with what is alike, appended when new, else discarded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import LARGEST, MOST, Given, outside
from memtrack_ros.nets.graphs import captured, graphs_on
from memtrack_ros.nets.transfer import carried, fetched

MERGED = 0.90  # cosine similarity (zeta of the paper) above which cells are one
ROUNDING = 1e-3  # by which a merged share may exceed one
ROW = 32  # cells that are looked at together, at most
UPDATE = 0.001  # beta: share of the new in what is merged


class Nearest(NamedTuple):
    """The stored cell most like each of n given ones.

    The cosine `similarity` (n,) and the `cell`'s number (n,).
    """

    similarity: Tensor
    cell: Tensor


class Fate(NamedTuple):
    """What becomes of a frame's n cells.

    The stored `cell` most like each (n,), and which are `merged` into that, and `added` (n,) bool.
    """

    cell: Tensor
    merged: Tensor
    added: Tensor


def least_similar(similarity: Tensor) -> Tensor:
    """The similarity below which a frame's cells (n,) are discarded: 2 / e of their mean.

    So the authors compute it; eq. 11 has 1 / (2 e), which discards hardly anything.
    """
    return similarity.mean() * 2 / math.e


class Cells(Bank):
    """Keys (capacity, C) of cells and how much each was target and background, 0..1.

    The first frame's cells are all stored. Of every later one, a cell more similar to a
    stored one than MERGED is merged into it (eq. 8 to 10), one no less similar than
    `least_similar` is appended as it is (eq. 12 to 14), any other is discarded. That is the paper;
    it knows no bound. When full, the least-used cells make room, but for the first frame's. A
    cell's use is the number of later cells that found it nearest, merged or not, plus one for its
    own arrival, over the number of writes since: how often it was asked for in a frame.
    """

    kept = (*Bank.kept, '_keys', '_values', '_filled', '_uses', '_since', '_first')

    def __init__(
        self,
        capacity: int,
        channels: int,
        *,
        max_bytes: int,
        device: torch.device,
        merges: bool = True,
    ) -> None:
        """Allocate all. `capacity` is at least twice the cells of a frame.

        Unless it `merges`, what is alike is appended, too.
        """
        each = 4 * (channels + 2) + 1 + 8 + 8
        super().__init__(capacity, capacity * each, max_bytes)
        self.merges, self.graphs = merges, graphs_on(device)
        # A cell's channels lie side by side, as they are read.
        self._keys = torch.zeros(capacity, channels, device=device).mT
        self._values = torch.zeros(2, capacity, device=device)
        self._filled = torch.zeros(capacity, dtype=torch.bool, device=device)
        self._uses = torch.zeros(capacity, dtype=torch.long, device=device)
        self._since = torch.zeros(capacity, dtype=torch.long, device=device)
        self._first = 0  # cells of the first frame

    def faults(self, given: Given) -> Iterator[str]:
        """Half of the room at most is the first frame's, whose cells are never gone."""
        yield from super().faults(given)
        yield from outside(given, '_keys', -LARGEST, LARGEST)
        yield from outside(given, '_values', 0, 1 + ROUNDING)
        yield from outside(given, '_uses', 0, MOST)
        yield from outside(given, '_since', 0, given['writes'])
        yield from outside(given, '_first', 1, self.capacity // 2)
        first = given['_first']
        if not given['_filled'][:first].all():
            yield f'_filled lacks some of the first {first} cells'

    @property
    def entries(self) -> int:
        """Cells stored."""
        return int(self._filled.sum())

    def held(self) -> NDArray[np.int64]:
        """Numbers of the frames of which a cell is stored."""
        numbers, filled = fetched((self.numbers, self._filled))
        return np.asarray(torch.unique(numbers[filled]).numpy())

    @property
    def numbers(self) -> Tensor:
        """Of the frame that each cell (capacity,) came with, whatever was merged into it."""
        return self._since + 1

    def clear(self) -> None:
        """Forget all cells, and how they were used."""
        for of_cells in (self._filled, self._uses, self._since):
            of_cells.zero_()
        self._first = self.writes = self.refused = 0

    @torch.inference_mode()
    def write(self, keys: Tensor, foreground: Tensor) -> None:
        """Take in a frame's cells: keys (C, n) and how much of each is target (n,).

        Refused when frozen. Raises ValueError where there is no room for two frames.
        """
        if self.frozen:
            self.refuse()
            return
        values = torch.stack([foreground, 1 - foreground])
        if not self._first:
            self._first = keys.shape[1]
            if 2 * self._first > self.capacity:
                raise ValueError(f'{self.capacity} cells are too few for frames of {self._first}.')
            self._append(keys, values)
        else:
            fate = self._decided(self._keys, self._filled, keys)
            self._uses.index_add_(0, fate.cell, torch.ones_like(fate.cell))
            # The host decides on all places at once: a device is waited for but once.
            cell, merged, added = fetched(fate)
            alike, new = merged.nonzero()[:, 0], added.nonzero()[:, 0]
            first = torch.from_numpy(np.sort(np.unique(cell[alike], return_index=True)[1]))
            chosen = alike, cell[alike], cell[alike][first], new
            places = carried(torch.cat(chosen), keys.device).split([*map(len, chosen)])
            alike, cells, once, new = places
            if len(alike):
                seen = keys[:, alike], *values[:, None, alike]
                merge((self._keys, *self._values[:, None]), seen, cells, once)
            if len(new):
                self._append(keys[:, new], values[:, new])
        self.writes += 1

    def nearest(self, keys: Tensor) -> Nearest:
        """The stored cell most similar to each of the keys (C, n), eq. 7."""
        return nearest(self._keys, self._filled, keys)

    @captured
    def _decided(self, stored: Tensor, filled: Tensor, keys: Tensor) -> Fate:
        similarity, cell = nearest(stored, filled, keys)
        merged = similarity > (MERGED if self.merges else torch.inf)
        return Fate(cell, merged, (similarity >= least_similar(similarity)) & ~merged)

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """All cells, the shapes never change.

        Keys (1, C, capacity), values (1, 2, capacity): how much was target and how much background,
        and which cells are in use, bool (1, capacity). Raises ValueError when nothing was written.
        """
        if not self._first:
            raise ValueError('The memory bank is empty; write a frame before reading.')
        return self._keys[None], self._values[None], self._filled[None]

    def _append(self, keys: Tensor, values: Tensor) -> None:
        """Store keys (C, n) and values (2, n) in free places, in order, or the least-used ones."""
        use = self._uses / (self.writes - self._since).clamp_min(1)
        use[: self._first] = torch.inf
        use[~self._filled] = -torch.inf
        places = use.argsort(stable=True)[: keys.shape[1]]
        self._keys[:, places] = keys
        self._values[:, places] = values
        self._filled[places] = True
        self._uses[places] = 1
        self._since[places] = self.writes


def nearest(stored: Tensor, filled: Tensor, keys: Tensor) -> Nearest:
    """Of cells (C, M), those `filled` (M,), the one most similar to each of the keys (C, n)."""
    cells = F.normalize(stored.mT, dim=1)
    unfilled = torch.zeros_like(cells[:, :1]).masked_fill(~filled[:, None], -torch.inf)
    similarity = torch.addmm(unfilled, cells, F.normalize(keys, dim=0))
    # In two steps, of which the first is the one that a CPU's vector units do.
    length = math.gcd(len(cells), ROW)
    rows = similarity.unflatten(0, (-1, length))
    row = rows.amax(1).argmax(0)
    within = rows[row, :, torch.arange(len(row), device=row.device)]
    best, column = within.max(1)
    return Nearest(best, row * length + column)


def merge(stored: Iterable[Tensor], seen: Iterable[Tensor], cells: Tensor, once: Tensor) -> None:
    """Turn each `stored` (D, M) in place: |s| ((1 - beta) s / |s| + beta mean(t / |t|)).

    s is each of the stored vectors that `cells` (n,) names, and `once` (m,) but once, t all those
    of the `seen` (D, n) that go there. The paper mixes the vectors themselves (eq. 8 to 10); the
    authors' implementation, like this, turns the stored direction and keeps its length. A value,
    being a vector of one number, so never leaves 0 and hardly ever what it was.
    """
    share = (once[:, None] == cells).float()
    share = (share / share.sum(1, keepdim=True)).T
    for own, new in zip(stored, seen, strict=True):
        before = own[:, once]
        turned = (1 - UPDATE) * F.normalize(before, dim=0)
        turned = turned + UPDATE * (F.normalize(new, dim=0) @ share)
        own[:, once] = before.norm(dim=0) * turned
