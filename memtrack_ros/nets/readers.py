"""Ways of reading a memory of feature cells."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = 64  # into which the search for the largest divides the memory


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


def soft_weights(keys: Tensor, query: Tensor, valid: Tensor) -> Tensor:
    """The weights (B, M, H, W) that `soft_read` gives every memory cell, of the same arguments.

    A read does without them: they are for looking into it.
    """
    asked, held = query.flatten(2), keys.mT
    product = (held @ asked / keys.shape[1] ** 0.5).masked_fill(~valid[..., None], -torch.inf)
    weights: Tensor = product.softmax(1).unflatten(2, query.shape[-2:])
    return weights


def best_read(keys: Tensor, values: Tensor, query: Tensor, valid: Tensor, best: int) -> Tensor:
    """Top-k mean read: the mean of the `best` largest products of cosine similarity and value.

    CMEDFL (Zhu et al. 2021) eq. 1 to 5, D3S (Lukezic et al. 2020) before it. Every value, such as
    how much of a cell is target and how much is background, is read on its own, and a cell takes
    part in each read by its product with that value.

    keys: (B, C, M), values: (B, V, M), query: (B, C, H, W); `valid` (B, M) bool, false cells are
    not read. Returns (B, V, H, W).
    """
    asked, held = F.normalize(query.flatten(2), dim=1), F.normalize(keys, dim=1)
    similarity = held.mT @ asked
    unread = torch.zeros_like(keys[:, 0]).masked_fill(~valid, -torch.inf)[..., None]
    means = [
        _largest(torch.addcmul(unread, similarity, value[..., None]), best).mean(1)
        for value in values.unbind(1)
    ]
    maps: Tensor = torch.stack(means, 1).unflatten(2, query.shape[-2:])
    return maps


def _largest(x: Tensor, count: int) -> Tensor:
    """The `count` largest along dimension 1 of (B, M, Q): (B, count, Q), in a single pass over x.

    They are members of the `count` groups with the largest maxima, so only these are sorted.
    """
    groups = F.pad(x, (0, 0, 0, -x.shape[1] % GROUPS), value=-torch.inf).unflatten(1, (-1, GROUPS))
    chosen = groups.amax(1).topk(count, 1).indices[:, None]
    members = groups.gather(2, chosen.expand(-1, groups.shape[1], -1, -1)).flatten(1, 2)
    largest: Tensor = members.topk(count, 1).values
    return largest
