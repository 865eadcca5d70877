"""ResNet-18 and ResNet-50 (He et al., CVPR 2016) as backbones.

Parameters are named as torchvision names them, and the stride of a Bottleneck is on its 3x3
convolution as there; STM, D3S and those who built on them (SAMN, CMEDFL) start from these.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.nets.graphs import constants

WIDTHS = (64, 128, 256, 512)  # of layer1 to layer4, before a block's expansion
MEAN = (0.485, 0.456, 0.406)  # of ImageNet, R, G, B in 0..1
STD = (0.229, 0.224, 0.225)


class ResNetFeatures(NamedTuple):
    """Feature maps of crops of side S: the stem's after ReLU, before the pooling, and each layer's.

    `stem` is (N, 64, S/2, S/2), `layer1` to `layer4` are at strides 4, 8, 16 and 32, of 64, 128,
    256 and 512 channels times the block's expansion (1 for ResNet-18, 4 for ResNet-50). `layer4` is
    None where it is not built.
    """

    stem: Tensor
    layer1: Tensor
    layer2: Tensor
    layer3: Tensor
    layer4: Tensor | None


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside `downsample`: the identity, or a 1x1 convolution."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolution beside `downsample`."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _downsample(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 4 width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """The network without its classifier, built up to `layer3` or `layer4`.

    `channels` are those of layer1 to layer4.
    """

    def __init__(self, depth: Literal[18, 50], *, last: Literal['layer3', 'layer4']) -> None:
        super().__init__()
        block: type[BasicBlock | Bottleneck] = BasicBlock if depth == 18 else Bottleneck
        self.channels = tuple(width * block.expansion for width in WIDTHS)
        blocks = (2, 2, 2, 2) if depth == 18 else (3, 4, 6, 3)

        def layer(number: int) -> nn.Sequential:
            width = WIDTHS[number - 1]
            inputs = self.channels[number - 2] if number > 1 else WIDTHS[0]
            first = block(inputs, width, 2 if number > 1 else 1)
            others = [
                block(width * block.expansion, width, 1) for _ in range(blocks[number - 1] - 1)
            ]
            return nn.Sequential(first, *others)

        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = layer(1)
        self.layer2 = layer(2)
        self.layer3 = layer(3)
        self.layer4 = layer(4) if last == 'layer4' else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, images: Tensor, added: Tensor | None = None) -> ResNetFeatures:
        """Features of `images` (N, 3, S, S), RGB, `normalised`.

        `added` (N, 64, S/2, S/2), if any, joins in after the first convolution, before its
        normalisation.
        """
        x = self.conv1(images)
        if added is not None:
            x = x + added
        stem = F.relu(self.bn1(x))
        layer1 = self.layer1(F.max_pool2d(stem, 3, 2, 1))
        layer2 = self.layer2(layer1)
        layer3 = self.layer3(layer2)
        layer4 = None if self.layer4 is None else self.layer4(layer3)
        return ResNetFeatures(stem, layer1, layer2, layer3, layer4)


def normalised(crops: Tensor) -> Tensor:
    """Crops (N, 3, H, W), RGB 0..255, less ImageNet's mean and over its standard deviation."""
    mean = constants(MEAN, crops.device)[:, None, None]
    std = constants(STD, crops.device)[:, None, None]
    return (crops / 255 - mean) / std


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Module:
    """What stands beside a block's convolutions: the identity where the shape stays."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
