"""What a camera does to a picture.

Exposure, colour cast, few pixels, blur along the motion, loss of focus, noise, compression.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.compression import compressed
from memtrack_ros.scenes.motion import wander
from memtrack_ros.scenes.textures import chance, choose, uniform

BLUR = 5  # pixels: side of the blur kernels
# Amplitudes at full strength: gain, offset, blur along, sharpness lost. They change smoothly over a
# clip.
UNREST = (0.25, 0.1, 1.0, 1.0)
COARSE, COARSEST = 0.35, 3  # share of sensors with few pixels, and how few at the most
COMPRESSED, STEPS = 0.35, (0.01, 0.06)  # share of pictures from a lossy codec, and its steps
NOISE_STEP = 29  # pixels that the noise moves from frame to frame


class Camera:
    """B cameras of random quality.

    Cast, greyness, light, contrast, noise, resolution and compression hold for a scene; exposure
    and focus wander. What is blurred is blurred along the motion that the camera is told of, or
    along one of its own.
    """

    def __init__(self, generator: torch.Generator, count: int, strength: float) -> None:
        """Draw the cameras; `strength` 0..1 scales every fault."""
        self.grey = chance(generator, 0.12 * strength, count)
        # Every third scene is dark: down to a seventh of the light.
        dark = chance(generator, 0.33 * strength, count, 1, 1, 1, 1)
        self.light = torch.where(dark, uniform(generator, -2.0, 0.0, count, 1, 1, 1, 1), 0.0).exp()
        self.cast = 1 + 0.25 * strength * uniform(generator, -1, 1, count, 1, 3, 1, 1)
        self.contrast = 1 - 0.5 * strength * uniform(generator, 0, 1, count, 1, 1, 1, 1).square()
        self.noise = 0.06 * strength * uniform(generator, 0, 1, count, 1, 1, 1, 1).square()
        unrest = torch.tensor(UNREST, device=generator.device).expand(count, -1)
        self.unrest = wander(generator, unrest * strength, (20, 200))
        # Pixels of a picture to one of the sensor: most sensors are fine, a few are coarse.
        coarse = uniform(generator, 0, 1, count) > 1 - COARSE * strength
        self.pixel = torch.where(coarse, 2 + choose(generator, COARSEST - 1, count), 1)
        self.step = uniform(generator, *STEPS, count) * chance(
            generator, COMPRESSED * strength, count
        )

    def photograph(
        self,
        generator: torch.Generator,
        clips: Tensor,
        times: Tensor,
        direction: Tensor | None = None,
    ) -> Tensor:
        """Clips (B, T, 3, H, W) in 0..1 as the cameras see them at `times` (B, T).

        Things move along `direction` (B, T) in rad; the noise is `generator`'s.
        """
        if direction is None:
            direction = self.unrest.phase[:, 2, :1] + 0.02 * times
        gain, offset, length, softness = self.unrest.at(times)[..., None, None, None].unbind(2)
        gain = self.contrast * self.cast * (1 + gain)
        offset = (0.5 / self.contrast - 0.5) * gain + offset
        gain, offset = gain * self.light, offset * self.light
        kernels = blur_kernels(direction, length.flatten(1).abs(), softness.flatten(1).abs())
        pictures = torch.empty_like(clips)
        for pixel in range(1, COARSEST + 1):
            scenes = (self.pixel == pixel).nonzero()[:, 0]
            if len(scenes) == 0:
                continue
            seen = clips[scenes]
            seen = torch.where(
                self.grey[scenes, None, None, None, None], seen.mean(2, keepdim=True), seen
            )
            seen = torch.addcmul(offset[scenes], seen, gain[scenes])
            pictures[scenes] = self._recorded(generator, seen, scenes, kernels[scenes], pixel)
        return pictures.clamp_(0, 1)

    def _recorded(
        self, generator: torch.Generator, seen: Tensor, scenes: Tensor, kernels: Tensor, pixel: int
    ) -> Tensor:
        """What a sensor with pixels of `pixel` x `pixel` records of `seen`, and a codec keeps."""
        size, frames = seen.shape[-2:], seen.shape[1]
        image = seen.flatten(0, 1)
        if pixel > 1:
            coarse = (max(size[0] // pixel, 1), max(size[1] // pixel, 1))
            image = F.interpolate(image, coarse, mode='area')
        image = blurred(image, kernels.flatten(0, 1)).view(
            len(scenes), frames, 3, *image.shape[-2:]
        )
        # Noise is the dearest thing to draw: the frames of a clip share a field of it, moved.
        noise = self.noise[scenes, 0] * torch.randn(
            (len(scenes), *image.shape[2:]), generator=generator, device=image.device
        )
        for frame in range(frames):
            image[:, frame] += noise.roll((NOISE_STEP * frame, frame), (2, 3))
        lossy = self.step[scenes] > 0
        if lossy.any():
            kept = compressed(
                image[lossy].flatten(0, 1), self.step[scenes][lossy].repeat_interleave(frames)
            )
            image[lossy] = kept.unflatten(0, (-1, frames))
        if pixel == 1:
            return image
        fine = F.interpolate(image.flatten(0, 1), tuple(size), mode='bilinear')
        return fine.view_as(seen)


def blur_kernels(direction: Tensor, length: Tensor, softness: Tensor) -> Tensor:
    """Kernels (..., BLUR, BLUR) that smear along `direction` (rad).

    By `length`, and in all directions by `softness`, both (...) in 0..1.
    """
    axis = torch.arange(BLUR, device=direction.device) - BLUR // 2
    y, x = torch.meshgrid(axis, axis, indexing='ij')
    direction, length, softness = (t[..., None, None] for t in (direction, length, softness))
    along = x * direction.cos() + y * direction.sin()
    across = y * direction.cos() - x * direction.sin()
    beyond = (along.abs() - length.square() * BLUR / 2).clamp_min(0)
    width = 0.35 + 0.8 * softness.pow(3)
    kernel = torch.exp(-0.5 * (across.square() + beyond.square()) / width.square())
    return kernel / kernel.sum((-2, -1), keepdim=True)


def blurred(pictures: Tensor, kernels: Tensor) -> Tensor:
    """Every picture (N, 3, H, W) blurred by its kernel (N, BLUR, BLUR)."""
    padded = F.pad(pictures, [BLUR // 2] * 4, mode='replicate')
    # One convolution with a group for every channel of every picture: what oneDNN does fastest.
    groups = padded.flatten(0, 1)[None]
    result = F.conv2d(groups, kernels[:, None].repeat_interleave(3, 0), groups=groups.shape[1])
    return result.view_as(pictures)
