"""DMV's networks (Nam et al., ECCV 2020): the published one, and a compact one.

A frame's query q, its features, is also the key under which it is stored (section 3.1: shared
backbone, one embedding space). Its value is made of the key and of what was found with it,
v = conv(relu(conv(concat(key, centre scores, box displacements)))). The answer comes from
concat(q, what q reads from keys and values). The compact one segments too, and its values are told
the mask beside the box.

No code was published. Where paper and supplement leave a choice, it is named in the docstrings.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets.anchors import AnchorHead, AnchorMaps, Anchors
from memtrack_ros.nets.cells import CHANNELS, adjustment
from memtrack_ros.nets.compact import CROP, STRIDE, WIDTHS, CompactTrunk, ConvNormReLU, Features
from memtrack_ros.nets.graphs import captured
from memtrack_ros.nets.mask_decoder import MaskDecoder
from memtrack_ros.nets.resnet import ResNet, normalised
from memtrack_ros.nets.voting import VotedRead

LENGTH = 2.0  # of a compact key: of cells quite alike <query, key> is 4
ANSWER = 128
HEAD = 96
SURE = 0.5  # lower scores are not remembered

# Square anchors are as large as a square target is in a crop; ratios of the published one are
# SiamRPN's. The paper lists none.
PAPER_ANCHORS = Anchors(stride=16, size=64.0, ratios=(1 / 3, 1 / 2, 1.0, 2.0, 3.0))
COMPACT_ANCHORS = Anchors(stride=STRIDE, size=48.0, ratios=(1 / 2, 1.0, 2.0))


class DMVQuery(NamedTuple):
    """A frame's features: `key` (B, C, H, W) and, for the mask decoder, the trunk's if any."""

    key: Tensor
    levels: Features | None


class DMVAnswer(NamedTuple):
    """What one query says.

    The head's maps and, where it segments, mask logits at stride 2: (B, 1, S/2, S/2).
    """

    maps: AnchorMaps
    mask: Tensor | None


class DMVNet(nn.Module, ABC):
    """What both have: `channels` of key and value, on `cells` x `cells` cells of the crop in use.

    Memories are (B, T, C, H, W): keys and values of T frames.
    """

    channels: int
    cells: int
    head: AnchorHead

    def __init__(
        self, channels: int, cells: int, anchors: Anchors, *, negates: bool = False
    ) -> None:
        super().__init__()
        self.channels, self.cells = channels, cells
        told = 5 * len(anchors.ratios)
        self.value_encoder = nn.Sequential(
            nn.Conv2d(channels + told, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.reader = VotedRead(channels, negates=negates)

    @abstractmethod
    def query(self, crops: Tensor) -> DMVQuery:
        """Features of crops (B, 3, S, S), RGB 0..255."""

    @abstractmethod
    def answer(self, keys: Tensor, values: Tensor, valid: Tensor, query: DMVQuery) -> DMVAnswer:
        """Read the memory, of which the frames `valid` (B, T) are in use, and say what is found."""

    def forward(self, keys: Tensor, values: Tensor, valid: Tensor, crops: Tensor) -> DMVAnswer:
        """Query and answer in one."""
        return self.answer(keys, values, valid, self.query(crops))

    def value(
        self, key: Tensor, score: Tensor, displacements: Tensor, mask: Tensor | None
    ) -> Tensor:
        """What is stored (B, C, H, W) with `key` (B, C, H, W), of the frame that it is the key of.

        `score` (B, A, H, W) in 0..1 and `displacements` (B, A, 4, H, W) are the head's answers to
        it, soft as they are; but scores below SURE count as 0. So is the `mask` (B, 1, S/2, S/2)
        of a network that segments, else None: 1 is target, -1 is not, 0 is not known.
        """
        sure = score * (score >= SURE)
        value: Tensor = self.value_encoder(torch.cat([key, sure, displacements.flatten(1, 2)], 1))
        return value

    @captured
    def first_value(self, key: Tensor, boxes: Tensor, mask: Tensor | None) -> Tensor:
        """What is stored (B, C, H, W) of a frame whose boxes (B, 4: x1, y1, x2, y2) are given.

        `mask` is as `value` takes it.

        The score is 1 at the anchor that matches the box best, else 0. The displacements are exact,
        those of every anchor: the paper does not say whether of all, but the head's are.
        """
        height, width = key.shape[-2:]
        anchors = self.head.anchors
        best = anchors.best(boxes, height, width)
        return self.value(key, best, anchors.displacements(boxes, height, width), mask)

    @captured
    def found_value(self, key: Tensor, answer: DMVAnswer) -> Tensor:
        """What is stored (B, C, H, W) of a frame that was answered, without gradients."""
        maps, mask = answer
        told = None if mask is None else torch.tanh(mask.detach() / 2)
        return self.value(key, maps.score.detach(), maps.displacements.detach(), told)

    def join(self, keys: Tensor, values: Tensor, valid: Tensor, query: DMVQuery) -> Tensor:
        """concat(q, read), (B, 2 C, H, W)."""
        return torch.cat([query.key, self.reader(keys, values, query.key, valid)], 1)


class PaperDMV(DMVNet):
    """The published network, DMV50 or DMV18: crops of 256 pixels.

    Features of layer3 and layer4 go through a bottleneck convolution each, 'with and without
    stride', to one resolution, and are concatenated. The paper names neither resolution nor
    channels. Here layer4's convolution is transposed, of stride 2, so that cells are 16 pixels:
    were layer3's strided instead, a target would be two cells across, and hardly have parts.
    Together they have 512 channels. Both agree with Table 4, where 28 candidates more take 10 ms:
    at 8 x 8 cells they would hardly be noticed.
    """

    def __init__(self, depth: Literal[18, 50] = 50) -> None:
        super().__init__(512, 16, PAPER_ANCHORS)
        self.trunk = ResNet(depth, last='layer4')
        layer3, layer4 = self.trunk.channels[2:]
        self.bottleneck3 = nn.Conv2d(layer3, self.channels // 2, 1)
        self.bottleneck4 = nn.ConvTranspose2d(
            layer4, self.channels // 2, 3, stride=2, padding=1, output_padding=1
        )
        self.head = AnchorHead(2 * self.channels, 256, PAPER_ANCHORS)

    @captured
    def query(self, crops: Tensor) -> DMVQuery:
        """q (B, 512, S/16, S/16) of crops (B, 3, S, S), RGB 0..255; S a multiple of 32."""
        features = self.trunk(normalised(crops))
        key = torch.cat([self.bottleneck3(features.layer3), self.bottleneck4(features.layer4)], 1)
        return DMVQuery(key, None)

    @captured
    def answer(self, keys: Tensor, values: Tensor, valid: Tensor, query: DMVQuery) -> DMVAnswer:
        """The box maps alone."""
        return DMVAnswer(self.head(self.join(keys, values, valid, query)), None)


def depth_of(names: Iterable[str]) -> Literal[18, 50]:
    """Which ResNet the parameters of these names are of: only the larger has blocks of three."""
    return 50 if any('layer1.0.conv3.' in name for name in names) else 18


class CompactDMV(DMVNet):
    """The compact trackers' backbone, CMEDFL's cells for keys, and a mask decoder beside the head.

    Keys have one length, so that a cell is most like those that look like it, and not like whatever
    is bright. The mask enters a value where its key does.
    """

    def __init__(self) -> None:
        super().__init__(CHANNELS, CROP // STRIDE, COMPACT_ANCHORS, negates=True)
        self.trunk = CompactTrunk()
        self.adjust = adjustment(WIDTHS[-1])
        # From stride 2 to 8: a cell sees the mask around its centre, pixel 4 i.
        self.label = nn.Conv2d(1, CHANNELS, 5, 4, 2, bias=False)
        nn.init.zeros_(self.label.weight)  # begins as what it was without
        self.merge = ConvNormReLU(2 * CHANNELS, ANSWER)
        self.head = AnchorHead(ANSWER, HEAD, COMPACT_ANCHORS)
        self.mask_decoder = MaskDecoder(ANSWER)

    @captured
    def query(self, crops: Tensor) -> DMVQuery:
        """q (B, 64, S/8, S/8) of crops (B, 3, S, S), RGB 0..255, and the trunk's features."""
        return self.query_of(self.trunk(crops))

    def query_of(self, levels: Features) -> DMVQuery:
        """The same, of the trunk's features."""
        cells = self.adjust(levels.eighth)
        key = LENGTH * F.normalize(cells.float(), dim=1)
        return DMVQuery(key.to(cells.dtype), levels)

    def value(
        self, key: Tensor, score: Tensor, displacements: Tensor, mask: Tensor | None
    ) -> Tensor:
        """What is stored, (B, 64, S/8, S/8)."""
        assert mask is not None
        return super().value(key + self.label(mask), score, displacements, None)

    @captured
    def answer(self, keys: Tensor, values: Tensor, valid: Tensor, query: DMVQuery) -> DMVAnswer:
        """Box maps and mask from the same joined features."""
        assert query.levels is not None
        y = self.merge(self.join(keys, values, valid, query))
        return DMVAnswer(self.head(y), self.mask_decoder(y, query.levels))
