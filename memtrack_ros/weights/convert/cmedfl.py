"""CMEDFL's checkpoint (peace-love243/CMEDFL) and ImageNet's ResNet-50 in our names.

The authors train `feat_adjust` and `segm_predictor` on a backbone that stays torchvision's; a
checkpoint that holds it, too, has it as `feature_extractor`.
"""

from __future__ import annotations

import re

from torch import Tensor

from memtrack_ros.weights.convert import imagenet
from memtrack_ros.weights.convert.checkpoints import renamed

# Authors' name -> ours, applied in this order.
NAMES = (
    (r'^feat_adjust\.segment([01])\.', r'adjust.\1.'),
    (r'^segm_predictor\.attention\.wfeature\.', 'segmenter.deformation.feature.'),
    (r'^segm_predictor\.attention\.rrfeature\.', 'segmenter.deformation.join.'),
    (r'^segm_predictor\.attention\.', 'segmenter.deformation.'),
    (r'^segm_predictor\.', 'segmenter.upscaling.'),
)
OWN = ('feat_adjust.', 'segm_predictor.')
# Weights of an ancestor that every checkpoint carries and no computation uses.
DEAD = re.compile(r'^segm_predictor\.segment[01]\.')


def translate(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters by the names of PaperCMEDFL."""
    own = {
        renamed(name, NAMES): tensor
        for name, tensor in checkpoint.items()
        if name.startswith(OWN) and not DEAD.match(name)
    }
    others = {
        name.removeprefix('feature_extractor.'): tensor
        for name, tensor in checkpoint.items()
        if not name.startswith(OWN)
    }
    return own | imagenet.backbone(others, 'backbone.', beyond=('layer4.',))
