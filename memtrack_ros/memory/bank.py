"""What every memory bank is: allocated once, never growing, frozen and cleared at will."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.memory.snapshot import MOST, Given, Stateful, outside


@dataclass(frozen=True)
class BankStatus:
    """What a bank holds; the fields are those of MemoryStatus.msg."""

    entries: int
    capacity: int
    bytes: int
    writes: int
    refused: int
    frozen: bool


class Bank(Stateful, ABC):
    """A memory of fixed capacity. A frozen bank refuses writes; refusals are counted."""

    kept: ClassVar[tuple[str, ...]] = ('writes', 'refused')

    def __init__(self, capacity: int, nbytes: int, max_bytes: int) -> None:
        """Refuse, with ConfigurationError, to be larger than `max_bytes`.

        Subclasses allocate after this check.
        """
        if nbytes > max_bytes:
            raise ConfigurationError(
                f'The memory bank needs {nbytes} bytes, but memory.max_bytes allows {max_bytes}; '
                'raise memory.max_bytes or choose the compact variant.'
            )
        self.capacity = capacity
        self.bytes = nbytes
        self.writes = 0
        self.refused = 0
        self.frozen = False

    def faults(self, given: Given) -> Iterator[str]:
        """The bank of a target was written at least once."""
        yield from outside(given, 'writes', 1, MOST)
        yield from outside(given, 'refused', 0, MOST)

    @property
    @abstractmethod
    def entries(self) -> int:
        """Slots, frames or cells in use."""

    @abstractmethod
    def clear(self) -> None:
        """Forget everything, the counters too; the allocation stays."""

    def held(self) -> NDArray[np.int64]:
        """Numbers (N,) of what it holds: frames, from 1 in the order of writing, or slots.

        In the order in which they are stored; none where what is stored is of no frame.
        """
        return np.empty(0, np.int64)

    def renewed(self, held: NDArray[np.int64]) -> NDArray[np.float64]:
        """How much (N,) of each of these, all it holds, the newest write made anew, in 0..1."""
        return np.asarray(held == self.writes, float)

    def refuse(self) -> None:
        """Count a write that was withheld."""
        self.refused += 1

    def status(self) -> BankStatus:
        """A snapshot of the counters."""
        return BankStatus(
            self.entries, self.capacity, self.bytes, self.writes, self.refused, self.frozen
        )
