"""Ways of reading a memory of feature cells."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def soft_read(keys: Tensor, values: Tensor, query: Tensor, valid: Tensor) -> Tensor:
    """Space-time memory read: the mean value, weighted by softmax(<key, query> / sqrt(C)).

    The softmax runs over all memory cells: STMTrack (Fu et al. 2021) eq. 3 and 4, with
    key = value there; SAMN's appearance memory is read the same way.

    keys: (B, C, M), values: (B, D, M), query: (B, C, H, W); `valid` (B, M) bool, false cells are
    not read. Returns (B, D, H, W).
    """
    height, width = query.shape[-2:]
    affinity = keys.transpose(1, 2) @ query.flatten(2) / math.sqrt(keys.shape[1])
    affinity = affinity.masked_fill(~valid[..., None], -torch.inf)
    read: Tensor = (values @ affinity.softmax(1)).unflatten(2, (height, width))
    return read
