"""Video object segmentation: all objects of a video at once, with the files its benchmark takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from memtrack_ros.data.labelled_videos import LabelledVideo
from memtrack_ros.data.results.palette import write_labels
from memtrack_ros.errors import PromptError, SequenceError
from memtrack_ros.evaluation.mask_metrics import Statistics, boundary_f, region_j, statistics
from memtrack_ros.evaluation.report import show_faults
from memtrack_ros.session import Group, Prompt
from memtrack_ros.session.group import labels
from memtrack_ros.trackers import AnyTracker

MOST_BYTES = 2**34  # of all objects' memories
SCORES = 'scores'  # folder of TRACKER/NAME.json

Rows = dict[str, dict[str, float]]
"""By object, VIDEO.LABEL: the statistics of its J and F."""


class VosTracker(NamedTuple):
    """A tracker, and what its answers depend on."""

    tracker: AnyTracker
    origin: str


@dataclass(frozen=True)
class Segmented:
    """What came of a video: the scores of its objects, and what is to be said of some."""

    rows: Rows
    faults: list[str]

    def save(self, path: Path, origin: str) -> None:
        """Write it with what it depends on, `origin`, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix('.partial')
        partial.write_text(json.dumps({'origin': origin, **asdict(self)}, indent=1))
        partial.replace(path)


def load(path: Path, origin: str) -> Segmented | None:
    """What a file keeps; None where there is none of this `origin`."""
    try:
        kept = json.loads(path.read_text())
        return Segmented(kept['rows'], kept['faults']) if kept['origin'] == origin else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def segment(video: LabelledVideo, tracker: AnyTracker, out: Path) -> Segmented:
    """Follow all objects of a video, each from the frame on in which it is labelled first.

    Writes an image of labels a frame into the folder `out`; the masks given are among them. An
    object that cannot be pointed at, such as one of a few pixels, has no other, which is a fault
    and no error: its benchmark wants the rest. The scores of each object, if more is labelled than
    where objects begin; without the frame that it begins in and the video's last, as DAVIS counts.
    SequenceError where an image cannot be read, or has labels of another size.
    """
    begin = video.beginnings()
    group = Group(tracker, most=len(begin), max_bytes=MOST_BYTES)
    measured: dict[int, list[tuple[float, float]]] = {label: [] for label in begin}
    faults: list[str] = []
    last = len(video.frames) - 1
    known = len(video.labels) > len(set(begin.values()))
    for index in range(len(video.frames)):
        frame, truth = video.frame(index), video.truth(index)
        if truth is not None and truth.shape != frame.shape[:2]:
            raise SequenceError(
                f'{video.name}: frame {index + 1} is {frame.shape[1]} x {frame.shape[0]}, but its '
                f'labels are {truth.shape[1]} x {truth.shape[0]}'
            )
        found = group.step(frame)
        group.remember()
        answer = labels(found, *frame.shape[:2])
        for label in (label for label, first in begin.items() if first == index):
            assert truth is not None
            given = truth == label
            try:
                group.prompt(label, frame, Prompt('mask', given * np.uint8(255)))
            except PromptError as error:
                faults.append(
                    f'{video.name}: object {label} of frame {index + 1} is no prompt: {error}'
                )
            answer[given] = label
        write_labels(out / answer_name(video, index), answer)
        if known and truth is not None and index < last:
            for label, first in begin.items():
                if first < index:
                    ours, true = answer == label, truth == label
                    measured[label].append((region_j(ours, true), boundary_f(ours, true)))
    rows = {
        f'{video.name}.{label}': {
            f'{measure}_{kind}': value
            for measure, values in zip('jf', np.array(pairs).T, strict=True)
            for kind, value in statistics(values)._asdict().items()
        }
        for label, pairs in measured.items()
        if pairs
    }
    return Segmented(rows, faults)


def answer_name(video: LabelledVideo, index: int) -> str:
    """The file of a frame's labels, named as the frame is."""
    return f'{video.frames[index].stem}.png'


def run(
    videos: Sequence[LabelledVideo],
    segmenters: Mapping[str, VosTracker],
    out: Path,
    faults: list[SequenceError],
    console: Console,
) -> None:
    """Segment all videos with each tracker; show the scores of objects and write them to `out`.

    OUT/TRACKER/NAME/00000.png ... (YouTube-VOS: OUT/TRACKER/Annotations/NAME/...) and OUT/vos.json.
    What OUT/scores/TRACKER/NAME.json says was segmented, and lies there, is not run again.
    Videos and objects that cannot be used are named in the end, those in `faults`, too;
    SequenceError where no video can.
    """
    done = 0
    results: dict[str, Rows] = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task('videos', total=len(videos) * len(segmenters))
        for name, (tracker, origin) in segmenters.items():
            results[name] = {}
            for video in videos:
                folder = out / name / video.folder / video.name
                kept = out / SCORES / name / f'{video.name}.json'
                try:
                    depends = f'{origin}, labels {video.digest}'
                    found = load(kept, depends) if _whole(video, folder) else None
                    if found is None:
                        found = segment(video, tracker, folder)
                        found.save(kept, depends)
                except SequenceError as error:
                    faults.append(error)
                    continue
                finally:
                    progress.advance(task)
                done += 1
                faults += map(SequenceError, found.faults)
                results[name] |= found.rows
    if not done:
        raise faults[-1]
    table = Table(box=SIMPLE, show_edge=False)
    columns = [f'{measure}_{kind}' for measure in 'jf' for kind in Statistics._fields]
    for title in ('tracker', 'object', *columns, 'jf'):
        table.add_column(title)
    for name, scores in results.items():
        for title, row in [*scores.items(), *_mean(scores)]:
            both = (row['j_mean'] + row['f_mean']) / 2
            cells = [f'{row[column]:.3f}' for column in columns]
            table.add_row(name, title, *cells, f'{both:.3f}')
    if table.row_count:
        console.print(table)
    show_faults(console, faults)
    (out / 'vos.json').write_text(json.dumps(results, indent=1))
    console.print(f'written: {out}', highlight=False)


def _whole(video: LabelledVideo, folder: Path) -> bool:
    """Whether the labels of all frames lie in the folder."""
    return all((folder / answer_name(video, i)).is_file() for i in range(len(video.frames)))


def _mean(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """The mean over objects; none of none."""
    if not scores:
        return []
    keys = next(iter(scores.values()))
    return [('mean', {key: float(np.mean([row[key] for row in scores.values()])) for key in keys})]
