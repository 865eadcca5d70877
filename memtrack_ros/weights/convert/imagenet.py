"""torchvision's ImageNet checkpoints (ResNet, Inception-v3) as backbones: ours bear its names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

BLOCKS = re.compile(r'(conv1|bn1|layer\d|Conv2d_\w+|Mixed_\w+)\.')
CLASSIFIERS = ('fc.', 'AuxLogits.')


def backbone(
    checkpoint: Mapping[str, Tensor], prefix: str, beyond: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """The parameters as those of a net's module `prefix` ('backbone.'); unknown names stay.

    Left out are the classifiers and the blocks `beyond` what the net uses ('layer4.').
    """
    return {
        f'{prefix}{name}' if BLOCKS.match(name) else name: tensor
        for name, tensor in checkpoint.items()
        if not name.startswith((*CLASSIFIERS, *beyond))
    }
