"""ResNet backbones: sizes, names, and small blocks worked by hand."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from memtrack_ros.nets.resnet import BasicBlock, Bottleneck, ResNet, normalised


@pytest.mark.parametrize(
    ('depth', 'classifier', 'parameters'),
    [(18, 512 * 1000 + 1000, 11_689_512), (50, 2048 * 1000 + 1000, 25_557_032)],
)
def test_parameters_are_as_many_as_published(
    depth: Literal[18, 50], classifier: int, parameters: int
) -> None:
    net = ResNet(depth, last='layer4')
    assert sum(p.numel() for p in net.parameters()) == parameters - classifier


@pytest.mark.parametrize(('depth', 'expansion'), [(18, 1), (50, 4)])
@torch.inference_mode()
def test_features_by_layer(depth: Literal[18, 50], expansion: int) -> None:
    net = ResNet(depth, last='layer4').eval()
    features = net(torch.randn(2, 3, 64, 64))
    assert [tuple(map_.shape) for map_ in features] == [
        (2, 64, 32, 32),
        (2, 64 * expansion, 16, 16),
        (2, 128 * expansion, 8, 8),
        (2, 256 * expansion, 4, 4),
        (2, 512 * expansion, 2, 2),
    ]
    assert net.channels == tuple(map_.shape[1] for map_ in features[1:])


def test_what_is_not_asked_for_is_not_built() -> None:
    net = ResNet(50, last='layer3')
    assert not [name for name in net.state_dict() if name.startswith('layer4')]
    assert net.eval()(torch.zeros(1, 3, 32, 32)).layer4 is None


def test_names_and_shapes_are_torchvisions() -> None:
    shapes = {name: tuple(t.shape) for name, t in ResNet(50, last='layer4').state_dict().items()}
    assert len(shapes) == 318  # torchvision has 320, two of them its classifier's
    assert shapes['conv1.weight'] == (64, 3, 7, 7)
    assert shapes['bn1.running_var'] == (64,)
    assert shapes['layer1.0.downsample.0.weight'] == (256, 64, 1, 1)
    assert shapes['layer1.2.conv1.weight'] == (64, 256, 1, 1)
    assert shapes['layer3.0.downsample.1.num_batches_tracked'] == ()
    assert shapes['layer3.5.conv2.weight'] == (256, 256, 3, 3)
    assert shapes['layer4.2.conv3.weight'] == (2048, 512, 1, 1)
    small = ResNet(18, last='layer4').state_dict()
    assert len(small) == 120
    assert 'layer1.0.downsample.0.weight' not in small
    assert small['layer2.0.downsample.0.weight'].shape == (128, 64, 1, 1)


@torch.inference_mode()
def test_what_is_added_joins_the_stem_before_its_normalisation() -> None:
    net = ResNet(18, last='layer3').eval()
    images = torch.randn(1, 3, 32, 32)
    added = torch.randn(1, 64, 16, 16)
    # A fresh batch normalisation divides by sqrt(1 + 1e-5).
    expected = torch.relu((net.conv1(images) + added) / (1 + 1e-5) ** 0.5)
    assert torch.allclose(net(images, added).stem, expected, atol=1e-6)


def constant(block: BasicBlock | Bottleneck, weight: float) -> None:
    """Every convolution weight `weight`; fresh normalisations without their epsilon."""
    for name, parameter in block.named_parameters():
        if name.startswith(('conv', 'downsample.0')):
            torch.nn.init.constant_(parameter, weight)
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 0.0


@torch.inference_mode()
def test_a_basic_block_by_hand() -> None:
    block = BasicBlock(1, 1, 1).eval()
    constant(block, 1.0)
    # 2x2 ones: each 3x3 sum sees all four pixels: 4, then 16; the identity adds 1.
    assert block(torch.ones(1, 1, 2, 2)).flatten().tolist() == [17.0] * 4
    # All negative: the first ReLU stops it, and the last one the identity.
    assert block(-torch.ones(1, 1, 2, 2)).flatten().tolist() == [0.0] * 4


@torch.inference_mode()
def test_a_bottleneck_by_hand() -> None:
    block = Bottleneck(2, 1, 2).eval()
    constant(block, 0.5)
    # 4x4 pixels of 2 ones. 1x1: 1. The 3x3 of stride 2 is centred at rows and columns 0 and 2: at
    # the corner it sees 4 pixels, at the edges 6, inside 9: times 0.5 are 2, 3, 3, 4.5; times 0.5
    # again 1, 1.5, 1.5, 2.25. The shortcut adds 0.5 (1 + 1) = 1.
    out = block(torch.ones(1, 2, 4, 4))
    assert out.shape == (1, 4, 2, 2)
    assert out[0, 3].flatten().tolist() == [2.0, 2.5, 2.5, 3.25]


def test_normalised_by_hand() -> None:
    crop = torch.tensor([0.0, 255.0, 51.0])[None, :, None, None]
    # (0 - 0.485) / 0.229, (1 - 0.456) / 0.224, (0.2 - 0.406) / 0.225
    assert normalised(crop).flatten().tolist() == pytest.approx([-2.11790, 2.42857, -0.91556], 1e-5)
