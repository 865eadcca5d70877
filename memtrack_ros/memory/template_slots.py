"""MemTrack's bank: slots of templates, written as the controller says, and its own state."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import LARGEST, Given, outside
from memtrack_ros.nets.graphs import captured, graphs_on
from memtrack_ros.nets.memtrack import USAGE_DECAY, Signals, TemplateMemory, written, written_shares

MOST_USED = 2 / (1 - USAGE_DECAY) + 1  # a slot that all is read from and written to, and rounding


class TemplateSlots(Bank):
    """The memory of one target, B = 1: what `TemplateMemory` describes, on the device.

    The read gate's share of a write goes to the slots that the step read, the allocation gate's to
    the slot least used (section 3.6). So the bank is never full: a new look of the target replaces
    what was of least use.
    """

    kept = (*Bank.kept, '_initial', '_templates', '_usage', '_hidden', '_cell')

    def __init__(
        self,
        slots: int,
        template: tuple[int, int, int],
        hidden: int,
        *,
        max_bytes: int,
        device: torch.device,
    ) -> None:
        """Allocate `slots` of `template` C, n, n, the first template, a controller of `hidden`."""
        floats = (slots + 1) * math.prod(template) + slots + 2 * hidden
        super().__init__(slots, 4 * floats, max_bytes)
        self.graphs = graphs_on(device)
        self._initial = torch.zeros(1, *template, device=device)
        self._templates = torch.zeros(1, slots, *template, device=device)
        self._usage = torch.zeros(1, slots, device=device)
        self._hidden = torch.zeros(1, hidden, device=device)
        self._cell = torch.zeros(1, hidden, device=device)
        self._shares = torch.zeros(1, slots, device=device)  # of the newest write

    def faults(self, given: Given) -> Iterator[str]:
        """No slot is used more than wholly, step after step."""
        yield from super().faults(given)
        for name in ('_initial', '_templates', '_cell'):
            yield from outside(given, name, -LARGEST, LARGEST)
        yield from outside(given, '_hidden', -1, 1)
        yield from outside(given, '_usage', 0, MOST_USED)

    @property
    def entries(self) -> int:
        """Slots that hold something: soon all, as every write touches each of them a little."""
        return int(self._templates.flatten(2).any(-1).sum())

    def held(self) -> NDArray[np.int64]:
        """Numbers of the slots, from 1."""
        return np.arange(1, self.capacity + 1)

    def renewed(self, held: NDArray[np.int64]) -> NDArray[np.float64]:
        """How much of each slot the newest template took."""
        return self._shares[0].double().cpu().numpy()

    def clear(self) -> None:
        """Forget the target."""
        for own in self._tensors():
            own.zero_()
        self.writes = self.refused = 0

    def start(self, memory: TemplateMemory) -> None:
        """Forget what was, and take in the `memory` of a new target, nothing written yet."""
        self.clear()
        self._take(memory)

    def write(self, signals: Signals, template: Tensor) -> None:
        """Write `template` (1, C, n, n), seen in the step of `signals`, which become the state.

        Refused when frozen: then the controller stays as it was, too.
        """
        if self.frozen:
            self.refuse()
            return
        self._shares, memory = self._written(self._tensors(), signals, template)
        self._take(memory)
        self.writes += 1

    def read(self) -> TemplateMemory:
        """What is held now, not copied: a write changes it.

        Raises ValueError when nothing was written yet.
        """
        if not self.writes:
            raise ValueError('The memory bank is empty; write a template before reading.')
        return self._tensors()

    @captured
    def _written(
        self, memory: TemplateMemory, signals: Signals, template: Tensor
    ) -> tuple[Tensor, TemplateMemory]:
        """Each slot's share that is new, and the memory after the write."""
        return written_shares(memory.usage, signals), written(memory, signals, template)

    def _tensors(self) -> TemplateMemory:
        return TemplateMemory(self._initial, self._templates, self._usage, self._hidden, self._cell)

    def _take(self, memory: TemplateMemory) -> None:
        for own, new in zip(self._tensors(), memory, strict=True):
            own.copy_(new)
