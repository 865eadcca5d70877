"""EfficientNet-Lite0 (Tan & Le, ICML 2019) to stride 16, without its classifier.

Parameters are named as its published PyTorch checkpoint names them, less the leading underscores.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

# Of each stage: channels, blocks, expansion, kernel, stride of the first block.
STAGES = ((16, 1, 1, 3, 1), (24, 2, 6, 3, 2), (40, 2, 6, 5, 2), (80, 3, 6, 3, 2), (112, 3, 6, 5, 1))
STEM = 32
EPS = 1e-3
MEAN, SPREAD = 127.0, 128.0  # of pixels 0..255


class Levels(NamedTuple):
    """Feature maps of crops of side S.

    (N, 16, S/2, S/2), (N, 24, S/4, S/4), (N, 40, S/8, S/8) and (N, 112, S/16, S/16). The cell of
    column i at stride s is centred at pixel s i: convolutions are padded alike on both sides, where
    TensorFlow's shift by one; the weights do not mind.
    """

    half: Tensor
    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor


class Block(nn.Module):
    """Inverted residual: 1x1 convolution to more channels, one for each of them, 1x1 to fewer."""

    def __init__(
        self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self.expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(width, EPS)
            self.act0 = nn.ReLU6()
        self.depthwise_conv = nn.Conv2d(
            width, width, kernel, stride, kernel // 2, groups=width, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width, EPS)
        self.act1 = nn.ReLU6()
        self.project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, h / stride, w / stride)."""
        y = self.act0(self.bn0(self.expand_conv(x))) if self.expands else x
        y = self.act1(self.bn1(self.depthwise_conv(y)))
        projected: Tensor = self.bn2(self.project_conv(y))
        return x + projected if self.adds else projected


class EfficientNetLite0(nn.Module):
    """The stem and the first eleven blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, STEM, 3, 2, 1, bias=False)
        self.bn0 = nn.BatchNorm2d(STEM, EPS)
        self.act0 = nn.ReLU6()
        blocks, inputs = [], STEM
        for outputs, count, expansion, kernel, stride in STAGES:
            for index in range(count):
                step = stride if index == 0 else 1
                blocks.append(
                    Block(inputs, outputs, expansion=expansion, kernel=kernel, stride=step)
                )
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, crops: Tensor) -> Levels:
        """Features of crops (N, 3, S, S), RGB 0..255, S a multiple of 16."""
        x = self.act0(self.bn0(self.conv_stem((crops - MEAN) / SPREAD)))
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in LAST_BLOCKS:
                levels.append(x)
        return Levels(*levels)


LAST_BLOCKS = (0, 2, 4, 10)  # of strides 2, 4, 8 and 16


def of_checkpoint(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `EfficientNetLite0` takes of the published checkpoint, by its own names.

    Raises KeyError when a parameter is not in it.
    """
    found = {'.'.join(part.lstrip('_') for part in name.split('.')): tensor
             for name, tensor in checkpoint.items()}  # fmt: skip
    return {name: found[name] for name in EfficientNetLite0().state_dict()}
