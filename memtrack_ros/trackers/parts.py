"""What a tracker is made of."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from memtrack_ros.trackers.settings import Chosen
from memtrack_ros.weights.files import Weights


class Parts(NamedTuple):
    """Verified weights read from `path`, and where and how the tracker is to compute."""

    weights: Weights
    path: Path
    device: torch.device
    max_bytes: int  # of the memory
    precision: torch.dtype  # of a compact variant's convolutions
    chosen: Chosen
