"""STMTrack's networks (Fu et al., CVPR 2021): the published one, and a compact one.

Both remember f_m = neck_m(trunk(crop, label map)), which is key and value at once, ask with
f_q = neck_q(trunk(crop)), and answer from y = concat(read of f_m by f_q, f_q) (section 3.2).
The compact one segments too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memtrack_ros.nets.compact import CROP, STRIDE, WIDTHS, CompactTrunk, ConvNormReLU, Features
from memtrack_ros.nets.graphs import captured
from memtrack_ros.nets.heads import Answer, BoxHead
from memtrack_ros.nets.inception import InceptionTrunk
from memtrack_ros.nets.mask_decoder import MaskDecoder
from memtrack_ros.nets.readers import soft_read

KEY = 96
ANSWER = 128
HEAD = 96


class PaperSTMTrack(nn.Module):
    """The published network.

    Two Inception-v3 trunks, 512 channels, crops of 289 pixels, 25 x 25 cells.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.cells = 512, 25
        self.trunk_m = InceptionTrunk(labelled=True)
        self.trunk_q = InceptionTrunk(labelled=False)
        self.neck_m = nn.Conv2d(768, self.channels, 3, padding=1)
        self.neck_q = nn.Conv2d(768, self.channels, 3, padding=1)
        self.head = BoxHead(2 * self.channels, 256, depth=7, stride=8, offset=48.0)

    @captured
    def memorise(self, crops: Tensor, labels: Tensor) -> Tensor:
        """Memory cells f_m (N, 512, 25, 25).

        Of crops (N, 3, 289, 289), RGB 0..255, with labels (N, 1, 289, 289) in 0..1.
        """
        cells: Tensor = self.neck_m(self.trunk_m(crops, labels))
        return cells

    @captured
    def query(self, crops: Tensor) -> Tensor:
        """f_q (N, 512, 25, 25) of crops in which the target is to be found."""
        f_q: Tensor = self.neck_q(self.trunk_q(crops))
        return f_q

    def forward(self, memory: Tensor, valid: Tensor, crops: Tensor) -> Answer:
        """Query and answer in one."""
        return self.answer(memory, valid, self.query(crops))

    def join(self, memory: Tensor, valid: Tensor, f_q: Tensor) -> Tensor:
        """y = concat(read, f_q), (B, 1024, 25, 25)."""
        return torch.cat([soft_read(memory, memory, f_q, valid), f_q], 1)

    @captured
    def answer(self, memory: Tensor, valid: Tensor, f_q: Tensor) -> Answer:
        """Read `memory` (B, 512, M), of which the cells `valid` (B, M) are in use."""
        return Answer(self.head(self.join(memory, valid, f_q)), None)


class CompactSTMTrack(nn.Module):
    """Memory and query frames share the trunk; a memory frame's label map marks it as one."""

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.cells = KEY, CROP // STRIDE
        eighth = WIDTHS[-1]
        self.trunk = CompactTrunk()
        self.neck_m = nn.Conv2d(eighth, KEY, 3, padding=1)
        self.neck_q = nn.Conv2d(eighth, KEY, 3, padding=1)
        # Alike from the start: before any training a cell already reads the cells that look like
        # it.
        self.neck_q.load_state_dict(self.neck_m.state_dict())
        self.join = ConvNormReLU(2 * KEY, ANSWER)
        # A stride-8 cell of stride-2 convolutions padded by one is centred at pixel 8 i.
        self.head = BoxHead(ANSWER, HEAD, depth=2, stride=STRIDE, offset=0.0)
        self.mask_decoder = MaskDecoder(ANSWER)

    @captured
    def memorise(self, crops: Tensor, labels: Tensor) -> Tensor:
        """Memory cells f_m (N, KEY, S/8, S/8), key and value at once.

        Of crops (N, 3, S, S), RGB 0..255, with labels (N, 1, S, S) in 0..1.
        """
        return self.cells_of(self.trunk(crops, labels))

    def cells_of(self, features: Features) -> Tensor:
        """The same, of the trunk's features of labelled crops."""
        cells: Tensor = self.neck_m(features.eighth)
        return cells

    def forward(self, memory: Tensor, valid: Tensor, crops: Tensor) -> Answer:
        """Query and answer in one."""
        return self.answer(memory, valid, self.query(crops))

    @captured
    def query(self, crops: Tensor) -> Features:
        """Trunk features of crops in which the target is to be found."""
        features: Features = self.trunk(crops)
        return features

    @captured
    def answer(self, memory: Tensor, valid: Tensor, query: Features) -> Answer:
        """Read `memory` (B, KEY, M), of which the cells `valid` (B, M) are in use."""
        f_q = self.neck_q(query.eighth)
        read = soft_read(memory, memory, f_q, valid)
        y = self.join(torch.cat([read, f_q], 1))
        return Answer(self.head(y), self.mask_decoder(y, query))
