"""The small backbone that the compact trackers share: residual blocks to stride 8."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

STRIDE = 8
# Channels at strides 2, 4 and 8.
WIDTHS = (32, 48, 128)


class Features(NamedTuple):
    """Feature maps of a crop of side S.

    Shapes (N, 32, S/2, S/2), (N, 48, S/4, S/4) and (N, 128, S/8, S/8).
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


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity.

    Where the shape changes, beside a 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, stride=stride)
        self.second = ConvNorm(outputs, outputs, dilation=dilation)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else ConvNorm(inputs, outputs, kernel=1, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(torch.relu(self.first(x))) + self.shortcut(x)
        return torch.relu(y)


class CompactTrunk(nn.Module):
    """Backbone of all compact trackers.

    A label map of the target may enter after the first layer.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth = WIDTHS
        self.stem = ConvNorm(3, half, stride=2)
        self.label = nn.Conv2d(1, half, 3, 2, 1, bias=False)
        self.quarter = nn.Sequential(Residual(half, quarter, stride=2), Residual(quarter, quarter))
        self.eighth = nn.Sequential(
            Residual(quarter, eighth, stride=2),
            Residual(eighth, eighth, dilation=2),
            Residual(eighth, eighth, dilation=2),
        )

    def forward(self, crops: Tensor, labels: Tensor) -> Features:
        """Features of crops (N, 3, S, S), RGB 0..255.

        Label maps are (N, 1, S, S) in 0..1, all 0 for a query.
        """
        half = torch.relu(self.stem((crops - 115.0) / 64.0)) + self.label(labels)
        quarter = self.quarter(half)
        return Features(half, quarter, self.eighth(quarter))
