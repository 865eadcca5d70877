"""How many threads the host computes with, in PyTorch and in OpenCV."""

from __future__ import annotations

import cv2
import torch

BESIDE_GPU = 1
"""What is left to the host there is small: waking other threads takes longer than computing."""


def settled(threads: int, device: torch.device) -> int:
    """So many; where that is 0 one beside a GPU, and 0 on a CPU, which has to be asked."""
    return threads or (0 if device.type == 'cpu' else BESIDE_GPU)


def compute_with(threads: int) -> None:
    """With so many, from now on, in this process."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
