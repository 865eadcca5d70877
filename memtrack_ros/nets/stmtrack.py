"""STMTrack's compact network: shared small trunk, soft memory read, box head, mask decoder."""
from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from memtrack_ros.nets.compact import STRIDE, WIDTHS, CompactTrunk, ConvNorm, Features
from memtrack_ros.nets.heads import BoxHead, BoxMaps
from memtrack_ros.nets.mask_decoder import MaskDecoder
from memtrack_ros.nets.readers import soft_read

KEY = 96
ANSWER = 128
HEAD = 96


class Answer(NamedTuple):
    """What one query says: the box head's maps, and mask logits at stride 2 (B, 1, S/2, S/2)."""

    maps: BoxMaps
    mask: Tensor


class CompactSTMTrack(nn.Module):
    """Memory and query frames share the trunk; a memory frame's label map marks it as one."""

    channels = KEY  # of a memory cell

    def __init__(self) -> None:
        super().__init__()
        eighth = WIDTHS[-1]
        self.trunk = CompactTrunk()
        self.neck_m = nn.Conv2d(eighth, KEY, 3, padding=1)
        self.neck_q = nn.Conv2d(eighth, KEY, 3, padding=1)
        # Alike from the start: before any training a cell already reads the cells that look like it.
        self.neck_q.load_state_dict(self.neck_m.state_dict())
        self.join = ConvNorm(2 * KEY, ANSWER)
        # A stride-8 cell of stride-2 convolutions padded by one is centred at pixel 8 i.
        self.head = BoxHead(ANSWER, HEAD, depth=2, stride=STRIDE, offset=0.0)
        self.mask_decoder = MaskDecoder(ANSWER)

    def trunk_features(self, crops: Tensor, labels: Tensor) -> Features:
        """Trunk features of crops (N, 3, S, S), RGB 0..255, with labels (N, 1, S, S)."""
        features: Features = self.trunk(crops, labels)
        return features

    def memorise(self, crops: Tensor, labels: Tensor) -> Tensor:
        """Memory cells f_m (N, KEY, S/8, S/8) of labelled crops; they are key and value at once."""
        cells: Tensor = self.neck_m(self.trunk_features(crops, labels).eighth)
        return cells

    def query(self, crops: Tensor) -> Features:
        """Trunk features of crops in which the target is to be found."""
        return self.trunk_features(crops, torch.zeros_like(crops[:, :1]))

    def answer(self, memory: Tensor, valid: Tensor, query: Features) -> Answer:
        """Read `memory` (B, KEY, M), of which the cells `valid` (B, M) are in use, with the query's features."""
        f_q = self.neck_q(query.eighth)
        read = soft_read(memory, memory, f_q, valid)
        y = torch.relu(self.join(torch.cat([read, f_q], 1)))
        return Answer(self.head(y), self.mask_decoder(y, query))
