"""The small backbone that the compact trackers share."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets.efficientnet import STAGES, EfficientNetLite0, Levels

STRIDE = 8
# Channels at strides 2, 4 and 8.
WIDTHS = (16, 24, 128)
CROP = 192  # side of the crops in use, pixels; any multiple of 8 will do for training
# What SAMN and MemTrack are told of a pixel in a box not yet segmented: it may be background.
BOX_LABEL = 0.5


class Features(NamedTuple):
    """Feature maps of a crop of side S.

    Shapes (N, 16, S/2, S/2), (N, 24, S/4, S/4) and (N, 128, S/8, S/8).
    """

    half: Tensor
    quarter: Tensor
    eighth: Tensor


class ConvNorm(nn.Sequential):
    """3x3 (or `kernel`) convolution without bias and batch normalisation."""

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=False
            ),
            nn.BatchNorm2d(outputs),
        )


class ConvNormReLU(ConvNorm):
    """The same, and ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__(inputs, outputs, stride=stride)
        self.append(nn.ReLU())


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity.

    Where the shape changes, beside a 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = ConvNormReLU(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs, dilation=dilation)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else ConvNorm(inputs, outputs, kernel=1, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return torch.relu(y)


class CompactTrunk(nn.Module):
    """Backbone of all compact trackers: EfficientNet-Lite0, two of whose levels are merged.

    The levels are those at strides 8 and 16. A label map of the target may enter where they meet;
    what the body sees is the same with and without it.
    """

    def __init__(self) -> None:
        super().__init__()
        *_, eighth, _, sixteenth = (channels for channels, *_ in STAGES)
        width = WIDTHS[-1]
        self.body = EfficientNetLite0()
        self.from_eighth = ConvNorm(eighth, width, kernel=1)
        self.from_sixteenth = ConvNorm(sixteenth, width, kernel=1)
        # A cell sees the label around its centre, pixel 8 i.
        self.label = nn.Conv2d(1, width, STRIDE + 1, STRIDE, STRIDE // 2, bias=False)
        self.merged = Residual(width, width)

    def forward(self, crops: Tensor, labels: Tensor | None = None) -> Features:
        """Features of crops (N, 3, S, S), RGB 0..255, S a multiple of 16.

        Label maps are (N, 1, S, S) in 0..1; None for a query.
        """
        return self.merge(self.body(crops), labels)

    def common(self) -> dict[str, nn.Module]:
        """Its parts that several networks may share: all but what sees the labels."""
        return {name: part for name, part in self.named_children() if part is not self.label}

    def stand_on(self, other: CompactTrunk) -> None:
        """Take over the other's parts, so that what one of them learns all know."""
        for name, part in other.common().items():
            self.register_module(name, part)

    def merge(self, levels: Levels, labels: Tensor | None = None) -> Features:
        """Features of what the body made of crops, labelled or not, as `forward` has them."""
        deep = doubled(self.from_sixteenth(levels.sixteenth))
        x = self.from_eighth(levels.eighth) + deep
        if labels is not None:
            x = x + self.label(labels)
        return Features(levels.half, levels.quarter, self.merged(torch.relu(x)))


def doubled(x: Tensor) -> Tensor:
    """Maps (N, C, h, w) at twice the resolution: value i goes to place 2 i, linear between."""
    height, width = x.shape[-2:]
    beyond = F.pad(x, (0, 1, 0, 1), mode='replicate')
    size = 2 * height + 1, 2 * width + 1
    return F.interpolate(beyond, size, mode='bilinear', align_corners=True)[..., :-1, :-1]
