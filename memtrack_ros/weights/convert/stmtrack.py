"""STMTrack's published checkpoint (fzh0917/STMTrack) in our names."""

from __future__ import annotations

import re

from torch import Tensor

from memtrack_ros.weights.convert.checkpoints import renamed

# Authors' name -> ours, applied in this order.
NAMES = (
    (r'^basemodel_', 'trunk_'),
    (r'^(neck_[mq])\.adjustor', r'\1'),
    (r'^(head\.(?:cls_ctr|reg))\.conv1\.', r'\1.conv_layers.-1.'),
    (r'^(head\.\w+_(?:score|offsets))\.conv\.', r'\1.0.'),
    (r'^(head\.\w+_(?:score|offsets))\.bn\.', r'\1.1.'),
)
# Weights of an ancestor that every checkpoint carries and no computation uses.
DEAD = re.compile(r'^[rc]_(z_k|x)\.')


def translate(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters by the names of PaperSTMTrack."""
    return {
        # The authors keep a tower's first convolution apart, so their numbers lag ours by one.
        re.sub(
            r'\.conv_layers\.(-?\d+)\.', lambda m: f'.{int(m[1]) + 1}.', renamed(name, NAMES)
        ): tensor
        for name, tensor in checkpoint.items()
        if not DEAD.match(name)
    }
