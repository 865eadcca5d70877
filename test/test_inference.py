"""A network made ready to answer is the same function."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from memtrack_ros.nets import inference
from memtrack_ros.nets.inference import packs, ready
from memtrack_ros.training.__main__ import RECIPES
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.loop import trunk_of
from memtrack_ros.training.recipe import Answers, Seen
from memtrack_ros.weights.convert import CONVERTERS

CPU = torch.device('cpu')


def normalising_anyhow(net: nn.Module) -> nn.Module:
    """`net` with random statistics and parameters in every batch normalisation."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in module.state_dict().values():
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.5)
    return net.eval()


def same(found: Tensor, expected: Tensor, share: float = 1e-4) -> None:
    """Alike to a `share` of the largest, or to a thousandth of themselves."""
    scale = expected.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=share * scale)


@pytest.mark.parametrize('name', RECIPES)
@torch.inference_mode()
def test_the_compact_ones_answer_as_before(name: str) -> None:
    torch.manual_seed(0)
    recipe, generator = RECIPES[name], torch.Generator().manual_seed(0)
    net = normalising_anyhow(recipe.net())
    # One later frame: what of it would be remembered may hang on rounding.
    clips = DrawnClips(None).draw(generator, 1, 128, 2, 1.0).pointed_at()

    def answers(net: nn.Module) -> Answers:
        seen = Seen.by(trunk_of(net), clips.crops)
        return recipe.answers(recipe.ask(net, clips, seen, generator.manual_seed(0)))

    expected = answers(net)
    fast = ready(copy.deepcopy(net), CPU)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.trunk.modules())
    found = answers(fast)
    # Rounding may make DMV choose another of two like cells.
    share = 1e-2 if name == 'dmv' else 1e-4
    same(found.mask, expected.mask, share)
    same(found.score, expected.score, share)


@pytest.mark.parametrize('name', CONVERTERS)
@torch.inference_mode()
def test_the_published_ones_see_as_before(name: str) -> None:
    torch.manual_seed(0)
    net = normalising_anyhow(CONVERTERS[name].net())
    see = 'template' if name == 'memtrack' else 'query'
    crops = 255 * torch.rand(1, 3, 256, 256)

    def seen(net: nn.Module) -> Tensor:
        found = getattr(net, see)(crops)
        return found if isinstance(found, Tensor) else found[0]

    expected = seen(net)
    found = seen(ready(copy.deepcopy(net), CPU))
    same(found, expected)


@pytest.mark.parametrize('kind', [nn.ReLU, nn.ReLU6, None])
@pytest.mark.parametrize('packed', [True, False])
@torch.inference_mode()
def test_a_convolution_of_either_way_is_the_same(
    kind: type[nn.Module] | None, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 32, 3, 2, 1, groups=4, bias=False)
    activation = None if kind is None else kind()
    x = 9 * torch.randn(1, 16, 24, 24)
    expected = conv(x) if activation is None else activation(conv(x))
    monkeypatch.setattr(inference, 'packs', lambda weight: packed and packs(weight))
    same(inference.Convolution(conv, activation, torch.float32)(x), expected)
    rough = inference.Convolution(conv, activation, torch.bfloat16)(x)
    assert rough.dtype is torch.bfloat16
    torch.testing.assert_close(rough.float(), expected, rtol=0.02, atol=0.05)
