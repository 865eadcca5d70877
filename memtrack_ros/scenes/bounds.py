"""The boxes around masks."""

from __future__ import annotations

import torch
from torch import Tensor


def boxes_of(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (..., 4: x1, y1, x2, y2) around bool masks (..., H, W), and whether any is set (...).

    Pixel i spans [i - 0.5, i + 0.5].
    """
    columns, rows = masks.any(-2).float(), masks.any(-1).float()
    left, right = columns.argmax(-1), columns.shape[-1] - columns.flip(-1).argmax(-1)
    top, bottom = rows.argmax(-1), rows.shape[-1] - rows.flip(-1).argmax(-1)
    boxes = torch.stack([left, top, right, bottom], -1).float() - 0.5
    return boxes, masks.flatten(-2).any(-1)
