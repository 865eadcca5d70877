"""Everything that changes while a target is followed, as one flat table of tensors and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST = 2**31
"""Of anything counted, years of images: messages and integers have room for as many again."""
LARGEST = 1e4
"""Magnitude of what networks say of an image; a hundred is much."""

Given = Mapping[str, Any]
"""Attributes by name, as they would be."""


class Stateful:
    """An object whose whole changing state is the attributes that `kept` names.

    They may be tensors, NumPy arrays, numbers, bools, or Stateful themselves. Tensors and arrays
    keep their shape, numbers and bools their type; arrays that `longest` names may have from one to
    so many entries.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    longest: Mapping[str, int] = {}

    def faults(self, given: Given) -> Iterator[str]:
        """Why the attributes cannot be as `given`, types, shapes and finiteness apart.

        To be said next to `kept` of whatever this object relies on.
        """
        yield from ()

    def state(self) -> dict[str, Tensor]:
        """Copies on the CPU by name; what a Stateful attribute holds is named 'attribute.name'."""
        state: dict[str, Tensor] = {}
        for name in self.kept:
            value = getattr(self, name)
            if isinstance(value, Stateful):
                state |= {f'{name}.{inner}': tensor for inner, tensor in value.state().items()}
            else:
                state[name] = _tensor(value).detach().cpu().clone().contiguous()
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` was taken from.

        Raises ValueError, with nothing changed, where no object of this kind can be like that.
        """
        if fault := self.mismatch(state):
            raise ValueError(fault)
        self._become(state)

    def mismatch(self, state: Mapping[str, Tensor]) -> str:
        """Why no object of this kind can have this state; empty when one can."""
        given: dict[str, Any] = {}
        unknown = set(state)
        for name in self.kept:
            own = getattr(self, name)
            if isinstance(own, Stateful):
                within = _within(state, name)
                unknown -= {f'{name}.{inner}' for inner in within}
                if fault := own.mismatch(within):
                    return f'{name}.{fault}'
            elif name not in state:
                return f'{name} is missing'
            elif fault := _difference(own, state[name], self.longest.get(name)):
                return f'{name} has {fault}'
            else:
                unknown.remove(name)
                try:
                    given[name] = _like(own, state[name])
                except ValueError as error:  # no member of an enumeration
                    return f'{name}: {error}'
        return f'{min(unknown)} is unknown' if unknown else next(self.faults(given), '')

    @torch.inference_mode()
    def _become(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state that was checked."""
        for name in self.kept:
            own = getattr(self, name)
            if isinstance(own, Stateful):
                own._become(_within(state, name))
            elif isinstance(own, Tensor):
                own.copy_(state[name])
            else:
                setattr(self, name, _like(own, state[name]))


def outside(given: Given, name: str, low: float, high: float) -> Iterator[str]:
    """That `name`, a number or many, has one that is not from `low` to `high`."""
    values = _tensor(given[name])
    if values.numel():
        for value in (values.min().item(), values.max().item()):
            if not low <= value <= high:
                yield f'{name} holds {value:g}, which is not in {low:g} to {high:g}'


def _tensor(value: Tensor | NDArray[np.generic] | float) -> Tensor:
    if isinstance(value, float):
        return torch.tensor(value, dtype=torch.float64)
    return torch.as_tensor(value)


def _like(own: Any, given: Tensor) -> Any:
    """`given` as what `own` is: a tensor, a copy of an array, a number."""
    if isinstance(own, Tensor):
        return given
    return given.numpy().copy() if isinstance(own, np.ndarray) else type(own)(given.item())


def _difference(
    own: Tensor | NDArray[np.generic] | float, given: Tensor, longest: int | None
) -> str:
    """What about `given` cannot be `own`'s; empty when it can.

    It may have another length where there is a `longest`.
    """
    wanted = _tensor(own)
    if given.dtype != wanted.dtype:
        return f'type {given.dtype}, not {wanted.dtype}'
    shape, expected = tuple(given.shape), tuple(wanted.shape)
    if longest is not None and given.ndim == 1:
        if not 1 <= len(given) <= longest:
            return f'{len(given)} entries, not 1 to {longest}'
    elif shape != expected:
        return f'shape {shape}, not {expected}'
    return '' if given.isfinite().all() else 'numbers that are not finite'


def _within(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """What `state` says of the attribute `name`'s own attributes."""
    prefix = f'{name}.'
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
