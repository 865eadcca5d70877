"""SAMN's published checkpoint (phiphiphi31/DMB) in our names."""

from __future__ import annotations

import re

from torch import Tensor

from memtrack_ros.weights.convert.checkpoints import renamed

# Authors' name -> ours, applied in this order.
NAMES = (
    (r'^Encoder_M\.conv1_m\.', 'encoder_m.foreground.'),
    (r'^Encoder_M\.conv1_o\.', 'encoder_m.background.'),
    (r'^Encoder_M\.', 'encoder_m.trunk.'),
    (r'^Encoder_Q\.', 'encoder_q.'),
    # They count a ResNet's stages by convolutions: res2 to res4 are layer1 to layer3.
    (r'\.res2\.', '.layer1.'),
    (r'\.res3\.', '.layer2.'),
    (r'\.res4\.', '.layer3.'),
    (r'^KV_M_r4\.', 'cells_m.'),
    (r'^KV_Q_r4\.', 'cells_q.'),
    (r'^(cells_[mq])\.Key\.', r'\1.key.'),
    (r'^(cells_[mq])\.Value\.', r'\1.value.'),
    (r'^Decoder\.RF3\.', 'decoder.eighth.'),
    (r'^Decoder\.RF2\.', 'decoder.quarter.'),
    (r'^Decoder\.pred2\.', 'decoder.answer.'),
    (r'^Decoder\.', 'decoder.'),
    (r'\.(?:convFM|convFS)\.', '.adjust.'),
    (r'\.ResFS\.', '.features.'),
    (r'\.ResMM\.', '.joined.'),
    (r'^(decoder\..*)\.conv1\.', r'\1.first.'),
    (r'^(decoder\..*)\.conv2\.', r'\1.second.'),
)
# Constants of ImageNet that every checkpoint carries and no computation uses.
DEAD = re.compile(r'^Encoder_[MQ]\.(mean|std)$')


def translate(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters by the names of PaperSAMN."""
    return {
        renamed(name, NAMES): tensor for name, tensor in checkpoint.items() if not DEAD.match(name)
    }
