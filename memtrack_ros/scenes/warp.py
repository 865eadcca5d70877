"""From the pixels of windows to the canvas of a layer, and back: what draws is what gives flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# The warp is computed at every STRIDE-th pixel and is linear in between: hundredths of a pixel off,
# a quarter where a small thing bends strongly.
STRIDE = 3
NEAREST = 0.2  # of a tilted canvas' distance: what is nearer to the camera is not seen
PARTS = 16  # cells per side over which the area of a tilted canvas is summed


class Warp:
    """The warps of n layers in T frames."""

    def __init__(self, poses: Tensor, half: Tensor, waves: Tensor, windows: Tensor) -> None:
        """Of `poses` (n, T, parameters) of layers of `half` extent (n,) seen through `windows`.

        `waves` (n, 4) hold wave number and phase of the bending along y, then along x; windows are
        (n, T, 3: centre x, centre y, world units per pixel).
        """
        x, y, scale, turn, aspect, shear, *rest = (p[..., None, None] for p in poses.unbind(-1))
        self.bend_x, self.bend_y, self.tilt_x, self.tilt_y = rest
        self.waves = waves[:, None, None, None].unbind(-1)
        centre_x, centre_y, per_pixel = (w[..., None, None] for w in windows.unbind(-1))
        extent = half[:, None, None, None] * scale.exp() / per_pixel
        across, down = (-aspect).exp() / extent, aspect.exp() / extent
        # Canvas u, v as linear functions of pixels from the layer's centre.
        self.v = -turn.sin() * down, turn.cos() * down
        self.u = turn.cos() * across + shear * self.v[0], turn.sin() * across + shear * self.v[1]
        self.centre = (x - centre_x) / per_pixel, (y - centre_y) / per_pixel
        self.extent = extent

    def to_canvas(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Canvas coordinates u, v (n, T, h, w) of pixels `x`, `y` from the windows' centres.

        `x` and `y` are (n, T, h, w) or of a shape that broadcasts to it. The canvas spans -1..1.
        """
        x, y = x - self.centre[0], y - self.centre[1]
        u = self.u[0] * x + self.u[1] * y
        v = self.v[0] * x + self.v[1] * y
        distance = (1 + self.tilt_x * u + self.tilt_y * v).clamp_min(NEAREST)
        u, v = u / distance, v / distance
        number_y, phase_y, number_x, phase_x = self.waves
        u = u + self.bend_x * torch.sin(number_y * v + 6 * phase_y)
        v = v + self.bend_y * torch.sin(number_x * u + 6 * phase_x)
        return u, v

    def to_window(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels x, y (n, T, h, w) from the windows' centres of canvas coordinates `u`, `v`."""
        number_y, phase_y, number_x, phase_x = self.waves
        v = v - self.bend_y * torch.sin(number_x * u + 6 * phase_x)
        u = u - self.bend_x * torch.sin(number_y * v + 6 * phase_y)
        nearness = (1 - self.tilt_x * u - self.tilt_y * v).clamp_min(NEAREST)
        u, v = u / nearness, v / nearness
        determinant = self.u[0] * self.v[1] - self.u[1] * self.v[0]
        x = (self.v[1] * u - self.u[1] * v) / determinant
        y = (self.u[0] * v - self.v[0] * u) / determinant
        return x + self.centre[0], y + self.centre[1]

    def grid(self, height: int, width: int) -> Tensor:
        """Canvas coordinates (n * T, height, width, 2) of a window's pixels, for grid_sample."""
        rows, columns = height // STRIDE + 1, width // STRIDE + 1
        row, column = pixels(height, width, rows, columns, self.extent.device)
        coarse = torch.stack(self.to_canvas(column, row), 2).flatten(0, 1)
        fine = F.interpolate(coarse, (height, width), mode='bilinear', align_corners=True)
        return fine.permute(0, 2, 3, 1)

    def area(self, alpha: Tensor) -> Tensor:
        """Pixels (n, T) that canvases of `alpha` (n, T, side, side) cover, in windows without end.

        Bending and shear keep the area; a tilt divides that of a part by its nearness cubed.
        """
        parts = F.adaptive_avg_pool2d(alpha, PARTS)
        axis = (torch.arange(PARTS, device=alpha.device) + 0.5) * (2 / PARTS) - 1
        nearness = 1 - self.tilt_x * axis - self.tilt_y * axis[:, None]
        covered = (parts / nearness.clamp_min(NEAREST).pow(3)).mean((2, 3))
        return covered * (2 * self.extent[..., 0, 0]).square()


def pixels(
    height: int, width: int, rows: int, columns: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """`rows` (rows, 1) and `columns` (columns,) evenly over a window, in pixels from its centre."""
    return (
        torch.linspace(-0.5, 0.5, rows, device=device)[:, None] * (height - 1),
        torch.linspace(-0.5, 0.5, columns, device=device) * (width - 1),
    )
