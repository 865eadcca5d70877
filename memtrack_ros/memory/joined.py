"""Two banks of one tracker as one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.memory.bank import Bank
from memtrack_ros.memory.snapshot import Given


class JoinedBanks(Bank):
    """What users see of a tracker with two banks: the counters of `main`, the bytes of both.

    Both are frozen and cleared together.
    """

    kept = ('main', 'beside')

    def __init__(self, main: Bank, beside: Bank, max_bytes: int) -> None:
        """Refuse, with ConfigurationError, when both together need more than `max_bytes`."""
        self.main, self.beside = main, beside
        super().__init__(main.capacity, main.bytes + beside.bytes, max_bytes)

    def faults(self, given: Given) -> Iterator[str]:
        """None: it keeps nothing of its own."""
        yield from ()

    @property
    def entries(self) -> int:
        """Those of `main`."""
        return self.main.entries

    @property
    def writes(self) -> int:
        """Those of `main`."""
        return self.main.writes

    @writes.setter
    def writes(self, value: int) -> None:
        self.main.writes = value

    @property
    def refused(self) -> int:
        """Those of `main`."""
        return self.main.refused

    @refused.setter
    def refused(self, value: int) -> None:
        self.main.refused = value

    @property
    def frozen(self) -> bool:
        """Whether both refuse writes."""
        return self.main.frozen

    @frozen.setter
    def frozen(self, value: bool) -> None:
        self.main.frozen = self.beside.frozen = value

    def held(self) -> NDArray[np.int64]:
        """What `main` holds."""
        return self.main.held()

    def renewed(self, held: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of these."""
        return self.main.renewed(held)

    def clear(self) -> None:
        """Forget everything in both."""
        self.main.clear()
        self.beside.clear()
