"""CMEDFL's networks (Zhu et al. 2021): the published one, and a compact one.

Both ask a compact memory of cells how much every cell of the query looks like the target and like
its background (section III-B), describe how the target of the first frame has deformed (section
III-C), and turn both, with the distance from where the correlation filter saw the target, into a
mask by up-scaling in three stages.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets import compact
from memtrack_ros.nets.cells import CHANNELS, adjustment, normed, stage
from memtrack_ros.nets.compact import STRIDE, CompactTrunk, Features
from memtrack_ros.nets.graphs import captured
from memtrack_ros.nets.readers import attend, best_read
from memtrack_ros.nets.resnet import ResNet, normalised

DEFORMED = 32  # channels of the deformable feature
BEST = 3  # K of the paper: cells that a read takes the mean of
TARGET = 4  # the crop's side over the target's size


class CMEDFLQuery(NamedTuple):
    """A crop of side S as the networks see it.

    `cells` (B, 64, h, w) ask the memory and are what it stores; `features` are the backbone's at
    strides 2, 4 and 8; the last of all, `deep`, are what is filtered.
    """

    cells: Tensor
    features: Features
    deep: Tensor


class CellMemory(NamedTuple):
    """Cells of earlier frames: keys (B, 64, M), values (B, 2, M): how much of each was target and
    how much background, and which are in use, `valid` (B, M) bool.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor


class FirstFrame(NamedTuple):
    """The first frame's cells (B, 64, h, w) and its mask (B, 1, h, w) in 0..1.

    The mask is laid where the target is now expected.
    """

    cells: Tensor
    mask: Tensor


class Deformation(nn.Module):
    """Deformable feature learning: every cell of the query gathers all cells of the first frame.

    Eq. 15 to 18, with `support` W_R, `query` W_F, `feature` phi_v and `join` phi_c.
    """

    def __init__(self) -> None:
        super().__init__()
        self.support = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.query = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.feature = stage(CHANNELS, CHANNELS, kernel=1)
        self.join = stage(2 * CHANNELS, DEFORMED, kernel=1)

    def forward(self, first: Tensor, query: Tensor) -> Tensor:
        """Cells (B, 64, h, w) each -> (B, 32, h, w), not yet multiplied by the mask (eq. 19)."""
        asked, held, told = (
            x.flatten(2).mT for x in (self.query(query), self.support(first), self.feature(first))
        )
        gathered = attend(asked, held, told, scale=1.0)
        gathered = gathered.mT.unflatten(2, query.shape[-2:])
        joined: Tensor = self.join(torch.cat([gathered, self.feature(query)], 1))
        return joined


class Upscaling(nn.Module):
    """From the mixed evidence to logits, joined with the backbone's features at strides 8, 4, 2.

    The authors' names: `mixer` and `s3` take in the evidence, stage i joins s_i(what is known) with
    f_i(features), and `post` i follows its doubling. Doubling repeats values.
    """

    def __init__(
        self,
        features: tuple[int, int, int],
        widths: tuple[int, int, int, int],
        outputs: int,
    ) -> None:
        """`features` are the channels at strides 2, 4 and 8, `widths` those of the stages there.

        The last of the widths is the mixer's.
        """
        super().__init__()
        half, quarter, eighth = features
        w0, w1, w2, w3 = widths
        self.mixer = stage(3 + DEFORMED, w3)
        self.s3 = stage(w3, w2)
        self.s2, self.s1, self.s0 = stage(w2, w2), stage(w1, w1), stage(w0, w0)
        self.f2, self.f1, self.f0 = stage(eighth, w2), stage(quarter, w1), stage(half, w0)
        self.post2, self.post1 = stage(w2, w1), stage(w1, w0)
        self.post0 = normed(w0, outputs)

    def forward(self, evidence: Tensor, features: Features, side: int) -> Tensor:
        """Evidence (B, 35, h, w) at stride 8 or more -> logits (B, outputs, side, side)."""
        half, quarter, eighth = features
        x = self.s3(repeated(self.mixer(evidence), eighth.shape[-1]))
        x = self.post2(repeated(self.f2(eighth) + self.s2(x), quarter.shape[-1]))
        x = self.post1(repeated(self.f1(quarter) + self.s1(x), half.shape[-1]))
        logits: Tensor = self.post0(repeated(self.f0(half) + self.s0(x), side))
        return logits


class Segmenter(nn.Module):
    """All that follows the cells: the matching, the deformable feature and the up-scaling."""

    def __init__(
        self,
        features: tuple[int, int, int],
        widths: tuple[int, int, int, int],
        outputs: int,
    ) -> None:
        super().__init__()
        self.deformation = Deformation()
        self.upscaling = Upscaling(features, widths, outputs)

    def forward(
        self, memory: CellMemory, first: FirstFrame, query: CMEDFLQuery, distance: Tensor, side: int
    ) -> Tensor:
        """Logits (B, outputs, side, side), told the `distance` (B, 1, h, w) of every cell."""
        # s_f and s_b of eq. 4 and 5
        similarity = best_read(memory.keys, memory.values, query.cells, memory.valid, BEST)
        coarse = similarity.softmax(1)[:, :1]  # P' of eq. 6
        deformed = self.deformation(first.cells, query.cells) * first.mask
        evidence = torch.cat([coarse, similarity[:, :1], distance, deformed], 1)
        logits: Tensor = self.upscaling(evidence, query.features, side)
        return logits


class PaperCMEDFL(nn.Module):
    """The published network: ResNet-50 to layer3, crops of 384 pixels, 24 x 24 cells."""

    stride, filtered = 16, 1024

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet(50, last='layer3')
        quarter, eighth, sixteenth, _ = self.backbone.channels
        self.adjust = adjustment(sixteenth)
        self.segmenter = Segmenter((64, quarter, eighth), (4, 16, 32, 64), 2)

    @captured
    def query(self, crops: Tensor) -> CMEDFLQuery:
        """Cells and features of crops (B, 3, S, S), RGB 0..255."""
        stem, layer1, layer2, layer3, _ = self.backbone(normalised(crops))
        return CMEDFLQuery(self.adjust(layer3), Features(stem, layer1, layer2), layer3)

    def logits(
        self, memory: CellMemory, first: FirstFrame, query: CMEDFLQuery, distance: Tensor
    ) -> Tensor:
        """Logits (B, 2, S, S) of target and background.

        `distance` (B, 1, h, w) from the peak of the filter, in pixels of the crop.
        """
        side = 2 * query.features[0].shape[-1]
        logits: Tensor = self.segmenter(memory, first, query, distance, side)
        return logits

    @captured
    def answer(
        self, memory: CellMemory, first: FirstFrame, query: CMEDFLQuery, distance: Tensor
    ) -> Tensor:
        """The mask's logit (B, 1, S, S): its sigmoid is the softmax over target and background."""
        logits = self.logits(memory, first, query, distance)
        return logits[:, :1] - logits[:, 1:]


class CompactCMEDFL(nn.Module):
    """The same on the compact trunk: 24 x 24 cells at stride 8 of a crop of 192 pixels.

    The filter looks at this crop, too, so its peak is not the crop's middle: the distances and the
    first frame's mask are taken from there.
    """

    stride, filtered = STRIDE, compact.WIDTHS[-1]

    def __init__(self) -> None:
        super().__init__()
        self.trunk = CompactTrunk()
        self.adjust = adjustment(compact.WIDTHS[-1])
        self.segmenter = Segmenter(compact.WIDTHS, (12, 24, 48, 64), 1)

    @captured
    def query(self, crops: Tensor) -> CMEDFLQuery:
        """Cells and features of crops (B, 3, S, S), RGB 0..255."""
        return self.query_of(self.trunk(crops))

    def query_of(self, features: Features) -> CMEDFLQuery:
        """The same, of the trunk's features."""
        return CMEDFLQuery(self.adjust(features.eighth), features, features.eighth)

    @captured
    def answer(
        self, memory: CellMemory, first: FirstFrame, query: CMEDFLQuery, distance: Tensor
    ) -> Tensor:
        """Mask logits (B, 1, S/2, S/2).

        `distance` (B, 1, h, w) from the peak of the filter, in pixels of the crop.
        """
        side = query.features[0].shape[-1]
        sizes = distance * (TARGET / (2 * side))
        logits: Tensor = self.segmenter(memory, first, query, sizes, side)
        return logits


def repeated(x: Tensor, side: int) -> Tensor:
    """Maps (B, C, h, w) as (B, C, side, side), every value repeated."""
    return F.interpolate(x, size=(side, side), mode='nearest')
