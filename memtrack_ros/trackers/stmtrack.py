"""STMTrack (Fu, Liu, Fu, Wang, CVPR 2021): a memory of frames, read by every cell of a query."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.masks.colour import Singles
from memtrack_ros.memory import SampledFrames
from memtrack_ros.memory.sampled_frames import SEGMENTS
from memtrack_ros.nets.compact import CROP, Features
from memtrack_ros.nets.heads import Answer
from memtrack_ros.nets.inference import ready
from memtrack_ros.nets.readers import soft_weights
from memtrack_ros.nets.stmtrack import CompactSTMTrack, PaperSTMTrack
from memtrack_ros.nets.transfer import carried, fetched
from memtrack_ros.trackers.looking import Look, LookingTracker
from memtrack_ros.trackers.observation import Observation, Prior, Sight, Target
from memtrack_ros.trackers.parts import Parts
from memtrack_ros.trackers.search import (
    SEARCH,
    Choice,
    Chooser,
    Outline,
    asking,
    by_number,
    filled,
    label_map,
    search_window,
    segmented,
    to_device,
)
from memtrack_ros.trackers.tracker import Tracker
from memtrack_ros.weights.files import Calibration, load_into


class STMTrackSettings(NamedTuple):
    """Inference of one variant, in the names of the authors' configuration."""

    side: int  # of the crop, pixels
    chooser: Chooser
    confident: float  # preferred score above which the last frame is read
    capacity: int  # frames in the bank
    search: float = SEARCH  # side of the crop over sqrt(w h) of the target
    segments: int = SEGMENTS  # of the time followed, of each of which one frame is read
    labelled: bool = True  # a memory frame is told where its target is


COMPACT = STMTrackSettings(
    side=CROP,
    chooser=Chooser(penalty_k=0.15, window_influence=0.21, test_lr=0.5, smallest=3.0),
    confident=0.6,
    capacity=128,
)
# The authors' configuration for GOT-10k, LaSOT and TrackingNet.
PAPER = STMTrackSettings(
    side=289,
    chooser=Chooser(
        penalty_k=0.04, window_influence=0.21, test_lr=0.95, smallest=10.0, inclusive=1
    ),
    confident=0.6,
    capacity=256,
)


def _tuned(
    test_lr: float, window_influence: float, penalty_k: float, search: float, confident: float
) -> STMTrackSettings:
    """The authors' configuration for another benchmark."""
    chooser = PAPER.chooser._replace(
        test_lr=test_lr, window_influence=window_influence, penalty_k=penalty_k
    )
    return PAPER._replace(chooser=chooser, search=search, confident=confident)


SETS = {
    'got10k': PAPER,
    'lasot': PAPER,
    'trackingnet': PAPER,
    'otb': _tuned(0.5501132208837838, 0.20534968836733386, 0.07592315864890313, 4.0, 0.6),
    'uav123': _tuned(
        0.5405424265010361, 0.20298940424940976, 0.07067416478817143, 4.171677449782462, 0.6
    ),
    'vot': _tuned(
        0.9629084797864664, 0.2674225347735762, 0.04120782242066555, 4.056291055280747, 0.0
    ),
}
FREE = {'segments': 1, 'labelled': 0, 'capacity': 2, 'confident': 0}


@dataclass(frozen=True)
class STMTrackObservation(Observation):
    """An observation with all cells' scores; the chosen one's decides what the bank reads."""

    choice: Choice


class Crop(NamedTuple):
    """What a window of a frame shows, (S, S, 3) BGR."""

    window: Window
    pixels: Pixels


class STMTracker(LookingTracker[STMTrackObservation, Crop]):
    """What both variants share: the network answers, this chooses and remembers."""

    name = 'stmtrack'
    bank: SampledFrames

    def __init__(
        self,
        net: CompactSTMTrack | PaperSTMTrack,
        settings: STMTrackSettings,
        calibration: Calibration,
        device: torch.device,
        max_bytes: int,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Allocate the bank; ConfigurationError when it is over `max_bytes`.

        Convolutions compute in `precision`.
        """
        super().__init__(calibration, device)
        self.settings = settings
        self.bank = SampledFrames(
            settings.capacity,
            net.channels,
            net.cells**2,
            confident=settings.confident,
            segments=settings.segments,
            max_bytes=max_bytes,
            device=device,
        )
        self.net = ready(net, device, precision)
        self.trunk = net.trunk if isinstance(net, CompactSTMTrack) else None

    def view(self, frame: Pixels, box: Floats) -> Crop:
        """The search crop around the box."""
        return self.crop(frame, box)

    def begin(self, view: Crop, target: Target) -> None:
        """Forget what was; memorise the target's frame."""
        self.bank.clear()
        self._memorise(view, target, 1.0)

    def show(self, frame: Pixels, prior: Prior) -> Crop:
        """The search crop where the prior says."""
        return self.crop(frame, prior.box, prior.search)

    def see(self, crops: Tensor) -> Features | Tensor:
        """The query's features (section 3.2)."""
        return self.net.query(crops)

    @torch.inference_mode()
    def answer(self, frame: Pixels, prior: Prior, look: Look) -> STMTrackObservation:
        """One query (sections 3.2 to 3.5): read, score all cells, answer with the preferred one."""
        memory, used = self.bank.read()
        answer = fetched(self.net.answer(memory, used, look.query))
        score = answer.maps.score[0, 0].double().numpy()
        corners = answer.maps.boxes[0].double().numpy().transpose(1, 2, 0)
        choice = self.settings.chooser.choose(score, corners, prior, look.window, frame)
        box, mask, shares = self.outline(frame, look, choice.box, answer)
        sight = self.sight(look)
        return STMTrackObservation(choice.score, box, mask, choice, shares=shares, sight=sight)

    def remember(self, frame: Pixels, found: STMTrackObservation) -> None:
        """Memorise a fresh crop around what was found, at its own scale."""
        crop = self.crop(frame, found.box)
        self._memorise(crop, Target(found.box, found.mask), found.choice.best)

    @torch.inference_mode()
    def _memorise(self, crop: Crop, target: Target, score: float) -> None:
        label = carried(self.label(crop.window, target), self.device)[None, None]
        if not self.settings.labelled:
            label = torch.zeros_like(label)
        self.bank.write(self.net.memorise(to_device(crop.pixels, self.device), label)[0], score)

    @abstractmethod
    def crop(self, frame: Pixels, box: Floats, search: float = 1.0) -> Crop:
        """The search window around `box`, `search` times as wide as usual, and what it shows."""

    @abstractmethod
    def outline(self, frame: Pixels, look: Look, box: Floats, answer: Answer) -> Outline:
        """The target where a look was answered so, and its cell chosen with this box (4,)."""

    @abstractmethod
    def label(self, window: Window, target: Target) -> Singles:
        """The label map (S, S) in 0..1 of a memory frame."""


class CompactSTMTracker(STMTracker):
    """The compact variant: it segments, and a frame's mask is its label."""

    net: CompactSTMTrack
    variant = 'compact'
    segments = gated = True
    remembered = 0.85
    # What is remembered of a box too large says that the target is: parts of things grow the most.
    lasting = 0.8
    kept = (*Tracker.kept, 'identity')

    @torch.inference_mode()
    def reads(self, found: STMTrackObservation) -> dict[int, float]:
        """The weights of eq. 3, by frame."""
        assert found.sight is not None
        window, features = found.sight.window, found.sight.features[None]
        memory, used = self.bank.read()
        asked = asking(self.net.neck_q(features), window, found.mask)
        weights = soft_weights(memory, asked, used).mean((0, 2, 3))
        numbers = self.bank.selected()
        frames = weights.unflatten(0, (self.bank.most, -1)).sum(1)
        return by_number(numbers, frames[: len(numbers)])

    def crop(self, frame: Pixels, box: Floats, search: float = 1.0) -> Crop:
        """As all compact trackers search."""
        window = search_window(frame, box, search, self.settings.side)
        return Crop(window, cut(frame, window, self.border))

    def outline(self, frame: Pixels, look: Look, box: Floats, answer: Answer) -> Outline:
        """As the network segments it."""
        assert answer.mask is not None
        return segmented(answer.mask[0, 0], look.window, box, frame, look.crop)

    def sight(self, look: Look) -> Sight:
        """The trunk's cells."""
        return Sight(look.window, look.query.eighth[0])

    def label(self, window: Window, target: Target) -> Singles:
        """The mask."""
        return label_map(target.mask, window)


class PaperSTMTracker(STMTracker):
    """The paper variant: crops and labels rounded as the authors round them, the box for a mask."""

    variant = 'paper'
    segments = gated = False

    def crop(self, frame: Pixels, box: Floats, search: float = 1.0) -> Crop:
        """The authors' crop: around whole pixels, decimated first when the target is large.

        The window returned has the exact centre and the pitch that the authors compute with
        afterwards.
        """
        side = self.settings.side
        pitch = self.settings.search * search * boxes.scale(box) / side
        centre = boxes.centre(box)
        step = max(int(pitch - 0.1), 1)
        position = np.trunc(centre).astype(int)
        offset = position % step
        image = frame[offset[1] :: step, offset[0] :: step]
        extent = round(pitch * side / step)
        first = (position - offset) // step - (extent - 1) // 2
        crop = interpolated(image, first, extent / (side - 1), side, self.border, self.device)
        return Crop(Window.around(centre, (extent + 1) * step / side, side), crop)

    def outline(self, frame: Pixels, look: Look, box: Floats, answer: Answer) -> Outline:
        """The box."""
        return filled(box, frame)

    def label(self, window: Window, target: Target) -> Singles:
        """The box, filled, in the middle of the crop."""
        label = np.zeros((self.settings.side, self.settings.side), np.float32)
        left, top, right, bottom = label_corners(target.box, window)
        label[top : bottom + 1, left : right + 1] = 1
        return label


def label_corners(box: Floats, window: Window) -> tuple[int, int, int, int]:
    """First column and row, last column and row of the authors' label map of `box`.

    They take the box to stand in the crop's middle. Clipped to the crop (theirs wraps around).
    """
    half = (box[2:] / window.pitch - 1) / 2
    middle = (window.side - 1) / 2
    first = np.clip(np.trunc(middle - half), 0, window.side - 1).astype(int)
    last = np.clip(np.trunc(middle + half), 0, window.side - 1).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def interpolated(
    image: Pixels, first: Floats, scale: float, side: int, border: Floats, device: torch.device
) -> Pixels:
    """Crop (side, side, 3) whose pixel i stands at `first` + `scale` * i of the image.

    Bilinear to the last bit of what the authors' OpenCV computed: single precision, products and
    sums fused but for y. Other versions of OpenCV know only 32 steps between two pixels. Computed
    on the device.
    """
    steps, factor = np.arange(side, dtype=np.float32), np.float32(scale)
    x = np.float32(np.float64(factor) * steps.astype(np.float64) + first[0])
    y = factor * steps + np.float32(first[1])
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below, left, above = (
        torch.from_numpy(axis).to(device)
        for axis in (x - column, y - row, column - column[0], row - row[0])
    )
    touched = _touched(image, column, row, border, device)
    across = _between(touched, 1, left, right[:, None])
    crop = _between(across, 0, above, below[:, None, None])
    return np.asarray(crop.round().byte().cpu().numpy())


def _touched(
    image: Pixels,
    column: NDArray[np.intp],
    row: NDArray[np.intp],
    border: Floats,
    device: torch.device,
) -> Tensor:
    """The image from the first column and row, ascending, to the ones after the last."""
    part = torch.from_numpy(np.float32(border)).to(device)
    part = part.repeat(row[-1] - row[0] + 2, column[-1] - column[0] + 2, 1)
    top, left = max(row[0], 0), max(column[0], 0)
    inside = image[top : max(row[-1] + 2, 0), left : max(column[-1] + 2, 0)]
    height, width = inside.shape[:2]
    part[top - row[0] :, left - column[0] :][:height, :width] = carried(inside, device)
    return part


def _between(image: Tensor, axis: int, place: Tensor, share: Tensor) -> Tensor:
    """Values of the image at `place` and a share of the way to the next, along an axis.

    Rounded once to single precision, after their difference was.
    """
    here, there = (image.index_select(axis, place + step) for step in (0, 1))
    return ((there - here).double() * share.double() + here.double()).float()


def create(variant: str, parts: Parts) -> STMTracker:
    """STMTrack of these parts; ConfigurationError when they do not fit."""
    compact = variant == 'compact'
    net = CompactSTMTrack() if compact else PaperSTMTrack()
    load_into(net, parts.weights, parts.path)
    kind, sets = (CompactSTMTracker, {'': COMPACT}) if compact else (PaperSTMTracker, SETS)
    settings = parts.chosen.of(f'stmtrack ({variant})', sets, FREE)
    return kind(
        net, settings, parts.weights.calibration, parts.device, parts.max_bytes, parts.precision
    )
