"""Ways of reading a memory of feature cells."""
from __future__ import annotations

import math

import torch
from torch import Tensor


def soft_read(keys: Tensor, values: Tensor, query: Tensor, valid: Tensor) -> Tensor:
    """Space-time memory read: softmax over all memory cells of <key, query> / sqrt(C), then the mean value.

    STMTrack (Fu et al. 2021) eq. 3 and 4, with key = value there; SAMN's appearance read is the same.

    keys: (B, C, M), values: (B, D, M), query: (B, C, H, W); `valid` (B, M) bool, false cells are not read.
    Returns (B, D, H, W).
    """
    height, width = query.shape[-2:]
    affinity = keys.transpose(1, 2) @ query.flatten(2) / math.sqrt(keys.shape[1])
    affinity = affinity.masked_fill(~valid[..., None], -torch.inf)
    read = values @ affinity.softmax(1)
    return read.unflatten(2, (height, width))
