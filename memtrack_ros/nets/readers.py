"""Ways of reading a memory of feature cells."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def soft_read(keys: Tensor, values: Tensor, query: Tensor, valid: Tensor) -> Tensor:
    """Space-time memory read: the mean value, weighted by softmax(<key, query> / sqrt(C)).

    The softmax runs over all memory cells: STMTrack (Fu et al. 2021) eq. 3 and 4, with
    key = value there; SAMN's appearance memory is read the same way.

    keys: (B, C, M), values: (B, D, M), query: (B, C, H, W); `valid` (B, M) bool, false cells are
    not read. Returns (B, D, H, W).
    """
    asked, held = query.flatten(2).mT, keys.mT
    read = F.scaled_dot_product_attention(asked, held, values.mT, attn_mask=valid[:, None])
    picture: Tensor = read.mT.unflatten(2, query.shape[-2:])
    return picture
