"""Everything that changes while a target is followed, as one flat table of tensors and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Stateful:
    """An object whose whole changing state is the attributes that `kept` names.

    They may be tensors (None while there is nothing to hold), NumPy arrays, numbers, bools, or
    Stateful themselves. A tensor keeps its shape, numbers and bools their type.
    """

    kept: ClassVar[tuple[str, ...]] = ()
    device = torch.device('cpu')  # where tensors go that were None before

    def state(self) -> dict[str, Tensor]:
        """Copies on the CPU by name; what a Stateful attribute holds is named 'attribute.name'."""
        state: dict[str, Tensor] = {}
        for name in self.kept:
            value = getattr(self, name)
            if isinstance(value, Stateful):
                state |= {f'{name}.{inner}': tensor for inner, tensor in value.state().items()}
            elif value is not None:
                state[name] = _tensor(value).detach().cpu().clone().contiguous()
        return state

    @torch.inference_mode()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` was taken from; where it is silent, what is None stays None.

        Raises ValueError, with nothing changed, where it is not of an object of this kind.
        """
        if fault := self.mismatch(state):
            raise ValueError(fault)
        for name in self.kept:
            own = getattr(self, name)
            if isinstance(own, Stateful):
                own.restore(_within(state, name))
            elif isinstance(own, Tensor):
                own.copy_(state[name])
            elif isinstance(own, np.ndarray):
                setattr(self, name, state[name].numpy().copy())
            elif own is not None:
                setattr(self, name, type(own)(state[name].item()))
            elif name in state:
                setattr(self, name, state[name].to(self.device, copy=True))

    def mismatch(self, state: Mapping[str, Tensor]) -> str:
        """Why `state` is not of an object of this kind; empty when it is."""
        unknown = set(state)
        for name in self.kept:
            own = getattr(self, name)
            if isinstance(own, Stateful):
                within = _within(state, name)
                unknown -= {f'{name}.{inner}' for inner in within}
                if fault := own.mismatch(within):
                    return f'{name}.{fault}'
                continue
            unknown.discard(name)
            if name not in state:
                if own is not None:
                    return f'{name} is missing'
            elif own is not None and (fault := _difference(own, state[name])):
                return f'{name} has {fault}'
        return f'{min(unknown)} is unknown' if unknown else ''


def _tensor(value: Tensor | NDArray[np.generic] | float) -> Tensor:
    if isinstance(value, float):
        return torch.tensor(value, dtype=torch.float64)
    return torch.as_tensor(value)


def _difference(own: Tensor | NDArray[np.generic] | float, given: Tensor) -> str:
    """What about `given` cannot be `own`'s; empty when it can. Arrays may be longer or shorter."""
    wanted = _tensor(own)
    if given.dtype != wanted.dtype:
        return f'type {given.dtype}, not {wanted.dtype}'
    if isinstance(own, np.ndarray):
        return f'{given.ndim} dimensions, not {own.ndim}' if given.ndim != own.ndim else ''
    shape = tuple(wanted.shape)
    return f'shape {tuple(given.shape)}, not {shape}' if given.shape != shape else ''


def _within(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """What `state` says of the attribute `name`'s own attributes."""
    prefix = f'{name}.'
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
