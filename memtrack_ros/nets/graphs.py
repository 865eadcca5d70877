"""Functions of tensors as CUDA graphs: a hundred kernels for the price of launching one.

Small networks keep a GPU waiting for the host, which takes longer to launch a kernel than that
takes to run. A graph holds all the launches of a function, and is launched at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from memtrack_ros.nets.trees import leaves, mapped

P = ParamSpec('P')
T = TypeVar('T')
MOST = 24  # graphs of one owner; what is asked for beyond is computed as it comes


def captured(method: Callable[P, T]) -> Callable[P, T]:
    """A method that an owner of `graphs` computes as a graph; any other as it is.

    Its arguments, none of them named, and what it gives are tensors, in tuples. It asks the host
    for nothing: no number or place in a tensor, nothing that is not on the device already. Of the
    owner it uses what never changes. No captured method calls another of the same owner.
    """

    @wraps(method)
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        owner: Any = arguments[0]
        graphs: Graphs | None = getattr(owner, 'graphs', None)
        if graphs is None or named:
            return method(*arguments, **named)
        given: T = graphs.run(method, owner, arguments[1:])
        return given

    return run


def constants(values: Sequence[float], device: torch.device) -> Tensor:
    """Values (N,) that are filled in on the device: a graph can hold no copy from the host."""
    return torch.stack([torch.full((), value, device=device) for value in values])


def graphs_on(device: torch.device) -> Graphs | None:
    """Those of a new owner on the device; None where there are none."""
    return Graphs() if device.type == 'cuda' else None


class Graphs:
    """The graphs of one owner: one for each method and signature, the inputs' shapes and types.

    They are captured when they are first asked for, and share the memory that they compute in,
    since they never run at once: an owner and its twins are used by one thread at a time.
    """

    def __init__(self) -> None:
        self._graphs: dict[Any, Graph] = {}
        self._pool: Any = None

    def __len__(self) -> int:
        return len(self._graphs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Graphs:
        """Itself: a twin computes the same."""
        return self

    @torch.inference_mode()
    def run(self, method: Callable[..., Any], owner: Any, inputs: tuple[Any, ...]) -> Any:
        """What `method` of the owner gives for inputs, tensors in tuples, on one CUDA device.

        OutOfMemoryError where there is no room for a graph; then there is none.
        """
        signature = method, mapped(lambda tensor: (tensor.shape, tensor.dtype), inputs)
        graph = self._graphs.get(signature)
        if graph is None:
            if len(self) >= MOST:
                return method(owner, *inputs)
            self._pool = self._pool or torch.cuda.graph_pool_handle()
            graph = Graph(lambda *held: method(owner, *held), inputs, self._pool)
            self._graphs[signature] = graph
        return graph(inputs)


class Graph:
    """One function for inputs of one signature."""

    def __init__(self, function: Callable[..., Any], inputs: Any, pool: Any) -> None:
        """Capture it; of `inputs` only the signature counts."""
        self._inputs: Any = mapped(torch.clone, inputs)
        device = next(leaves(inputs)).device
        stream = _side(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            function(*self._inputs)  # libraries set themselves up, which no graph can hold
        self._graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile.
        with torch.cuda.graph(
            self._graph, pool=pool, stream=stream, capture_error_mode='thread_local'
        ):
            self._outputs: Any = function(*self._inputs)

    def __call__(self, inputs: Any) -> Any:
        """What the function gives for `inputs`, in tensors that the next run leaves alone."""
        copy(inputs, self._inputs)
        self._graph.replay()
        outputs = mapped(torch.empty_like, self._outputs)
        copy(self._outputs, outputs)
        return outputs


def copy(source: Any, target: Any) -> None:
    """Make the tensors of a tree those of another, with one launch for all of a type."""
    pairs = defaultdict[torch.dtype, tuple[list[Tensor], list[Tensor]]](lambda: ([], []))
    for given, held in zip(leaves(source), leaves(target), strict=True):
        givens, helds = pairs[held.dtype]
        givens.append(given)
        helds.append(held)
    for givens, helds in pairs.values():
        torch._foreach_copy_(helds, givens)


@cache
def _side(device: torch.device) -> torch.cuda.Stream:
    """The stream beside the usual one on which all graphs of a device are captured.

    One for all, as libraries keep memory for every stream that they have seen.
    """
    return torch.cuda.Stream(device)
