"""A network made ready to answer: the same function, faster."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from memtrack_ros.nets.graphs import graphs_on

Net = TypeVar('Net', bound=nn.Module)
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ('relu', []),
    nn.ReLU6: ('hardtanh', [0.0, 6.0]),
}
"""Those that oneDNN computes with the convolution before them, in its names."""
ANSWERS = 8
"""Fewer outputs are no features but answers: they are computed in single precision anyhow."""


def native_precision(device: torch.device) -> torch.dtype:
    """bfloat16 on a CPU that multiplies it natively, twice as fast or more; else float32."""
    if device.type != 'cpu':
        return torch.float32
    asked = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
    made_for_it = any(getattr(torch.cpu, name, bool)() for name in asked)
    return torch.bfloat16 if made_for_it else torch.float32


def ready(net: Net, device: torch.device, precision: torch.dtype = torch.float32) -> Net:
    """`net` itself, on `device`, for inference alone.

    Batch normalisation goes into the convolution before it, and activations are computed with it,
    in `precision`; what they give is in it, too. In these networks a normalisation or activation
    that follows a convolution among a module's children follows it in the computation, too. On a
    GPU what it says it may be captured of is.
    """
    net.to(device).eval()
    vars(net)['graphs'] = graphs_on(device)
    for module in list(net.modules()):
        children = [*module.named_children(), ('', None), ('', None)]
        for index, (name, conv) in enumerate(children):
            if type(conv) is not nn.Conv2d:
                continue
            followers = children[index + 1 : index + 3]
            if isinstance(followers[0][1], nn.BatchNorm2d):
                conv = fuse_conv_bn_eval(conv, followers[0][1])
                module.register_module(followers.pop(0)[0], nn.Identity())
            activation = followers[0][1]
            if type(activation) in ACTIVATIONS:
                module.register_module(followers[0][0], nn.Identity())
            else:
                activation = None
            module.register_module(name, Convolution(conv, activation, precision))
    return net


def packs(weight: Tensor) -> bool:
    """Whether oneDNN is here for such weights; what a CPU is not made for it may refuse."""
    return (
        weight.device.type == 'cpu'
        and weight.dtype in (torch.float32, native_precision(weight.device))
        and hasattr(torch.ops.mkldnn, '_convolution_pointwise')
    )


class Convolution(nn.Module):
    """A convolution and the activation after it, in one pass where oneDNN computes them.

    Its weights lie as they are read: as oneDNN has them, which would else lay them out anew for
    every frame, or channels last, as GPUs convolve fastest. Maps are channels last.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module | None, precision: torch.dtype):
        """Takes over the weights of `conv` (whose padding is zeros), where they are."""
        super().__init__()
        self.precision = precision if conv.out_channels >= ANSWERS else torch.float32
        self.stride, self.dilation = list(conv.stride), list(conv.dilation)
        assert not isinstance(conv.padding, str)
        self.padding, self.groups = list(conv.padding), conv.groups
        weight = conv.weight.detach().to(self.precision, memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        bias = conv.bias if conv.bias is not None else weight.new_zeros(conv.out_channels)
        self.bias = nn.Parameter(bias.detach().to(self.precision), requires_grad=False)
        self.activation = activation
        self._packed: Tensor | None = None
        if packs(weight):
            self._name, self._bounds = ACTIVATIONS[type(activation)] if activation else ('none', [])
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(
                weight, self.padding, self.stride, self.dilation, self.groups, None
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, h, w) -> (N, outputs, ..), of the convolution's precision."""
        x = x.to(self.precision, memory_format=torch.channels_last)
        if self._packed is not None:
            y: Tensor = torch.ops.mkldnn._convolution_pointwise(
                x,
                self._packed,
                self.bias,
                self.padding,
                self.stride,
                self.dilation,
                self.groups,
                self._name,
                self._bounds,
                '',
            )
            return y
        y = F.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return y if self.activation is None else self.activation(y)
