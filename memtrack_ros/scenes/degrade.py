"""What a camera does to a picture: exposure, colour cast, blur along the motion, low resolution, noise."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.textures import chance, uniform

BLUR = 7


def motion_blur(generator: torch.Generator, pictures: Tensor, strength: float) -> Tensor:
    """Blur every picture (N, 3, H, W) along a random direction over up to `strength` * BLUR / 2 pixels."""
    count = len(pictures)
    axis = torch.arange(BLUR, device=pictures.device) - BLUR // 2
    y, x = torch.meshgrid(axis, axis, indexing='ij')
    angle = uniform(generator, 0, math.pi, count, 1, 1)
    length = uniform(generator, 0, 1, count, 1, 1).square() * strength * BLUR / 2
    width = 0.35 + 0.8 * strength * uniform(generator, 0, 1, count, 1, 1).pow(3)
    along = x * angle.cos() + y * angle.sin()
    across = y * angle.cos() - x * angle.sin()
    beyond = (along.abs() - length).clamp_min(0)
    kernel = torch.exp(-0.5 * (across.square() + beyond.square()) / width.square())
    kernel = kernel / kernel.sum((1, 2), keepdim=True)
    height, breadth = pictures.shape[-2:]
    padded = F.pad(pictures, [BLUR // 2] * 4, mode='replicate')
    flat = padded.transpose(0, 1)  # (3, N, H, W): the three channels share the kernel of their picture
    blurred = F.conv2d(flat, kernel[:, None].to(flat.dtype), groups=count)
    return blurred.transpose(0, 1).reshape(count, 3, height, breadth)


def photograph(generator: torch.Generator, clips: Tensor, strength: float) -> Tensor:
    """Clips (B, T, 3, H, W) in 0..1 as a camera of random quality sees them; same shape and range.

    Cast and greyness hold for a clip; exposure, blur and noise change from frame to frame.
    """
    count, length = clips.shape[:2]
    grey = chance(generator, 0.12 * strength, count, 1, 1, 1, 1)
    clips = torch.where(grey, clips.mean(2, keepdim=True), clips)
    cast = 1 + 0.25 * strength * uniform(generator, -1, 1, count, 1, 3, 1, 1)
    gain = 1 + 0.25 * strength * uniform(generator, -1, 1, count, length, 1, 1, 1)
    offset = 0.1 * strength * uniform(generator, -1, 1, count, length, 1, 1, 1)
    contrast = 1 - 0.5 * strength * uniform(generator, 0, 1, count, 1, 1, 1, 1).square()
    clips = ((clips - 0.5) * contrast + 0.5) * cast * gain + offset
    pictures = motion_blur(generator, clips.flatten(0, 1), strength)
    sigma = 0.06 * strength * uniform(generator, 0, 1, count, 1, 1, 1, 1).square()
    noise = torch.randn(pictures.shape, generator=generator, device=pictures.device)
    return (pictures.view_as(clips) + sigma * noise.view_as(clips)).clamp(0, 1)
