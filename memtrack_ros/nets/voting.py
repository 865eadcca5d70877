"""DMV's way of reading a memory: the parts most like the query's put what to believe to a vote."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CANDIDATES = 4  # K of the paper
HEADS = 8  # H of the paper


class VotedRead(nn.Module):
    """The voting-based retrieval of DMV (Nam et al. 2020), section 3.2 and supplement 6.

    Every cell of the query takes the values of its K `most_similar` memory cells, joined with its
    own features, into one layer of multi-head self-attention among the K, in which none attends to
    itself; the strongest response in every channel is what was read.

    Figure 7 of the supplement names the shapes K x 2C, K x C, K x C/4, K x K and K x HC and four
    linear layers. The reading that needs just these: a first linear layer narrows value and query
    (2C) to C; each head has queries and keys of C/4 and mixes the C channels themselves; a last one
    narrows all heads' answers (HC) to C. How the Transformer's residual sum and layer
    normalisation go with it is its usual way: after the attention. A query that matches nothing
    finds a value of zeros.

    Choosing has no gradient, and the paper does not say how its similarity learns, nor how the
    vote learns of it. Here a chosen value counts as far as its cell matches better than nothing
    does: of f = exp(<query, key>) and the 1 of no match in eq. 1 it has the factor
    (f - 1) / (f + 1), but not less than 0: what matches worse votes for nothing. Where it
    `negates`, it votes for the opposite; so the compact network was trained.
    """

    def __init__(self, channels: int, *, negates: bool = False) -> None:
        super().__init__()
        self.negates = negates
        self.candidates = CANDIDATES
        self.narrow = nn.Linear(2 * channels, channels)
        self.asked = nn.Linear(channels, HEADS * (channels // 4))
        self.held = nn.Linear(channels, HEADS * (channels // 4))
        self.answer = nn.Linear(HEADS * channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, keys: Tensor, values: Tensor, query: Tensor, valid: Tensor) -> Tensor:
        """What each cell of `query` (B, C, H, W) reads, (B, C, H, W).

        Keys and values are (B, T, C, H, W) of T frames, of which those `valid` (B, T) are in use.
        """
        chosen = most_similar(keys, query, valid, self.candidates)
        key, value = (_cells(memory, chosen) for memory in (keys, values))
        asking = query.to(keys.dtype).flatten(2).mT[:, :, None].expand_as(key)
        similarity = (asking * key).sum(-1, keepdim=True)
        worth = torch.tanh(similarity / 2)
        value = value * (worth if self.negates else worth.clamp_min(0))
        voted = self.vote(torch.cat([value, asking], -1))
        picture: Tensor = voted.mT.unflatten(2, query.shape[-2:])
        return picture

    def vote(self, candidates: Tensor) -> Tensor:
        """The verdict (..., C) of `candidates` (..., K, 2C), in whatever order."""
        x = self.narrow(candidates)
        # (..., H, K, C / 4): each head's view.
        asked, held = (
            linear(x).unflatten(-1, (HEADS, -1)).transpose(-2, -3)
            for linear in (self.asked, self.held)
        )
        itself = torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
        agreement = asked @ held.mT / asked.shape[-1] ** 0.5
        agreement = agreement.masked_fill(itself, -torch.inf)
        # A softmax, which has its ways with long rows, not with a hundred thousand of four.
        attention = (agreement - agreement.amax(-1, keepdim=True)).exp()
        attention = attention / attention.sum(-1, keepdim=True)
        # (..., K, H, K) times (..., K, C): every candidate hears all heads.
        heard = attention.transpose(-2, -3).flatten(-3, -2) @ x
        heard = heard.unflatten(-2, (-1, HEADS)).flatten(-2)
        voted: Tensor = self.norm(x + self.answer(heard))
        return voted.amax(-2)


@torch.no_grad()
def most_similar(
    keys: Tensor, query: Tensor, valid: Tensor, candidates: int = CANDIDATES
) -> Tensor:
    """The K columns of eq. 1 with the highest scores for each cell of the query, (B, H * W, K).

    Column 0 is 'no match', whose score is exp(0); column 1 + (t H + y) W + x is cell (y, x) of
    frame t, whose score is exp(<query, key>). What they are divided by is the same for all.

    keys: (B, T, C, H, W); query: (B, C, h, w); `valid` (B, T) bool, other frames are not chosen.
    """
    width = keys.shape[-1]
    scores = keys.to(query.dtype).flatten(3).mT @ query.flatten(2)[:, None]
    scores = scores.unflatten(2, (-1, width)).flatten(1, 2)  # (B, T * H, W, h * w)
    # The K best cells lie in those K rows of cells whose best are best: far fewer are to be sorted.
    in_use = valid.repeat_interleave(keys.shape[-2], 1)
    best_of_row = scores.amax(2).masked_fill(~in_use[..., None], -torch.inf)
    rows = best_of_row.topk(min(candidates, best_of_row.shape[1]), 1).indices
    within = scores.gather(1, rows[:, :, None].expand(-1, -1, width, -1)).flatten(1, 2)
    best, cell = within.topk(candidates, 1)
    columns = 1 + rows.gather(1, cell // width) * width + cell % width
    nothing = torch.zeros_like(best[:, :1])
    order = torch.cat([nothing, best], 1).topk(candidates, 1).indices
    chosen: Tensor = torch.cat([torch.zeros_like(columns[:, :1]), columns], 1).gather(1, order).mT
    return chosen


def _cells(memory: Tensor, columns: Tensor) -> Tensor:
    """Features (B, N, K, C) of the `columns` (B, N, K) of eq. 1 in `memory` (B, T, C, H, W).

    Column 0 has zeros.
    """
    batch = torch.arange(len(memory), device=memory.device)[:, None, None]
    frame, cell = (columns - 1).clamp_min(0), memory.shape[-2] * memory.shape[-1]
    features = memory.flatten(3)[batch, frame // cell, :, frame % cell]
    return features * (columns > 0)[..., None]
