"""ImageNet's ResNet as DMV's backbone, DMV50's or DMV18's: its authors published no checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor

from memtrack_ros.nets.dmv import PaperDMV, depth_of
from memtrack_ros.weights.convert import imagenet

SEED = 1
NOTE = f'only the backbone is trained (on ImageNet); the rest has the initial values of seed {SEED}'


def translate(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parameters by the names of PaperDMV; all but the backbone's are untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        initial = PaperDMV(depth_of(checkpoint)).state_dict()
    rest = {name: tensor for name, tensor in initial.items() if not name.startswith('trunk.')}
    return rest | imagenet.backbone(checkpoint, 'trunk.')
