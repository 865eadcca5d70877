"""Labels for real video: what a person boxed once is followed, and kept where all agree.

Two trackers follow an object forward, one of them backward again from where they last agree, and
the teacher segments it: by the cells most like those of its first and latest masks. Frames in which
boxes and mask agree become a sequence that `--data` reads.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from memtrack_ros.data.writer import write_sequence
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels, Window, cut
from memtrack_ros.masks.guided import laid_along_edges
from memtrack_ros.nets.compact import CompactTrunk
from memtrack_ros.session import Prompt, Session
from memtrack_ros.trackers import NAMES, Tracker, create
from memtrack_ros.training.beginning import begin_with
from memtrack_ros.training.teacher import PATCH, Teacher, load_teacher

CELLS, SIDE = 24, 192  # of the view of an object: cells and pixels a side
ROOM = 2.0  # the view's side over the object's sqrt(w h), and
AROUND = 1.4  # over its longer side, at least
LIKE = 7  # cells of the memory that say what a cell is
SHARPNESS = 0.07  # temperature of their votes
LATEST = 2  # masks that are remembered beside the first
AGREED = 0.6  # IoU of the trackers' boxes
RETURNED = 0.5  # IoU of the boxes forward and backward
FITTING = 0.5  # IoU of box and bounds of the mask
FEWEST, MOST = 6, 50  # frames of a sequence
ROWS = 16  # sequences on a contact sheet


# Looked at and found wrong: other objects were taken for these.
THROWN_OUT = {
    'edgetam-02-cups-40-red-cup-left',
    'edgetam-02-cups-40-red-cup-middle',
    'edgetam-03-blocks-60-letter-block-p',
    'edgetam-10-cloth-magic-0-hat',
    'imageio-realshort-0-flower-pot',
    'intelprev-face-demographics-walking-10-woman',
    'intelprev-face-demographics-walking-and-pause-0-woman-right',
    'intelprev-store-aisle-detection-0-man-with-hat',
    'opencv4nodejs-people-0-older-man',
}

Features = Callable[[Pixels, Window], Tensor]
"""Features (1, C, CELLS, CELLS) of what a window of SIDE pixels shows of a frame."""


class Pointed(NamedTuple):
    """An object someone boxed: video file, frame, box (4,), what it is, until when it is seen."""

    file: str
    frame: int
    box: Floats
    what: str
    last: int


@dataclass(frozen=True)
class Labelled:
    """Frames (BGR) of one object, with its masks (H, W) 0/255."""

    frames: list[Pixels]
    masks: list[Pixels]


class ObjectMasks:
    """Masks of one object by the features of cells, the teacher's or its student's."""

    def __init__(self, features: Features, frame: Pixels, mask: Pixels) -> None:
        """Begin with the object's `mask` (H, W) 0/255 in `frame`."""
        self._see = features
        box = np.array(cv2.boundingRect(mask), float)
        self._memory = [self._cells(frame, mask, view(box))]

    def segment(self, frame: Pixels, box: Floats) -> Pixels:
        """The object's mask (H, W) 0/255 near `box`; not remembered yet."""
        window = view(box)
        asked = self._features(frame, window)
        keys, shares = (torch.cat(parts) for parts in zip(*self._memory, strict=True))
        likeness, which = (asked @ keys.T).topk(LIKE, 1)
        votes = (likeness / SHARPNESS).softmax(1)
        share = (votes * shares[which]).sum(1)
        coarse = F.interpolate(share.view(1, 1, CELLS, CELLS), scale_factor=4, mode='bicubic')[0, 0]
        return largest_part(laid_along_edges(coarse.clamp(0, 1).numpy(), window, frame))

    def remember(self, frame: Pixels, mask: Pixels) -> None:
        """Take in a mask that is believed."""
        box = np.array(cv2.boundingRect(mask), float)
        self._memory[1:] = [*self._memory[1:], self._cells(frame, mask, view(box))][-LATEST:]

    def _cells(self, frame: Pixels, mask: Pixels, window: Window) -> tuple[Tensor, Tensor]:
        """Features (T, C) of a view and how much of each cell is the object (T,)."""
        shown = torch.from_numpy(cut(mask, window, 0)).float()[None, None] / 255
        return self._features(frame, window), F.avg_pool2d(shown, SIDE // CELLS).flatten()

    def _features(self, frame: Pixels, window: Window) -> Tensor:
        maps = self._see(frame, window)
        cells: Tensor = F.normalize(maps[0].flatten(1).T, dim=1)
        return cells


def teacher_features(teacher: Teacher) -> Features:
    """What the teacher sees of a window: a token a cell."""

    def see(frame: Pixels, window: Window) -> Tensor:
        larger = window.in_cells(CELLS * PATCH)
        tokens: Tensor = teacher(picture(frame, larger))
        return tokens.float()

    return see


def trunk_features(trunk: CompactTrunk) -> Features:
    """What a distilled trunk sees of a window: cell i of it stands at pixel 8 i."""

    @torch.inference_mode()
    def see(frame: Pixels, window: Window) -> Tensor:
        first = (SIDE // CELLS - 1) / 2
        x, y = window.to_frame([(window.side - 1) / 2 + first] * 2)
        crop = picture(frame, Window(x, y, window.pitch, window.side))
        features: Tensor = trunk(crop).eighth.float()
        centred: Tensor = features - features.mean((2, 3), keepdim=True)
        return centred

    return see


def picture(frame: Pixels, window: Window) -> Tensor:
    """What a window shows, RGB (1, 3, S, S) 0..255."""
    crop = cut(frame, window, cv2.mean(frame)[:3])[..., ::-1].copy()
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float()


def view(box: Floats) -> Window:
    """What the teacher sees of an object with this box."""
    extent = max(ROOM * boxes.scale(box), AROUND * float(box[2:].max()))
    return Window.around(boxes.centre(box), extent / SIDE, SIDE)


def largest_part(mask: Pixels) -> Pixels:
    """The largest connected part of a mask 0/255."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    return np.asarray((labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()) * 255, np.uint8)


def followed(
    tracker: Tracker[Any, Any], frames: Iterable[Pixels], prompt: Prompt
) -> Iterator[Floats]:
    """The boxes (4,) of what `prompt` points at in the first of `frames`, in all of them."""
    session = Session(tracker)
    for number, frame in enumerate(frames):
        estimate = session.step(frame) if number else session.prompt(frame, prompt)
        assert estimate.roi is not None
        yield estimate.roi
        session.remember()


def label(
    frames: list[Pixels],
    box: Floats,
    trackers: tuple[Tracker[Any, Any], Tracker[Any, Any]],
    features: Features,
) -> Labelled:
    """The frames, the first of which has this `box`, in which trackers and teacher agree."""
    pointed = Prompt('box', box)
    first, second = (np.stack(list(followed(t, frames, pointed))) for t in trackers)
    agreed = boxes.iou(first, second) >= AGREED
    agreed[0] = True
    last = int(np.flatnonzero(agreed)[-1])
    there = Prompt('box', first[last])
    back = np.stack(list(followed(trackers[0], frames[last::-1], there)))[::-1]
    agreed[1 : last + 1] &= boxes.iou(first[1 : last + 1], back[1:]) >= RETURNED

    session = Session(trackers[0])
    start = session.prompt(frames[0], pointed).mask
    rough = boxes.box_mask(box, *frames[0].shape[:2]) if start is None else start
    segmenter = ObjectMasks(features, frames[0], rough)
    kept = Labelled([], [])
    for number in np.flatnonzero(agreed):
        mask = segmenter.segment(frames[number], first[number])
        bounds = np.array(cv2.boundingRect(mask), float)
        if boxes.iou(bounds, first[number]) < FITTING:
            continue
        segmenter.remember(frames[number], mask)
        kept.frames.append(frames[number])
        kept.masks.append(mask)
    return kept


def read_prompts(path: Path) -> list[Pointed]:
    """The boxes in a table of tab-separated file, frame, x, y, w, h, object, last_frame.

    Raises ConfigurationError where it is none.
    """
    try:
        with path.open(newline='') as table:
            return [
                Pointed(
                    row['file'],
                    int(row['frame']),
                    np.array([float(row[name]) for name in 'xywh']),
                    row['object'],
                    int(row['last_frame']),
                )
                for row in csv.DictReader(table, delimiter='\t')
            ]
    except (OSError, KeyError, TypeError, ValueError) as reason:
        raise ConfigurationError(
            f'{path} is no table of boxes ({reason}); give tab-separated columns file, frame, x, '
            'y, w, h, object, last_frame with a heading.'
        ) from reason


def read_frames(video: Path, first: int, last: int, most: int) -> list[Pixels]:
    """Frames `first` to `last` of a video, evenly thinned to `most` at the most.

    Raises ConfigurationError where there is none.
    """
    count = max(last - first + 1, 0)
    wanted = np.linspace(first, last, min(most, count)).round().astype(int)
    capture = cv2.VideoCapture(str(video))
    frames = []
    try:
        for number in range(last + 1):
            if not capture.grab():
                break
            if number in wanted:
                frames.append(np.asarray(capture.retrieve()[1], np.uint8))
    finally:
        capture.release()
    if not frames:
        raise ConfigurationError(
            f'{video} shows none of the frames {first} to {last}; name a video and frames of it.'
        )
    return frames


def sheet(labelled: Labelled, columns: int = 8) -> NDArray[np.uint8]:
    """A row of a contact sheet: some of the frames, the mask's outline in green."""
    pictures = []
    for number in np.linspace(0, len(labelled.frames) - 1, columns).round().astype(int):
        picture = labelled.frames[number].copy()
        outline, _ = cv2.findContours(
            labelled.masks[number], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(picture, outline, -1, (0, 255, 0), 2)
        pictures.append(cv2.resize(picture, (200, 130), interpolation=cv2.INTER_AREA))
    return np.hstack(pictures)


def main(words: Sequence[str]) -> None:
    """Label as the command line says."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.training label', description=__doc__
    )
    parser.add_argument('video', type=Path, help='folder of videos')
    parser.add_argument('out', type=Path, help='folder for the sequences; what is there stays')
    parser.add_argument(
        '--prompts', type=Path, help='table of boxes to begin with; VIDEO/prompts.tsv if not given'
    )
    parser.add_argument(
        '--teacher', type=Path, help='vit_s_focus.onnx; without it the trunk segments by itself'
    )
    parser.add_argument(
        '--trunk', default='dmv', help='tracker or weight file whose trunk segments'
    )
    parser.add_argument('--trackers', nargs=2, choices=NAMES, default=('dmv', 'stmtrack'))
    given = parser.parse_args(words)
    prompts = read_prompts(given.prompts or given.video / 'prompts.tsv')
    first, second = (create(name) for name in given.trackers)
    features = (
        teacher_features(load_teacher(given.teacher, torch.device('cpu')))
        if given.teacher
        else trunk_features(trunk_of(begin_with(given.trunk)))
    )
    rows = []
    for pointed in track(prompts, 'labelling'):
        title = title_of(pointed)
        if title in THROWN_OUT or (given.out / title).exists():
            continue
        frames = read_frames(given.video / pointed.file, pointed.frame, pointed.last, MOST)
        labelled = label(frames, pointed.box, (first, second), features)
        print(f'{title}: {len(labelled.frames)} of {len(frames)} frames')
        if len(labelled.frames) >= FEWEST:
            write_sequence(given.out / title, zip(labelled.frames, labelled.masks, strict=True))
            rows.append(sheet(labelled))
            page = (len(rows) - 1) // ROWS
            seen = np.vstack(rows[page * ROWS :])
            cv2.imwrite(str(given.out / f'sheet{page:02}.png'), seen)


def title_of(pointed: Pointed) -> str:
    """The name of an object's sequence: of its video, its frame and what it is."""
    words = f'{Path(pointed.file).stem} {pointed.frame} {pointed.what}'
    return re.sub('[^a-z0-9]+', '-', words.lower()).strip('-')


def trunk_of(tensors: dict[str, Tensor]) -> CompactTrunk:
    """The trunk in weights; ConfigurationError where there is none."""
    trunk = CompactTrunk()
    own = {name.removeprefix('trunk.'): tensor for name, tensor in tensors.items()}
    try:
        trunk.load_state_dict({name: own[name] for name in trunk.state_dict()})
    except (KeyError, RuntimeError) as reason:
        raise ConfigurationError(
            f'There is no trunk in these weights ({reason}); name a tracker or a weight file of '
            '`training distil`.'
        ) from reason
    return trunk.eval()
