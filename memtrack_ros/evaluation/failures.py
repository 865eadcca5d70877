"""Contact sheets of the worst failures: what a tracker saw when it lost its target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from memtrack_ros.data.sequences import Sequence
from memtrack_ros.evaluation.metrics import Scores, scored
from memtrack_ros.evaluation.passes import Pass
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels

Indices = NDArray[np.intp]

WORST = 5  # sequences of each tracker
LOST = 0.1  # IoU below which the target counts as lost
LATER = (0, 5, 20)  # frames after the loss that are shown
WIDTH, HEIGHT, LINE = 240, 180, 18  # that a picture may have, and of its caption, pixels
GREEN, RED, WHITE = (80, 220, 80), (60, 60, 255), (235, 235, 235)


def draw(
    sequences: list[Sequence],
    passes: Mapping[str, Mapping[str, Pass]],
    scores: Mapping[str, Mapping[str, Scores]],
    folder: Path,
    console: Console,
) -> list[Path]:
    """Write failures/TRACKER.jpg: a row for each of the sequences with the lowest success AUC.

    A row shows the prompt, the last hit before the loss, the loss and what came after it, and the
    end; truth in green, the answer in red.
    """
    (folder / 'failures').mkdir(exist_ok=True)
    by_name = {sequence.name: sequence for sequence in sequences}
    paths = []
    for tracker, rows in track(scores.items(), 'contact sheets', console=console, transient=True):
        aucs = {name: auc for name, row in rows.items() if (auc := row['success_auc']) is not None}
        worst = sorted(aucs, key=lambda name: aucs[name])[:WORST]
        sheet = [row(by_name[name], passes[tracker][name], aucs[name]) for name in worst]
        path = folder / 'failures' / f'{tracker}.jpg'
        cv2.imwrite(str(path), np.concatenate(sheet))
        paths.append(path)
    return paths


def row(sequence: Sequence, answers: Pass, auc: float) -> Pixels:
    """One sequence's pictures side by side, uint8 (height, WIDTH n, 3)."""
    overlap = np.nan_to_num(boxes.iou(answers.boxes, sequence.truth))
    pictures = [
        _picture(sequence, answers, index, overlap[index])
        for index in telling_frames(overlap, scored(sequence.truth))
    ]
    head = np.zeros((LINE, WIDTH * len(pictures), 3), np.uint8)
    _write(head, f'{sequence.name}   success AUC {auc:.3f}')
    return np.concatenate([head, np.concatenate(pictures, 1)])


def telling_frames(overlap: Floats, counted: Indices) -> Indices:
    """The frames to show, (3 + len(LATER),): of a pass with `overlap` (n,) in frames that count.

    The loss is the first frame from which on the target is lost for longer than it is found again;
    where there is none, that of the lowest overlap.
    """
    low = overlap[counted] < LOST
    # Longest run of what counts +1 for lost, -1 for found: its start is the loss.
    gain = np.where(low, 1, -1)[::-1].cumsum()[::-1]
    start = int(np.argmax(gain)) if gain.max() > 0 else int(np.argmin(overlap[counted]))
    loss = counted[start]
    before = counted[:start][overlap[counted[:start]] >= 0.5]
    first = counted[0] - 1
    last_hit = before[-1] if before.size else first
    later = np.minimum(loss + np.array(LATER), len(overlap) - 1)
    return np.array([first, last_hit, *later, len(overlap) - 1])


def _picture(sequence: Sequence, answers: Pass, index: int, overlap: float) -> Pixels:
    frame = sequence.frame(index)
    scale = min(WIDTH / frame.shape[1], HEIGHT / frame.shape[0])
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for box, colour in ((sequence.truth[index], GREEN), (answers.boxes[index], RED)):
        if np.isfinite(box).all():
            # A box covers pixels x - 0.5 to x + w - 0.5.
            corners = np.rint((np.array([box[:2], box[:2] + box[2:]]) + 0.5) * scale - 0.5)
            low, high = corners.clip(-WIDTH, 2 * WIDTH).astype(int)  # OpenCV's whole numbers end
            cv2.rectangle(small, (low[0], low[1]), (high[0], high[1]), colour, 1)
    picture = np.zeros((small.shape[0] + LINE, WIDTH, 3), np.uint8)
    picture[:-LINE, : small.shape[1]] = small
    caption = f'frame {index + 1}  IoU {overlap:.2f}'
    if np.isfinite(answers.confidence[index]):
        caption += f'  confidence {answers.confidence[index]:.2f}'
    _write(picture[-LINE:], caption)
    return picture


def _write(line: Pixels, text: str) -> None:
    cv2.putText(line, text, (4, LINE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.4, WHITE, 1, cv2.LINE_AA)
