"""SAMN's networks (Xie et al. 2020): the published one, and a compact one.

Both store a key and a value for every cell of a frame with its mask (eq. 1), ask with the key of
the query (eq. 2), and decode R = concat(read, value of the query) (eq. 5) into a mask. A map of the
distance from where the correlation filter saw the target is added to all channels on the way: the
positional encoding (sections III-D, IV-C).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets.compact import STRIDE, WIDTHS, CompactTrunk, ConvNormReLU, Features
from memtrack_ros.nets.efficientnet import Levels
from memtrack_ros.nets.graphs import captured
from memtrack_ros.nets.mask_decoder import MaskDecoder
from memtrack_ros.nets.readers import soft_read
from memtrack_ros.nets.resnet import ResNet, ResNetFeatures, normalised

CERTAIN = 1e-7  # probabilities are kept this far from 0 and 1
ANSWER = 128
MARGIN = 6  # the compact one stores all cells of a frame but this part of its side at each edge


class KeyedCells(NamedTuple):
    """Key (N, K, h, w) and value (N, V, h, w) of every cell."""

    key: Tensor
    value: Tensor


class SAMNQuery(NamedTuple):
    """Crops (N, 3, S, S) as the networks see them: features at strides 2, 4, 8, and the last ones.

    The latter, `deep`, are what is remembered, asked and filtered. Of the compact trunk there is
    what its `body` saw, too, to be merged with a mask.
    """

    crops: Tensor
    features: Features
    deep: Tensor
    body: Levels | None = None


class KeyValue(nn.Module):
    """Two 3x3 convolutions, one for keys, one for values."""

    def __init__(self, inputs: int, keys: int, values: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(inputs, keys, 3, padding=1)
        self.value = nn.Conv2d(inputs, values, 3, padding=1)

    def forward(self, features: Tensor) -> KeyedCells:
        """Of features (N, inputs, h, w)."""
        return KeyedCells(self.key(features), self.value(features))


class MemoryEncoder(nn.Module):
    """A ResNet-50 that sees the mask of the target, and of the rest, beside the image."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ResNet(50, last='layer3')
        self.foreground = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.background = nn.Conv2d(1, 64, 7, 2, 3, bias=False)

    def forward(self, images: Tensor, masks: Tensor) -> ResNetFeatures:
        """Features of `normalised` images (N, 3, S, S) with masks (N, 1, S, S) in 0..1."""
        added = self.foreground(masks) + self.background(1 - masks)
        features: ResNetFeatures = self.trunk(images, added)
        return features


class PreActivationBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, each after ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, h, w) -> the same shape."""
        y: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return x + y


class Refinement(nn.Module):
    """Joins what is known with the query's features at twice the resolution."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.adjust = nn.Conv2d(inputs, width, 3, padding=1)
        self.features = PreActivationBlock(width)
        self.joined = PreActivationBlock(width)

    def forward(self, features: Tensor, known: Tensor) -> Tensor:
        """Features (N, inputs, 2h, 2w) and `known` (N, width, h, w) -> (N, width, 2h, 2w)."""
        seen = self.features(self.adjust(features))
        joined: Tensor = self.joined(seen + _resized(known, seen.shape[-1]))
        return joined


class Decoder(nn.Module):
    """From R to logits of background and target (section III-D)."""

    def __init__(self, inputs: int, width: int = 256) -> None:
        super().__init__()
        self.adjust = nn.Conv2d(inputs, width, 3, padding=1)
        self.joined = PreActivationBlock(width)
        self.eighth = Refinement(512, width)
        self.quarter = Refinement(256, width)
        self.answer = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, r: Tensor, query: SAMNQuery, distance: Tensor) -> Tensor:
        """R (B, inputs, h, w) -> (B, 2, S, S), told the `distance` (B, 1, h, w) in crop pixels."""
        side = query.crops.shape[-1]
        known = self.joined(self.adjust(r)) + distance / side
        known = self.eighth(query.features.eighth, known)
        known = self.quarter(query.features.quarter, known)
        return _resized(self.answer(F.relu(known)), side)


class PaperSAMN(nn.Module):
    """The published network: two ResNet-50 to layer3, crops of 384 pixels, 24 x 24 cells."""

    stride, keys, values, filtered = 16, 128, 512, 1024

    def __init__(self) -> None:
        super().__init__()
        self.encoder_m = MemoryEncoder()
        self.encoder_q = ResNet(50, last='layer3')
        self.cells_m = KeyValue(self.filtered, self.keys, self.values)
        self.cells_q = KeyValue(self.filtered, self.keys, self.values)
        self.decoder = Decoder(2 * self.values)

    def memorise(self, crops: Tensor, masks: Tensor) -> KeyedCells:
        """Cells (N, .., S/16, S/16) of crops (N, 3, S, S), RGB 0..255.

        Their masks are (N, 1, S, S) in 0..1, soft as they were predicted.
        """
        cells: KeyedCells = self.cells_m(self.encoder_m(normalised(crops), masks).layer3)
        return cells

    @captured
    def memorise_seen(self, seen: SAMNQuery, masks: Tensor) -> KeyedCells:
        """The same, of crops that were asked about."""
        return self.memorise(seen.crops, masks)

    def remembered(self, side: int) -> int:
        """Cells of a side that are stored of a crop of `side` pixels: all."""
        return side // self.stride

    @captured
    def query(self, crops: Tensor) -> SAMNQuery:
        """Crops (N, 3, S, S), RGB 0..255, in which the target is to be found."""
        stem, layer1, layer2, layer3, _ = self.encoder_q(normalised(crops))
        return SAMNQuery(crops, Features(stem, layer1, layer2), layer3)

    def join(self, keys: Tensor, values: Tensor, valid: Tensor, query: SAMNQuery) -> Tensor:
        """R (B, 1024, S/16, S/16); memory as in `answer`."""
        asked = self.cells_q(query.deep)
        return torch.cat([soft_read(keys, values, asked.key, valid), asked.value], 1)

    @captured
    def answer(
        self, keys: Tensor, values: Tensor, valid: Tensor, query: SAMNQuery, distance: Tensor
    ) -> Tensor:
        """The mask's logit (B, 1, S, S), read from cells (B, K, M) and (B, V, M).

        Of these the `valid` (B, M) are in use. `distance` (B, 1, S/16, S/16) from the expected
        centre, in crop pixels.
        """
        r = self.join(keys, values, valid, query)
        logits = aggregated(self.decoder(r, query, distance))
        return logits[:, 1:] - logits[:, :1]


class CompactSAMN(nn.Module):
    """The same on the compact trunk, for memory and query alike: a mask marks a memory frame."""

    stride, keys, values, filtered = STRIDE, 64, 96, WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.trunk = CompactTrunk()
        self.cells_m = KeyValue(self.filtered, self.keys, self.values)
        self.cells_q = KeyValue(self.filtered, self.keys, self.values)
        # Alike from the start: before any training a cell already reads the cells that look like
        # it.
        self.cells_q.key.load_state_dict(self.cells_m.key.state_dict())
        self.adjust = ConvNormReLU(2 * self.values, ANSWER)
        self.decoder = MaskDecoder(ANSWER)

    def memorise(self, crops: Tensor, masks: Tensor) -> KeyedCells:
        """Cells (N, .., h, h) of crops (N, 3, S, S), RGB 0..255, h = `remembered`(S).

        Their masks are (N, 1, S, S) in 0..1. The target's surroundings are what it may be mistaken
        for: what lies further out would more than double the time of a read.
        """
        return self.cells_of(self.trunk(crops, masks))

    @captured
    def memorise_seen(self, seen: SAMNQuery, masks: Tensor) -> KeyedCells:
        """The same, of crops that were asked about: the trunk's body has seen them."""
        assert seen.body is not None
        return self.cells_of(self.trunk.merge(seen.body, masks))

    def cells_of(self, features: Features) -> KeyedCells:
        """The same, of the trunk's features of crops with their masks."""
        key, value = self.cells_m(features.eighth)
        size = key.shape[-1]
        inner = slice(size // MARGIN, size - size // MARGIN)
        return KeyedCells(key[..., inner, inner], value[..., inner, inner])

    def remembered(self, side: int) -> int:
        """Cells of a side that are stored of a crop of `side` pixels."""
        cells = side // self.stride
        return cells - 2 * (cells // MARGIN)

    @captured
    def query(self, crops: Tensor) -> SAMNQuery:
        """Crops (N, 3, S, S), RGB 0..255, in which the target is to be found."""
        body = self.trunk.body(crops)
        features = self.trunk.merge(body)
        return SAMNQuery(crops, features, features.eighth, body)

    @captured
    def answer(
        self, keys: Tensor, values: Tensor, valid: Tensor, query: SAMNQuery, distance: Tensor
    ) -> Tensor:
        """Mask logits (B, 1, S/2, S/2), read from cells (B, K, M) and (B, V, M).

        Of these the `valid` (B, M) are in use. `distance` (B, 1, S/8, S/8) from the filter's peak,
        in crop pixels.
        """
        asked = self.cells_q(query.deep)
        r = torch.cat([soft_read(keys, values, asked.key, valid), asked.value], 1)
        known = self.adjust(r) + distance / query.crops.shape[-1]
        logits: Tensor = self.decoder(known, query.features)
        return logits


def aggregated(logits: Tensor) -> Tensor:
    """Soft aggregation of logits (B, 2, S, S), as STM has it for any number of targets.

    The logits of the softmaxed probabilities: another softmax makes p^2 / (p^2 + (1 - p)^2) of p.
    """
    target = logits.softmax(1)[:, 1:]
    return torch.cat([1 - target, target], 1).clamp(CERTAIN, 1 - CERTAIN).logit()


def _resized(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, size=(side, side), mode='bilinear', align_corners=False)
