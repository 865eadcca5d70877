"""Inception-v3 up to Mixed_6e at stride 8, as STMTrack uses it.

Parameters are named as torchvision names them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CROPPED = 4  # cells taken off every side, where padding reaches


class BasicConv2d(nn.Module):
    """Convolution without bias, batch normalisation (eps 1e-3), ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def pooled(x: Tensor) -> Tensor:
    """3x3 average with the padding's zeros counted."""
    return F.avg_pool2d(x, 3, 1, 1)


class InceptionA(nn.Module):
    """Mixed_5b, 5c, 5d: 1x1, 5x5, double 3x3 and pooling branches."""

    def __init__(self, inputs: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = BasicConv2d(inputs, 64, 1)
        self.branch5x5_1 = BasicConv2d(inputs, 48, 1)
        self.branch5x5_2 = BasicConv2d(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, padding=1)
        self.branch_pool = BasicConv2d(inputs, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        fives = self.branch5x5_2(self.branch5x5_1(x))
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), fives, threes, self.branch_pool(pooled(x))], 1)


class InceptionB(nn.Module):
    """Mixed_6a: halves the resolution."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = BasicConv2d(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1 = BasicConv2d(inputs, 64, 1)
        self.branch3x3dbl_2 = BasicConv2d(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = BasicConv2d(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), threes, F.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Module):
    """Mixed_6b to 6e: 7x7 convolutions split into rows and columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        row, column = (1, 7), (7, 1)
        self.branch1x1 = BasicConv2d(768, 192, 1)
        self.branch7x7_1 = BasicConv2d(768, width, 1)
        self.branch7x7_2 = BasicConv2d(width, width, row, padding=(0, 3))
        self.branch7x7_3 = BasicConv2d(width, 192, column, padding=(3, 0))
        self.branch7x7dbl_1 = BasicConv2d(768, width, 1)
        self.branch7x7dbl_2 = BasicConv2d(width, width, column, padding=(3, 0))
        self.branch7x7dbl_3 = BasicConv2d(width, width, row, padding=(0, 3))
        self.branch7x7dbl_4 = BasicConv2d(width, width, column, padding=(3, 0))
        self.branch7x7dbl_5 = BasicConv2d(width, 192, row, padding=(0, 3))
        self.branch_pool = BasicConv2d(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        sevens = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), sevens, double, self.branch_pool(pooled(x))], 1)


class InceptionTrunk(nn.Module):
    """STMTrack's backbone: (N, 3, 289, 289) -> (N, 768, 25, 25).

    The memory's is `labelled`: a label map (N, 1, 289, 289) joins in after the first layer.
    """

    def __init__(self, *, labelled: bool) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(128)
        self.Mixed_6c = InceptionC(160)
        self.Mixed_6d = InceptionC(160)
        self.Mixed_6e = InceptionC(192)
        if labelled:
            self.proj_fg_bg_label_map = nn.Conv2d(1, 32, 3, 2, bias=False)

    def forward(self, crops: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features of crops, RGB 0..255; `labels` in 0..1 are added after the first layer."""
        x: Tensor = self.Conv2d_1a_3x3((crops - 127.5) / 127.5)
        if labels is not None:
            x = x + self.proj_fg_bg_label_map(labels)
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(x)), 3, 2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        return x[..., CROPPED:-CROPPED, CROPPED:-CROPPED]
