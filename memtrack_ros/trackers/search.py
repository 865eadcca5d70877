"""How the compact trackers look at a frame, and how a grid of answers becomes one box."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.masks.colour import Singles
from memtrack_ros.masks.guided import above_half, shares_along_edges
from memtrack_ros.nets.compact import STRIDE
from memtrack_ros.nets.transfer import carried
from memtrack_ros.trackers.observation import Prior

SEARCH = 4.0  # side of the search window over sqrt(w h) of the target
WIDEST = 1.2  # side of the search window over the longer side of the image, at most, but for
NARROWEST = 2.4  # times sqrt(w h) of the target, which it always has
FILLING = 0.4, 0.7  # share of the image from which a target begins to fill it, and does
ROOM = 1.75  # times the box in which its mask lies
ASKING = 32  # cells of a query, at most, whose reads stand for that of the target
LEAST_FILL = 0.2  # share of its box that a segmented target must fill to be believed
SHARES = np.asarray(np.arange(256) / 255, np.float32)  # in 0..1, of each value of a pixel


def search_window(frame: Pixels, box: Floats, search: float, side: int) -> Window:
    """The window of `side` crop pixels around `box` in which its target is searched for.

    It is SEARCH * `search` times the box's sqrt(w h) wide, but hardly wider than the image: a
    network that sees all of the image stand on the border's colour takes it for an object. Which is
    right where the target fills the image.
    """
    size = boxes.scale(box)
    filling = np.interp(filled_share(box, frame), FILLING, [0, 1])
    narrowest = NARROWEST + filling * (SEARCH - NARROWEST)
    widest = max(WIDEST * max(frame.shape[:2]), narrowest * size)
    extent = min(SEARCH * search * size, widest)
    return Window.around(boxes.centre(box), extent / side, side)


def whole_window(frame: Pixels, side: int) -> Window:
    """The window of `side` crop pixels that shows the whole frame."""
    height, width = frame.shape[:2]
    return Window.around([(width - 1) / 2, (height - 1) / 2], max(width, height) / side, side)


def filled_share(box: Floats, frame: Pixels) -> float:
    """How much of the image lies in the box (4,)."""
    height, width = frame.shape[:2]
    return float(boxes.intersect(box, width, height)[2:].prod() / (width * height))


def to_edges(box: Floats, mask: Pixels) -> Floats:
    """The box (4,) of a target that fills the image, as far as its mask (H, W) reaches its edges.

    A network tells hardly to the pixel where the image cuts a target off; and it sees no part of
    one beyond. Other boxes stay.
    """
    if filled_share(box, mask) < FILLING[0]:
        return box
    size = np.array(mask.shape[::-1], float)
    first = np.clip(box[:2], 0, np.maximum(size - box[2:], 0))
    last = first + box[2:]
    touched = np.array([mask[:, 0].mean(), mask[0].mean()]) > 127
    reached = np.array([mask[:, -1].mean(), mask[-1].mean()]) > 127
    first, last = np.where(touched, 0, first), np.where(reached, size, last)
    return np.concatenate([first, last - first])


def border_colour(frame: Pixels) -> Floats:
    """What stands for the world beyond the image: its mean colour (3,)."""
    return np.floor(cv2.mean(frame)[:3])


def to_device(crop: Pixels | Singles, device: torch.device) -> Tensor:
    """A BGR crop as RGB floats (1, 3, S, S) 0..255 on the device."""
    image = carried(crop, device).permute(2, 0, 1)[None]
    return image.flip(1).float()


def cells_on(mask: Pixels, window: Window) -> NDArray[np.intp]:
    """Rows and columns (2, N) of the window's cells on the target; the middle's if none is."""
    shown = cut(mask, window, 0)[::STRIDE, ::STRIDE] > 127
    return np.array(np.nonzero(shown) if shown.any() else [[len(shown) // 2]] * 2)


def spread(cells: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """So many (2, count) of the cells (2, N), evenly; fewer are repeated."""
    places = (np.arange(count) + 0.5) / count * cells.shape[1]
    return cells[:, places.astype(int)]


def asking(query: Tensor, window: Window, mask: Pixels) -> Tensor:
    """Of what the window shows, cells (1, C, h, w), some on the target: (1, C, ASKING, 1)."""
    rows, columns = spread(cells_on(mask, window), ASKING)
    return query[:, :, rows, columns, None]


def by_number(numbers: ArrayLike, weights: Tensor) -> dict[int, float]:
    """The sums of weights (N,) that have the same of the numbers (N,)."""
    known, places = np.unique(numbers, return_inverse=True)
    sums = np.bincount(places, weights.double().cpu().numpy())
    return dict(zip(known.tolist(), sums.tolist(), strict=True))


def label_map(mask: Pixels, window: Window) -> NDArray[np.float32]:
    """The target's mask 0/255 as the window shows it, (S, S) in 0..1."""
    return np.asarray(cv2.LUT(cut(mask, window, 0), SHARES), np.float32)


def shares_in_frame(
    logits: Tensor, window: Window, box: Floats, frame: Pixels, crop: Pixels
) -> Pixels:
    """Mask logits (h, w) of the window as the target's shares * 255 in `frame`, uint8 (H, W).

    The window shows `crop`.

    Only within ROOM times `box`: a look-alike elsewhere in the window may be segmented, too.
    """
    probability = logits.float().sigmoid().cpu().numpy()
    cells = window.in_cells(len(probability))
    room = boxes.from_centre(cells.to_crop(boxes.centre(box)), ROOM * box[2:] / cells.pitch)
    near = boxes.box_mask(room, *probability.shape) > 0
    return shares_along_edges(np.where(near, probability, np.float32(0)), window, frame, crop)


class Outline(NamedTuple):
    """A target in a frame: its box (4,), its mask uint8 (H, W) 0/255, and its shares in the pixels.

    These are uint8 (H, W), * 255, and None of what does not segment.
    """

    box: Floats
    mask: Pixels
    shares: Pixels | None


def segmented(logits: Tensor, window: Window, box: Floats, frame: Pixels, crop: Pixels) -> Outline:
    """The outline by mask logits (h, w) of a window that shows `crop`, around what `box` says."""
    shares = shares_in_frame(logits, window, box, frame, crop)
    mask = above_half(shares)
    return Outline(to_edges(box, mask), mask, shares)


def filled(box: Floats, frame: Pixels) -> Outline:
    """The outline of what does not segment: the box, filled."""
    return Outline(box, boxes.box_mask(box, *frame.shape[:2]), None)


def pseudo_mask(mask: Pixels, box: Floats, outline: Pixels) -> Pixels:
    """What was segmented within the outline, dilated a little, as SAMN starts from a box.

    `outline`, the filled box (4,) or what of it is known to be the target's, stays where that is
    too little to be the object.
    """
    dilation = max(5, round(0.05 * float(box[2:].min()))) | 1
    inside = cv2.bitwise_and(mask, cv2.dilate(outline, np.ones((dilation, dilation), np.uint8)))
    return (
        np.asarray(inside, np.uint8)
        if cv2.countNonZero(inside) >= LEAST_FILL * cv2.countNonZero(outline)
        else outline
    )


class Choice(NamedTuple):
    """The chosen cell, its score, all cells' scores after penalty and window, the new box (4,)."""

    cell: tuple[np.intp, ...]
    score: float
    preferred: NDArray[np.floating]
    box: Floats

    @property
    def best(self) -> float:
        """The chosen cell's score after penalty and window."""
        return float(self.preferred[self.cell])


class Chooser(NamedTuple):
    """Post-processing of SiamRPN (Li et al. 2018), in the names of its configurations.

    Preferred are boxes that change little in size and aspect and, in a usual search, lie central.
    """

    penalty_k: float
    window_influence: float
    test_lr: float
    smallest: float  # pixels, of a side of the box
    inclusive: int = 0  # 1 where a box's corners are the centres of its outer pixels

    def choose(
        self,
        score: NDArray[np.floating],
        corners: NDArray[np.floating],
        prior: Prior,
        window: Window,
        frame: Pixels,
    ) -> Choice:
        """The best of the scores (h, w, ...) with boxes (h, w, ..., 4: x1, y1, x2, y2) in `window`.

        The new box moves to it at once and takes on its size as far as it is sure; its centre stays
        in the frame, its size between `smallest` and the frame's.
        """
        size = corners[..., 2:] - corners[..., :2] + self.inclusive
        penalty = change_penalty(size, prior.box[2:] / window.pitch, self.penalty_k)
        influence = self.window_influence if prior.usual else 0.0
        central = np.outer(np.hanning(score.shape[0]), np.hanning(score.shape[1]))
        central = central.reshape(*score.shape[:2], *[1] * (score.ndim - 2))
        preferred = penalty * score * (1 - influence) + central * influence
        cell = np.unravel_index(int(preferred.argmax()), preferred.shape)
        rate = penalty[cell] * score[cell] * self.test_lr
        new_size = (1 - rate) * prior.box[2:] + rate * size[cell] * window.pitch
        centre = window.to_frame((corners[cell][:2] + corners[cell][2:]) / 2)
        box = self.within(frame, centre, new_size)
        return Choice(cell, float(score[cell]), preferred, box)

    def within(self, frame: Pixels, centre: ArrayLike, size: ArrayLike) -> Floats:
        """The box of this centre and size, its centre in the frame and its size not beyond it."""
        height, width = frame.shape[:2]
        return boxes.from_centre(
            np.clip(centre, 0, [width, height]), np.clip(size, self.smallest, [width, height])
        )


def change_penalty(
    size: NDArray[np.floating], before: Floats, penalty_k: float
) -> NDArray[np.floating]:
    """exp(-k (r s - 1)): how little sizes (..., 2) differ from the size `before` (2,).

    s is the change of sqrt((w + p)(h + p)), p = (w + h) / 2; r the change of aspect; both >= 1.
    """

    def padded(wh: NDArray[np.floating]) -> NDArray[np.floating]:
        pad = wh.sum(-1, keepdims=True) / 2
        return np.asarray(np.sqrt((wh + pad).prod(-1)))

    def change(ratio: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(np.maximum(ratio, 1 / ratio))

    scale = change(padded(size) / padded(before))
    aspect = change((before[0] / before[1]) / (size[..., 0] / size[..., 1]))
    return np.asarray(np.exp(-penalty_k * (aspect * scale - 1)))
