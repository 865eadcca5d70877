"""Ways of reading a memory of feature cells."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GROUPS = 64  # into which the search for the largest divides the memory
TINY = 1e-12  # length of a key at least
AT_ONCE = 96  # queries whose weights for thousands of memory cells stay in a CPU's cache


def attend(
    asked: Tensor, held: Tensor, told: Tensor, valid: Tensor | None = None, *, scale: float
) -> Tensor:
    """Attention: the means of what is told, weighted by softmax(scale <held, asked>).

    asked (B, Q, C), held (B, M, C), told (B, M, D); `valid` (B, M) bool, false ones are not read.
    Returns (B, Q, D) of told's type. Products, which reach hundreds, and their softmax are in
    single precision.
    """
    asked, held, told = asked.float(), held.float().contiguous(), told.contiguous()
    bias = held.new_zeros(len(held), 1, held.shape[1])
    if valid is not None:
        bias = bias.masked_fill(~valid[:, None], -torch.inf)
    if asked.is_cuda:
        return F.scaled_dot_product_attention(
            asked, held, told.float(), attn_mask=bias, scale=scale
        ).to(told.dtype)
    parts = [
        torch.baddbmm(bias, part, held.mT, alpha=scale).softmax(2).to(told.dtype) @ told
        for part in asked.split(AT_ONCE, 1)
    ]
    return torch.cat(parts, 1)


def soft_read(keys: Tensor, values: Tensor, query: Tensor, valid: Tensor) -> Tensor:
    """Space-time memory read: the mean value, weighted by softmax(<key, query> / sqrt(C)).

    The softmax runs over all memory cells: STMTrack (Fu et al. 2021) eq. 3 and 4, with
    key = value there; SAMN's appearance memory is read the same way.

    keys: (B, C, M), values: (B, D, M), query: (B, C, H, W); `valid` (B, M) bool, false cells are
    not read. Returns (B, D, H, W), of the query's type.
    """
    asked, held, told = query.flatten(2).mT, keys.mT, values.mT.to(query.dtype)
    read = attend(asked, held, told, valid, scale=keys.shape[1] ** -0.5)
    picture: Tensor = read.mT.unflatten(2, query.shape[-2:])
    return picture


def soft_weights(keys: Tensor, query: Tensor, valid: Tensor) -> Tensor:
    """The weights (B, M, H, W) that `soft_read` gives every memory cell, of the same arguments.

    A read does without them: they are for looking into it.
    """
    asked, held = query.flatten(2).float(), keys.mT.float()
    product = (held @ asked / keys.shape[1] ** 0.5).masked_fill(~valid[..., None], -torch.inf)
    weights: Tensor = product.softmax(1).unflatten(2, query.shape[-2:])
    return weights


def best_read(keys: Tensor, values: Tensor, query: Tensor, valid: Tensor, best: int) -> Tensor:
    """Top-k mean read: the mean of the `best` largest products of cosine similarity and value.

    CMEDFL (Zhu et al. 2021) eq. 1 to 5, D3S (Lukezic et al. 2020) before it. Every value, such as
    how much of a cell is target and how much is background, is read on its own, and a cell takes
    part in each read by its product with that value.

    keys: (B, C, M), values: (B, V, M), query: (B, C, H, W); `valid` (B, M) bool, false cells are
    not read. Returns (B, V, H, W), of the query's type.
    """
    asked = F.normalize(query.flatten(2), dim=1)
    product = keys.to(query.dtype).mT @ asked
    # A value over its key's length makes of the product that with the cosine.
    weights = values / torch.linalg.vector_norm(keys, dim=1, keepdim=True).clamp_min(TINY)
    unread = torch.zeros_like(product[..., :1]).masked_fill(~valid[..., None], -torch.inf)
    means = [
        _largest((product * weight[..., None]).add_(unread), best).mean(1)
        for weight in weights.to(query.dtype).unbind(1)
    ]
    maps: Tensor = torch.stack(means, 1).unflatten(2, query.shape[-2:])
    return maps


def best_products(
    keys: Tensor, values: Tensor, query: Tensor, valid: Tensor, best: int
) -> tuple[Tensor, Tensor]:
    """What `best_read` takes the mean of, for one value (B, M): products, cells (B, best, H, W).

    The other arguments are the same. A read does without them: they are for looking into it.
    """
    asked, held = F.normalize(query.flatten(2).float(), dim=1), F.normalize(keys.float(), dim=1)
    product = held.mT @ asked * values[..., None]
    products, cells = product.masked_fill(~valid[..., None], -torch.inf).topk(best, 1)
    size = query.shape[-2:]
    return products.unflatten(2, size), cells.unflatten(2, size)


def _largest(x: Tensor, count: int) -> Tensor:
    """The `count` largest along dimension 1 of (B, M, Q): (B, count, Q), in a single pass over x.

    They are members of the `count` groups with the largest maxima, so only these are sorted.
    """
    if missing := -x.shape[1] % GROUPS:
        x = F.pad(x, (0, 0, 0, missing), value=-torch.inf)
    groups = x.unflatten(1, (-1, GROUPS))
    chosen = groups.amax(1).topk(count, 1).indices[:, None]
    members = groups.gather(2, chosen.expand(-1, groups.shape[1], -1, -1)).flatten(1, 2)
    largest: Tensor = members.topk(count, 1).values
    return largest
