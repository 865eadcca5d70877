"""MemTrack's backbone: AlexNet as SiamFC (Bertinetto et al. 2016) has it, without padding."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 256
STRIDE = 8


class AlexNetTrunk(nn.Module):
    """Five convolutions to stride 8, batch normalisation and ReLU after all but the last.

    The second is not split in two groups, as it is in AlexNet and SiamFC: so the authors ran it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, 2)
        self.conv1_bn = nn.BatchNorm2d(96, eps=1e-3)
        self.conv2 = nn.Conv2d(96, 256, 5)
        self.conv2_bn = nn.BatchNorm2d(256, eps=1e-3)
        self.conv3 = nn.Conv2d(256, 384, 3)
        self.conv3_bn = nn.BatchNorm2d(384, eps=1e-3)
        self.conv4 = nn.Conv2d(384, 384, 3)
        self.conv4_bn = nn.BatchNorm2d(384, eps=1e-3)
        self.conv5 = nn.Conv2d(384, CHANNELS, 3)

    def forward(self, crops: Tensor) -> Tensor:
        """Features of crops (N, 3, S, S), RGB 0..255.

        127 pixels give (N, 256, 6, 6), 255 give (N, 256, 22, 22).
        """
        x = F.relu(self.conv1_bn(self.conv1(crops / 255)))
        x = F.relu(self.conv2_bn(self.conv2(F.max_pool2d(x, 3, 2))))
        x = F.relu(self.conv3_bn(self.conv3(F.max_pool2d(x, 3, 2))))
        x = F.relu(self.conv4_bn(self.conv4(x)))
        features: Tensor = self.conv5(x)
        return features
