"""EfficientNet-Lite0: sizes and names as published, and where its cells stand."""

from __future__ import annotations

import pytest
import torch

from memtrack_ros.nets.compact import CompactTrunk, doubled
from memtrack_ros.nets.efficientnet import EfficientNetLite0, of_checkpoint


def test_features_by_level() -> None:
    with torch.inference_mode():
        levels = EfficientNetLite0().eval()(torch.zeros(2, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (2, 16, 32, 48),
        (2, 24, 16, 24),
        (2, 40, 8, 12),
        (2, 112, 4, 6),
    ]


def test_a_published_checkpoint_fills_it() -> None:
    # Names and shapes as in efficientnet-lite0-57934424.pth, whose classifier and last blocks are
    # left out.
    shapes = {name: tuple(t.shape) for name, t in EfficientNetLite0().state_dict().items()}
    assert shapes['conv_stem.weight'] == (32, 3, 3, 3)
    assert shapes['blocks.0.depthwise_conv.weight'] == (32, 1, 3, 3)
    assert 'blocks.0.expand_conv.weight' not in shapes
    assert shapes['blocks.3.depthwise_conv.weight'] == (144, 1, 5, 5)
    assert shapes['blocks.10.project_conv.weight'] == (112, 672, 1, 1)
    checkpoint = {
        '.'.join(f'_{part}' if part[0].isalpha() else part for part in name.split('.')[:-1])
        + f'.{name.split(".")[-1]}': torch.full(shape, 0.5)
        for name, shape in shapes.items()
    } | {'_fc.weight': torch.zeros(1000, 1280)}
    assert '_blocks.3._bn1.running_var' in checkpoint
    taken = of_checkpoint(checkpoint)
    assert taken.keys() == shapes.keys()
    EfficientNetLite0().load_state_dict(taken)
    del checkpoint['_bn0.weight']
    with pytest.raises(KeyError, match=r'bn0\.weight'):
        of_checkpoint(checkpoint)


@torch.inference_mode()
def test_cells_stand_at_multiples_of_their_stride() -> None:
    # With mirrored kernels, mirrored images must have mirrored features: in an image of 16 n + 1
    # pixels, the mirror takes pixel s i to s (16 n / s - i), a cell to a cell.
    torch.manual_seed(0)
    net = EfficientNetLite0().eval()
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.copy_((parameter + parameter.flip(-1)) / 2)
    image = 255 * torch.rand(1, 3, 33, 33)
    for level, mirrored in zip(net(image), net(image.flip(-1)), strict=True):
        torch.testing.assert_close(mirrored.flip(-1), level, rtol=1e-4, atol=1e-5)


def test_maps_are_doubled_in_place() -> None:
    maps = torch.tensor([[0.0, 2.0], [4.0, 6.0]])[None, None]
    # Value i at 2 i, the mean of its neighbours between, the last one repeated.
    rows = [[0, 1, 2, 2], [2, 3, 4, 4], [4, 5, 6, 6], [4, 5, 6, 6]]
    assert doubled(maps)[0, 0].tolist() == rows


@torch.inference_mode()
def test_a_label_is_seen_where_it_is() -> None:
    torch.manual_seed(0)
    trunk = CompactTrunk().eval()
    crops, labels = torch.zeros(1, 3, 96, 96), torch.zeros(1, 1, 96, 96)
    without = trunk(crops, labels)
    labels[..., 48, 40] = 1.0
    seen = trunk(crops, labels)
    torch.testing.assert_close(seen.half, without.half)
    change = (seen.eighth - without.eighth).abs().sum(1)[0]
    # Cell (5, 6), and through two 3x3 convolutions those around it.
    rows, columns = change.nonzero().unbind(1)
    assert rows.min() == 4
    assert rows.max() == 8
    assert columns.min() == 3
    assert columns.max() == 7
