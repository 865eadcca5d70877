"""MemTrack (Yang and Chan, ECCV 2018): templates in slots, read and written by an LSTM."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.memory import TemplateSlots
from memtrack_ros.nets.alexnet import STRIDE
from memtrack_ros.nets.compact import BOX_LABEL, CROP
from memtrack_ros.nets.inference import ready
from memtrack_ros.nets.memtrack import (
    TEMPLATE_CROP,
    CompactMemTrack,
    MemTrackQuery,
    PaperMemTrack,
    Signals,
    TemplateMemory,
)
from memtrack_ros.nets.transfer import carried, fetched
from memtrack_ros.trackers.looking import Look, LookingTracker
from memtrack_ros.trackers.observation import Observation, Prior, Sight, Target
from memtrack_ros.trackers.parts import Parts
from memtrack_ros.trackers.search import (
    Chooser,
    by_number,
    label_map,
    search_window,
    segmented,
    to_device,
)
from memtrack_ros.trackers.tracker import Tracker
from memtrack_ros.weights.files import Calibration, load_into

SLOTS = 8  # N


class MemTrackSettings(NamedTuple):
    """Of the memory, for both variants."""

    slots: int = SLOTS
    writes: bool = True  # else the memory is that of the first frame


DEFAULT = MemTrackSettings()
FREE = {'slots': 1, 'writes': 0}
# How much of what is read of the slots (eq. 8) counts in eq. 9, for the compact variant: with all
# of it held-out videos and fast drawn scenes are followed worse.
READ_SHARE = 0.5
CHOOSER = Chooser(penalty_k=0.15, window_influence=0.21, test_lr=0.5, smallest=3.0)

# The paper variant's inference, in the authors' numbers.
TEMPLATE_SIDE, SEARCH_SIDE = 127, 255  # of the crops, pixels
CONTEXT = 0.5  # of w + h that a template shows around the target
SCALES = 1.05 ** np.array([-1.0, 0.0, 1.0])
SCALE_PENALTY = np.array([0.97, 1.0, 0.97])
DAMPING = 0.6  # gamma: share of the newly found size in the next one
INFLUENCE = 0.15  # of the cosine window
FINER = 16  # times as many places as cells in the response that is searched


@dataclass(frozen=True)
class MemTrackObservation(Observation):
    """An observation with what the controller said in the step that made it."""

    signals: Signals


class MemTracker(Tracker[MemTrackObservation, Pixels]):
    """What both variants share: a first template and a controller, written after every step.

    The authors write a frame's template when the next frame comes, with the signals of the frame
    itself; here `remember` writes it at once, which is the same arithmetic.
    """

    name = 'memtrack'
    bank: TemplateSlots

    def __init__(
        self,
        net: CompactMemTrack | PaperMemTrack,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
        settings: MemTrackSettings = DEFAULT,
    ) -> None:
        """Allocate the bank; ConfigurationError when it is over `max_bytes`."""
        super().__init__(calibration, device)
        self.settings = settings
        self.bank = TemplateSlots(
            settings.slots, net.template_shape, net.hidden, max_bytes=max_bytes, device=device
        )
        self._controller = net.controller

    def view(self, frame: Pixels, box: Floats) -> Pixels:
        """The frame: a template is cut from it, its label with it."""
        return frame

    @torch.inference_mode()
    def begin(self, view: Pixels, target: Target) -> None:
        """Forget what was; the target's template becomes T_0 and the first slot's."""
        template = self.template(view, target)
        memory, signals = self._controller.start(template, self.bank.capacity)
        self.bank.start(memory)
        self.bank.write(signals, template)

    @torch.inference_mode()
    def remember(self, frame: Pixels, found: MemTrackObservation) -> None:
        """Write the target's new template as the step's signals say, and keep its LSTM state."""
        if not self.settings.writes:
            self.bank.refuse()
            return
        self.bank.write(found.signals, self.template(frame, Target(found.box, found.mask)))

    @abstractmethod
    def template(self, frame: Pixels, target: Target) -> Tensor:
        """The template (1, C, 6, 6) of a target in `frame`."""


class CompactMemTracker(MemTracker, LookingTracker[MemTrackObservation, Pixels]):
    """The compact variant: one scale, a box head and a mask decoder."""

    variant = 'compact'
    segments = gated = True
    kept = (*Tracker.kept, 'identity')

    def __init__(
        self,
        net: CompactMemTrack,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
        precision: torch.dtype = torch.float32,
        settings: MemTrackSettings = DEFAULT,
    ) -> None:
        """Like both; its convolutions compute in `precision`."""
        super().__init__(net, calibration, device, max_bytes, settings)
        self.net = ready(net, device, precision)
        self.trunk = self.net.trunk

    def show(self, frame: Pixels, prior: Prior) -> tuple[Window, Pixels]:
        """As all compact trackers search."""
        window = search_window(frame, prior.box, prior.search, CROP)
        return window, cut(frame, window, self.border)

    def see(self, crops: Tensor) -> MemTrackQuery:
        """The cells that are compared, and the trunk's features below them."""
        return self.net.query(crops)

    @torch.inference_mode()
    def answer(self, frame: Pixels, prior: Prior, look: Look) -> MemTrackObservation:
        """One step: read a template, correlate, answer with the preferred cell's box and mask."""
        window, crop, query = look.window, look.crop, look.query
        held = self.bank.read()
        counted = held._replace(templates=READ_SHARE * held.templates)
        said, signals = self.net.answer(counted, query)
        answer = fetched(said)
        assert answer.mask is not None
        score = answer.maps.score[0, 0].double().numpy()
        corners = answer.maps.boxes[0].double().numpy().transpose(1, 2, 0)
        choice = CHOOSER.choose(score, corners, prior, window, frame)
        box, mask, shares = segmented(answer.mask[0, 0], window, choice.box, frame, crop)
        sight = self.sight(look)
        return MemTrackObservation(choice.score, box, mask, signals, shares=shares, sight=sight)

    def sight(self, look: Look) -> Sight:
        """The trunk's cells."""
        return Sight(look.window, look.query.levels.eighth[0])

    def reads(self, found: MemTrackObservation) -> dict[int, float]:
        """The read weights of eq. 7, by slot."""
        return by_number(self.bank.held(), found.signals.read[0])

    def template(self, frame: Pixels, target: Target) -> Tensor:
        """The middle of what a search crop around it would show, labelled with the mask."""
        pitch = search_window(frame, target.box, 1.0, CROP).pitch
        window = Window.around(boxes.centre(target.box), pitch, TEMPLATE_CROP)
        mask = target.mask if target.exact else np.asarray(BOX_LABEL * target.mask, np.uint8)
        crop = to_device(cut(frame, window, self.border), self.device)
        label = carried(label_map(mask, window), self.device)
        return self.net.template(crop, label[None, None])


class PaperMemTracker(MemTracker):
    """The paper variant: the response at three scales, the box for a mask."""

    variant = 'paper'
    segments = gated = False

    def __init__(
        self,
        net: PaperMemTrack,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
        settings: MemTrackSettings = DEFAULT,
    ) -> None:
        super().__init__(net, calibration, device, max_bytes, settings)
        self.net = ready(net, device)

    @torch.inference_mode()
    def locate(self, frame: Pixels, prior: Prior) -> MemTrackObservation:
        """One step at three scales; the best one's place, size and signals are taken.

        A wider search sees more cells at the same scales, without the preference for the middle.
        As the authors have it, the box may leave the image, and grow and shrink without bounds.
        """
        side = SEARCH_SIDE + STRIDE * round((prior.search - 1) * SEARCH_SIDE / STRIDE)
        extents = search_extents(prior.box, side)
        crops = square_crops(frame, boxes.centre(prior.box), extents, side, self.device)
        held = self.bank.read()
        tiled = TemplateMemory(*(tensor.expand(len(SCALES), *tensor.shape[1:]) for tensor in held))
        response, signals = self.net.answer(tiled, crops)
        fine = finer(response)[:, 0].double().cpu()
        scale, place = best_place(fine.numpy(), INFLUENCE if prior.usual else 0.0)
        score = float(fine[scale].max().sigmoid())  # the authors' is the response itself
        # The authors' middle, half the number of places, is half a place off the true one.
        shift = (np.array(place[::-1]) - fine.shape[-1] / 2) * STRIDE / FINER
        centre = boxes.centre(prior.box) + shift * extents[scale] / side
        size = prior.box[2:] * (1 - DAMPING + DAMPING * SCALES[scale])
        box = boxes.from_centre(centre, size)
        chosen = Signals(*(tensor[scale, None] for tensor in signals))
        return MemTrackObservation(score, box, boxes.box_mask(box, *frame.shape[:2]), chosen)

    def template(self, frame: Pixels, target: Target) -> Tensor:
        """Of the square with half the target's width and height in context around it."""
        centre, extent = boxes.centre(target.box), np.array([template_extent(target.box)])
        return self.net.template(square_crops(frame, centre, extent, TEMPLATE_SIDE, self.device))


def search_extents(box: Floats, side: int = SEARCH_SIDE) -> Floats:
    """Sides (3,) in frame pixels of the squares that crops of `side` pixels show at every scale."""
    return np.asarray(np.rint(template_extent(box) * side / TEMPLATE_SIDE * SCALES))


def template_extent(box: Floats) -> float:
    """Side in frame pixels of the square that a template shows: sqrt((w + p)(h + p))."""
    return float(np.sqrt((box[2:] + CONTEXT * box[2:].sum()).prod()))


def square_crops(
    frame: Pixels, centre: Floats, extents: Floats, side: int, device: torch.device
) -> Tensor:
    """Squares of `frame` around `centre` (2,) as crops (K, 3, side, side), RGB 0..255.

    `extents` (K,) are their sides in frame pixels. Bilinear, the frame's mean colour beyond it. The
    authors pad the frame until it holds all crops and resample by TensorFlow's crop_and_resize,
    whose coordinates end at the last pixel's centre, with coordinates that end at its edge: the
    crop is smaller by one part in the padded size, and its middle hardly off.
    """
    image = carried(frame, device).permute(2, 0, 1).flip(0).float()
    size = np.array([frame.shape[1], frame.shape[0]])
    middle = centre + 0.5  # from the frame's edge, as theirs
    padding = padding_around(middle, float(extents.max()), size)
    shrunk = (size + 2 * padding - 1) / (size + 2 * padding)
    radius = (extents[:, None] - 1) / 2
    first = (padding + middle - radius) * shrunk - padding
    last = (padding + middle + radius) * shrunk - padding
    steps = np.linspace(first, last, side, axis=1) * 2 / (size - 1) - 1  # (K, side, 2) in -1..1
    x, y = carried(torch.from_numpy(steps).float(), device).unbind(-1)
    grid = torch.stack([x[:, None].expand(-1, side, -1), y[..., None].expand(-1, -1, side)], -1)
    colour = image.mean((1, 2), keepdim=True)
    pictures = (image - colour).expand(len(grid), -1, -1, -1)
    return F.grid_sample(pictures, grid, align_corners=True) + colour


def padding_around(middle: Floats, extent: float, size: NDArray[np.int_]) -> float:
    """Pixels by which the authors pad a frame of `size` w, h (2,) on all sides.

    For a square of this extent around a `middle` (2,), counted from the frame's edge.
    """
    first, last = np.rint(middle - extent / 2), np.rint(middle + extent / 2)
    return float(max(0.0, *-first, *(last - size)))


def finer(response: Tensor) -> Tensor:
    """Responses (K, 1, h, w) at FINER times as many places, bicubic, the corners' centres fixed."""
    size = [FINER * cells for cells in response.shape[-2:]]
    return F.interpolate(response, size, mode='bicubic', align_corners=True)


def best_place(responses: Floats, influence: float) -> tuple[int, tuple[int, int]]:
    """The best scale of responses (3, h, w), and the row and column of its best place.

    Scales other than the present one are penalised. The response of the best, spread to sum up to
    1, is mixed with a cosine window that does, too.
    """
    scale = int((responses.max((1, 2)) * SCALE_PENALTY).argmax())
    response = responses[scale] - responses[scale].min()
    window = np.outer(*(np.hanning(length) for length in response.shape))
    total = response.sum() or 1.0  # 0 where all places are alike
    preferred = (1 - influence) * response / total + influence * window / window.sum()
    row, column = np.unravel_index(int(preferred.argmax()), preferred.shape)
    return scale, (int(row), int(column))


def create(variant: str, parts: Parts) -> MemTracker:
    """MemTrack of these parts; ConfigurationError when they do not fit."""
    settings = parts.chosen.of('memtrack', {'': DEFAULT}, FREE)
    if variant == 'compact':
        compact = CompactMemTrack()
        load_into(compact, parts.weights, parts.path)
        return CompactMemTracker(
            compact,
            parts.weights.calibration,
            parts.device,
            parts.max_bytes,
            parts.precision,
            settings,
        )
    paper = PaperMemTrack()
    load_into(paper, parts.weights, parts.path)
    return PaperMemTracker(
        paper, parts.weights.calibration, parts.device, parts.max_bytes, settings
    )
