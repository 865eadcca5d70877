"""Tensors in tuples, and these in others: what networks take and give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor


def mapped(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """The same tree with what `function` makes of each tensor in its place; None stays None."""
    if isinstance(tree, Tensor):
        return function(tree)
    if tree is None:
        return None
    parts = [mapped(function, part) for part in tree]
    return type(tree)(*parts) if hasattr(tree, '_fields') else tuple(parts)


def leaves(tree: Any) -> Iterator[Tensor]:
    """All tensors of a tree, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif tree is not None:
        for part in tree:
            yield from leaves(part)
