"""The online correlation filter of ATOM (Danelljan et al., CVPR 2019), as D3S runs it.

A response s = (P x) * f is learned while tracking: P projects features x to few channels, f is a
small filter. With labels y, sample weights w and activation phi it minimises (ATOM eq. 2 and 3)

    L(f, P) = sum_n w_n |phi(s_n) - y_n|^2 + lambda |f|^2 + mu |P|^2

by Gauss-Newton steps, each solved by preconditioned conjugate gradients. The derivatives are
written out, so that nothing here needs autograd. SAMN (its spatial memory, eq. 6) and CMEDFL find
their target with it.

Convolution is 'same': with an even kernel of k cells, response cell i covers the feature cells
i - k/2 .. i + k/2 - 1, which lie around i - 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

BEND = 0.05  # of the activation: how far below zero a response may go
TINY = 1e-30


class Regularisation(NamedTuple):
    """lambda of the filter and mu of the projection."""

    filt: float = 1e-1
    projection: float = 1e-4


def normalised_power(x: Tensor) -> Tensor:
    """Features (N, C, H, W), each sample divided by the root of its mean square."""
    return x / (x.square().mean((1, 2, 3), keepdim=True) + 1e-10).sqrt()


def principal_components(x: Tensor, channels: int) -> Tensor:
    """The projection (channels, C) on the directions of largest variance of x (N, C, H, W)."""
    cells = x.transpose(0, 1).flatten(1)
    cells = cells - cells.mean(1, keepdim=True)
    axes: Tensor = torch.linalg.svd(cells @ cells.mT)[0]
    return axes[:, :channels].mT.contiguous()


def project(x: Tensor, projection: Tensor) -> Tensor:
    """P x, (N, D, H, W), of features x (N, C, H, W) and projection P (D, C)."""
    projected: Tensor = (projection @ x.flatten(2)).unflatten(2, x.shape[-2:])
    return projected


def respond(z: Tensor, filt: Tensor) -> Tensor:
    """z * f, (N, H, W), of projected features z (N, D, H, W) and filter f (D, k, k)."""
    kernel, (height, width) = filt.shape[-1], z.shape[-2:]
    # Every cell's share in the k x k responses that see it, then these shares summed in place.
    shares = filt.flip(1, 2).flatten(1).mT @ z.flatten(2)
    spread = F.fold(shares, (height + kernel - 1, width + kernel - 1), kernel)[:, 0]
    first = (kernel - 1) // 2
    return spread[:, first : first + height, first : first + width]


def activation(s: Tensor) -> Tensor:
    """phi: a response below zero is bent towards -BEND; a background cell may be any of these."""
    return torch.where(s < 0, BEND * torch.expm1(s.clamp(max=0) / BEND), s)


def slope(s: Tensor) -> Tensor:
    """The derivative of `activation`."""
    return (s.clamp(max=0) / BEND).exp()


def loss(
    x: Tensor, y: Tensor, weights: Tensor, projection: Tensor, filt: Tensor, reg: Regularisation
) -> Tensor:
    """L(f, P), a number; shapes as in `fit_jointly`."""
    error = activation(respond(project(x, projection), filt)) - y
    data = (weights * error.square().sum((1, 2))).sum()
    return data + reg.filt * filt.square().sum() + reg.projection * projection.square().sum()


def fit_jointly(
    x: Tensor,
    y: Tensor,
    weights: Tensor,
    projection: Tensor,
    filt: Tensor,
    *,
    reg: Regularisation,
    steps: int,
    iterations: int,
) -> tuple[Tensor, Tensor]:
    """Projection (D, C) and filter (D, k, k) after Gauss-Newton `steps` on both at once.

    x (N, C, H, W) are features, y (N, H, W) their labels, `weights` (N,); each step takes as many
    `iterations` of conjugate gradients.
    """
    kernel = filt.shape[-1]
    parts = [filt.numel(), projection.numel()]
    diagonal = torch.cat(
        [filt.new_full(parts[:1], reg.filt), filt.new_full(parts[1:], reg.projection)]
    )
    flat = x.flatten(2)
    root = weights.sqrt()[:, None, None]
    for _ in range(steps):
        z = project(x, projection)
        s = respond(z, filt)
        bend = root * slope(s)

        def transposed(u: Tensor, z: Tensor = z, filt: Tensor = filt) -> Tensor:
            """J^T u for both parameters; u (N, H, W)."""
            seen = _seen(u, kernel)
            by_filter = (z.flatten(2) @ seen.mT).sum(0)
            by_projection = (filt.flatten(1) @ seen @ flat.mT).sum(0)
            return torch.cat([by_filter.flatten(), by_projection.flatten()])

        def product(
            v: Tensor,
            z: Tensor = z,
            filt: Tensor = filt,
            bend: Tensor = bend,
            transposed: Callable[[Tensor], Tensor] = transposed,
        ) -> Tensor:
            """(J^T J + diagonal) v."""
            of_filter, of_projection = v.split(parts)
            change = respond(z, of_filter.view_as(filt))
            change = change + respond(project(x, of_projection.view(-1, x.shape[1])), filt)
            return transposed(bend.square() * change) + diagonal * v

        value = torch.cat([filt.flatten(), projection.flatten()])
        gradient = transposed(bend * root * (activation(s) - y)) + diagonal * value
        value = value + conjugate_gradients(product, -gradient, diagonal, iterations)
        new_filter, new_projection = value.split(parts)
        filt, projection = new_filter.view_as(filt), new_projection.view_as(projection)
    return projection, filt


def fit_filter(
    z: Tensor,
    y: Tensor,
    weights: Tensor,
    filt: Tensor,
    *,
    reg: Regularisation,
    iterations: int,
) -> Tensor:
    """The filter (D, k, k) after one Gauss-Newton step of `iterations`; the projection stays.

    z (N, D, H, W) are projected features, y (N, H, W) their labels, `weights` (N,) 0 for a sample
    that does not count.
    """
    kernel = filt.shape[-1]
    root = weights.sqrt()[:, None, None]
    s = respond(z, filt)
    bend = root * slope(s)
    diagonal = filt.new_full((filt.numel(),), reg.filt)

    def transposed(u: Tensor) -> Tensor:
        return (z.flatten(2) @ _seen(u, kernel).mT).sum(0).flatten()

    def product(v: Tensor) -> Tensor:
        return transposed(bend.square() * respond(z, v.view_as(filt))) + diagonal * v

    gradient = transposed(bend * root * (activation(s) - y)) + diagonal * filt.flatten()
    step = conjugate_gradients(product, -gradient, diagonal, iterations)
    return filt + step.view_as(filt)


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, diagonal: Tensor, iterations: int
) -> Tensor:
    """v, with `product`(v) = b approximately, from 0 on; vectors are flat.

    Preconditioned by `diagonal`; a direction keeps of the one before what Polak and Ribiere say,
    but never less than nothing.
    """
    v = torch.zeros_like(b)
    residual = before = b
    direction = torch.zeros_like(b)
    rho_before = torch.ones_like(b[0])
    for _ in range(iterations):
        z = residual / diagonal
        rho = residual @ z
        # In the first iteration `before` is `residual`: nothing is kept of no direction.
        kept = ((rho - before @ z) / rho_before.clamp(min=TINY)).clamp(min=0)
        direction = z + kept * direction
        q = product(direction)
        alpha = rho / (direction @ q).clamp(min=TINY)
        v = v + alpha * direction
        before, rho_before = residual, rho
        residual = residual - alpha * q
    return v


def gaussian_labels(offsets: Tensor, sigma: float, height: int, width: int, kernel: int) -> Tensor:
    """Labels (N, height, width) for targets `offsets` (N, 2: x, y) cells from the map's middle.

    Gaussians of 1 at the peak, `sigma` in cells; an even kernel responds half a cell further on.
    """
    centre = offsets + 0.5 * ((kernel + 1) % 2)

    def along(size: int, middle: Tensor) -> Tensor:
        cells = torch.arange(size, device=offsets.device) - (size - 1) / 2
        return torch.exp(-(cells - middle[:, None]).square() / (2 * sigma**2))

    return along(height, centre[:, 1])[:, :, None] * along(width, centre[:, 0])[:, None]


def upsampled(scores: Tensor, kernel: int, side: int) -> Tensor:
    """Scores (H, W) as a map (side, side), interpolated by their Fourier series.

    The map's middle, a target that did not move, stands at (0, 0); what lies before it wraps to the
    end. Of an even number of cells the highest frequency counts at both its signs, as the authors
    have it.
    """
    height, width = scores.shape
    rows = torch.arange(-((height - 1) // 2) - (height + 1) % 2, height // 2 + 1)
    columns = torch.arange(width // 2 + 1)
    spectrum = torch.fft.rfft2(scores.cpu())[rows % height] * (side**2 / (height * width))

    def shift(frequency: Tensor, size: int) -> Tensor:
        """Half the map; half a cell less where an odd kernel answers for its own middle."""
        return torch.exp(1j * math.pi * (1 - kernel % 2 / size) * frequency)

    padded = spectrum.new_zeros(side, side // 2 + 1)
    padded[rows % side, : width // 2 + 1] = (
        spectrum * shift(rows, height)[:, None] * shift(columns, width)
    )
    fine: Tensor = torch.fft.irfft2(padded, s=(side, side))
    return fine


def windowed(scores: Tensor, *, central: bool) -> Tensor:
    """`upsampled` scores (S, S) with the map's middle at (S // 2, S // 2).

    Under a Hann window if the target is expected to be `central`.
    """
    side = scores.shape[-1]
    middle = side // 2
    scores = scores.roll((middle, middle), (0, 1))
    if not central:
        return scores
    window = 0.5 * (1 + torch.cos(2 * math.pi * (torch.arange(side) - middle) / (side + 2)))
    return scores * window[:, None] * window


def _seen(u: Tensor, kernel: int) -> Tensor:
    """For each feature cell the k x k values of u (N, H, W) that it has a share in.

    (N, k * k, H * W), in the order of the filter's cells.
    """
    before, after = (kernel - 1) // 2, kernel // 2
    padded = F.pad(u[:, None], (before, after, before, after))
    return F.unfold(padded, kernel).flip(1)
