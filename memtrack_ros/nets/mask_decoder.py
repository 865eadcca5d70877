"""Light mask decoder: from the memory's answer at stride 8 to a mask at stride 2."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memtrack_ros.nets.compact import WIDTHS, ConvNormReLU, Features, doubled


class MaskDecoder(nn.Module):
    """Two steps of doubling, each joined with the backbone's features of that size."""

    def __init__(self, inputs: int, width: int = 64) -> None:
        super().__init__()
        half, quarter, _ = WIDTHS
        self.deep = nn.Conv2d(inputs, width, 1)
        self.skip_quarter = nn.Conv2d(quarter, width, 1)
        self.merge_quarter = ConvNormReLU(width, width // 2)
        self.skip_half = nn.Conv2d(half, width // 2, 1)
        self.merge_half = ConvNormReLU(width // 2, width // 4)
        self.answer = nn.Conv2d(width // 4, 1, 3, padding=1)

    def forward(self, answer: Tensor, query: Features) -> Tensor:
        """Mask logits (B, 1, S/2, S/2) from `answer` (B, C, S/8, S/8) and the query's features."""
        x = doubled(self.deep(answer)) + self.skip_quarter(query.quarter)
        x = self.merge_quarter(torch.relu(x))
        x = doubled(x) + self.skip_half(query.half)
        x = self.merge_half(torch.relu(x))
        logits: Tensor = self.answer(x)
        return logits
