"""What is captured as CUDA graphs on a GPU can be: it asks the host for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from tracking import Maker, Video, boxed, follow, owners_of_graphs

from memtrack_ros import trackers
from memtrack_ros.nets.graphs import captured
from memtrack_ros.nets.trees import leaves, mapped

HOST = {'_local_scalar_dense', 'nonzero', 'is_nonzero', 'item', 'lift_fresh', 'masked_select'}
"""Operations that wait for the device, or bring it something from the host."""


class NoHost(TorchDispatchMode):
    """Refuses what no graph can hold."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.__name__.partition('.')[0]
        by_mask = name in ('index', 'index_put', 'index_put_') and any(
            place is not None and place.dtype is torch.bool for place in args[1]
        )
        if name in HOST or by_mask:
            raise AssertionError(f'{name} asks the host')
        return func(*args, **(kwargs or {}))


class Watched:
    """Runs what would be a graph without the host, and counts the signatures of each method."""

    def __init__(self) -> None:
        self.signatures: dict[str, set[Any]] = {}

    def run(self, method: Callable[..., Any], owner: Any, inputs: tuple[Any, ...]) -> Any:
        signature = mapped(lambda tensor: (tensor.shape, tensor.dtype), inputs)
        self.signatures.setdefault(method.__name__, set()).add(signature)
        # Outside of inference mode, where the watch sees what functions are made of, too.
        with torch.inference_mode(False), torch.no_grad(), NoHost():
            return method(owner, *mapped(torch.clone, inputs))


class Pair(NamedTuple):
    one: Tensor
    other: Tensor | None


class Doubling:
    def __init__(self, graphs: Any = None) -> None:
        self.graphs = graphs

    @captured
    def double(self, x: Tensor) -> Tensor:
        return 2 * x

    @captured
    def ask(self, x: Tensor) -> Tensor:
        return x[x > 0]


def test_a_tree_keeps_its_form() -> None:
    tree = (torch.ones(2), Pair(torch.zeros(3), None), ())
    shapes = mapped(lambda tensor: tuple(tensor.shape), tree)
    assert shapes == ((2,), Pair((3,), None), ())  # type: ignore[arg-type]
    assert isinstance(shapes[1], Pair)
    assert [len(leaf) for leaf in leaves(tree)] == [2, 3]


def test_without_graphs_it_is_the_method() -> None:
    assert torch.equal(Doubling().ask(torch.tensor([1.0, -1.0])), torch.tensor([1.0]))


def test_what_asks_the_host_is_found() -> None:
    owner = Doubling(Watched())
    assert torch.equal(owner.double(torch.ones(1)), torch.full((1,), 2.0))
    with pytest.raises(AssertionError, match='index asks the host'):
        owner.ask(torch.ones(1))


def watch(tracker: Any) -> Watched:
    """Watches what of a tracker would be graphs."""
    watched = Watched()
    for part in owners_of_graphs(tracker):
        part.graphs = watched
    return watched


@pytest.mark.parametrize('name', trackers.NAMES)
def test_no_graph_of_a_published_network_asks_the_host(
    name: str, make: Maker, video: Video
) -> None:
    tracker: Any = make(name, 'paper')
    watched = watch(tracker)
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    assert len(list(follow(tracker, video.frames[1:2], video.box))) == 1
    assert watched.signatures


@pytest.mark.parametrize('name', trackers.NAMES)
def test_no_graph_asks_the_host(name: str, make: Maker, video: Video) -> None:
    tracker: Any = make(name)
    watched = watch(tracker)
    if name == 'dmv':
        tracker.bank.interval = 2
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    expected = {method: set(seen) for method, seen in watched.signatures.items()}
    for found in follow(tracker, video.frames[1:12], video.box):
        tracker.learn(found)
        tracker.identity.judge(found)
    assert {'query', 'answer', '_comparison'} <= watched.signatures.keys()
    later = {m: seen - expected.get(m, set()) for m, seen in watched.signatures.items()}
    assert all(len(seen) <= 1 for seen in later.values())
