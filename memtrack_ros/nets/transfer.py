"""From the host to the device and back, with as little waiting as can be."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.nets.trees import leaves, mapped

Tree = TypeVar('Tree')


def carried(values: NDArray[np.generic] | Tensor, device: torch.device) -> Tensor:
    """An array or tensor of the host on the device; nobody waits until it is there.

    On a CPU it is not copied.
    """
    held = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type != 'cuda':
        return held.to(device)
    return held.pin_memory().to(device, non_blocking=True)


def fetched(tree: Tree) -> Tree:
    """The same tensors, in tuples, on the host: all are waited for at once, and for them alone."""
    devices = {tensor.device for tensor in leaves(tree) if tensor.is_cuda}
    copies: Any = mapped(lambda tensor: tensor.to('cpu', non_blocking=True), tree)
    for device in devices:
        torch.cuda.current_stream(device).synchronize()
    return copies  # type: ignore[no-any-return]
