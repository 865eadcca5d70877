"""Training clips: drawn scenes seen through search windows, as a tracker would cut them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.scene import Scenes
from memtrack_ros.scenes.textures import chance, uniform

# Share of the target that must be seen for a frame to count as showing it.
SEEN = 0.15
# Pixels that sqrt(w h) of the target takes in a crop: widely spread for queries, less so in memory.
MEMORY_SIZE = (34.0, 68.0)
QUERY_SIZE = (26.0, 80.0)
MEMORY_SHIFT = 0.1
QUERY_SHIFT = 0.3
PEAK_ERROR = 0.2  # of the target's size
PEAK_ASTRAY = 0.05  # share of the frames


@dataclass(frozen=True)
class Clips:
    """Crops (B, T, 3, S, S), RGB 0..255, with their truth.

    Masks (B, T, S, S) in 0..1, boxes (B, T, 4: x1, y1, x2, y2) in pixels, presence (B, T).
    """

    crops: Tensor
    masks: Tensor
    boxes: Tensor
    present: Tensor

    def pointed_at(self) -> Clips:
        """The clips whose first frame shows the target, repeated so that their number stays."""
        usable = self.present[:, 0].nonzero()[:, 0]
        chosen = usable[torch.arange(len(self.present), device=usable.device) % len(usable)]
        return Clips(
            self.crops[chosen], self.masks[chosen], self.boxes[chosen], self.present[chosen]
        )


def draw_clips(
    generator: torch.Generator,
    count: int,
    side: int,
    memory: int,
    queries: int,
    strength: float,
    imagery: Imagery | None,
) -> Clips:
    """Draw `count` clips: `memory` frames around the target, then `queries` less well centred.

    One query in eight is taken from another scene, where there is no target.
    """
    device = generator.device
    scenes = Scenes(generator, count, strength, imagery)
    length = memory + queries
    spread = torch.exp(uniform(generator, 1.5, 5.5, count, 1))
    times = uniform(generator, 0, 1, count, length).sort(1).values * spread + uniform(
        generator, 0, 500, count, 1
    )
    is_query = torch.arange(length, device=device) >= memory
    place = scenes.target_place(times)
    log_size = torch.where(
        is_query,
        _log_uniform(generator, QUERY_SIZE, count, length),
        _log_uniform(generator, MEMORY_SIZE, count, length),
    )
    per_pixel = place[..., 2] / log_size.exp()
    shift = (
        torch.where(is_query, QUERY_SHIFT, MEMORY_SHIFT)[None, :, None]
        * side
        * per_pixel[..., None]
    )
    centre = place[..., :2] + shift * uniform(generator, -1, 1, count, length, 2)
    clip = scenes.render(times, torch.cat([centre, per_pixel[..., None]], -1), side, side)

    strange = chance(generator, 1 / 8, count, length) & is_query
    crops = torch.where(strange[..., None, None, None], clip.pictures.roll(1, 0), clip.pictures)
    masks = torch.where(strange[..., None, None], 0.0, clip.target)
    inside = image_area(generator, count, length, side)
    crops = torch.where(inside[:, :, None], crops, crops[:, :1].mean((3, 4), keepdim=True))
    left = (masks * inside).sum((2, 3)) / masks.sum((2, 3)).clamp_min(1)
    masks = masks * inside
    boxes, filled = boxes_of(masks > 0.5)
    present = filled & (clip.visibility * left > SEEN) & ~strange
    return Clips(crops * 255, masks * present[..., None, None], boxes, present)


def image_area(generator: torch.Generator, count: int, length: int, side: int) -> Tensor:
    """Pixels (B, T, S, S) of crops that lie inside the image: in half of the clips not all do.

    What is beyond has one colour, and must not be taken for the ground that an object, the image,
    stands on.
    """
    near = chance(generator, 0.5, count, 1, 1) & chance(generator, 0.5, count, 1, 4)
    depth = side * torch.where(near, uniform(generator, -0.1, 0.45, count, length, 4), -1.0)
    axis = torch.arange(side, device=generator.device)
    left, top, right, bottom = depth[..., None].unbind(2)
    columns = (axis >= left) & (axis < side - right)
    rows = (axis >= top) & (axis < side - bottom)
    return rows[..., None] & columns[..., None, :]


def boxes_of(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (..., 4: x1, y1, x2, y2) around bool masks (..., H, W), and whether any is set (...).

    Pixel i spans [i - 0.5, i + 0.5].
    """
    columns, rows = masks.any(-2).float(), masks.any(-1).float()
    left, right = columns.argmax(-1), columns.shape[-1] - columns.flip(-1).argmax(-1)
    top, bottom = rows.argmax(-1), rows.shape[-1] - rows.flip(-1).argmax(-1)
    boxes = torch.stack([left, top, right, bottom], -1).float() - 0.5
    return boxes, masks.flatten(-2).any(-1)


def label_maps(generator: torch.Generator, clips: Clips, memory: int) -> Tensor:
    """Label maps (B, memory, 1, S, S) of the memory frames.

    The mask, or the filled box, both as inexact as a tracker's.
    """
    masks, boxes = clips.masks[:, :memory], clips.boxes[:, :memory]
    side = masks.shape[-1]
    size = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 1, 2)
    wrong = 0.08 * uniform(generator, -1, 1, *boxes.shape)
    wrong[:, 0] *= 0.3
    boxes = boxes + wrong * size
    axis = torch.arange(side, device=masks.device)
    inside_x = (axis > boxes[..., :1]) & (axis < boxes[..., 2:3])
    inside_y = (axis > boxes[..., 1:2]) & (axis < boxes[..., 3:4])
    filled = (inside_y[..., None] & inside_x[..., None, :]).float()
    as_box = chance(generator, 0.5, *masks.shape[:2])[..., None, None]
    labels = torch.where(as_box, filled * clips.present[:, :memory, None, None], masks)
    return labels[:, :, None]


def peaks(generator: torch.Generator, clips: Clips) -> Tensor:
    """Where a correlation filter would see the target of every frame, (B, T, 2: x, y).

    Near its centre, now and then somewhere else; anywhere where there is none.
    """
    side = clips.crops.shape[-1]
    size = clips.boxes[..., 2:] - clips.boxes[..., :2]
    centre = (clips.boxes[..., :2] + clips.boxes[..., 2:]) / 2
    near = centre + PEAK_ERROR * size * uniform(generator, -1, 1, *centre.shape)
    astray = chance(generator, PEAK_ASTRAY, *clips.present.shape) | ~clips.present
    anywhere = side * uniform(generator, 0, 1, *centre.shape)
    return torch.where(astray[..., None], anywhere, near)


def half_size(masks: Tensor) -> Tensor:
    """Masks (N, S, S) at half the size, (N, 1, S/2, S/2)."""
    return F.avg_pool2d(masks[:, None], 2)


def _log_uniform(generator: torch.Generator, span: tuple[float, float], *shape: int) -> Tensor:
    low, high = torch.tensor(span).log().tolist()
    return uniform(generator, low, high, *shape)
