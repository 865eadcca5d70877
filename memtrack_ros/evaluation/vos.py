"""Video object segmentation: all objects of a video at once, with the files its benchmark takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class ObjectScore:
    """J and F of one object, over the frames that count."""

    j: Statistics
    f: Statistics


def segment(
    video: LabelledVideo, tracker: AnyTracker, out: Path, faults: list[SequenceError]
) -> dict[int, ObjectScore]:
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
                    SequenceError(
                        f'{video.name}: object {label} of frame {index + 1} is no prompt: {error}'
                    )
                )
            answer[given] = label
        write_labels(out / f'{video.frames[index].stem}.png', answer)
        if known and truth is not None and index < last:
            for label, first in begin.items():
                if first < index:
                    ours, true = answer == label, truth == label
                    measured[label].append((region_j(ours, true), boundary_f(ours, true)))
    return {
        label: ObjectScore(*(statistics(values) for values in np.array(pairs).T))
        for label, pairs in measured.items()
        if pairs
    }


def run(
    videos: Sequence[LabelledVideo],
    trackers: Mapping[str, AnyTracker],
    out: Path,
    console: Console,
) -> None:
    """Segment all videos with each tracker; show the scores of objects and write them to `out`.

    OUT/TRACKER/NAME/00000.png ... (YouTube-VOS: OUT/TRACKER/Annotations/NAME/...) and OUT/vos.json.
    Videos and objects that cannot be used are named in the end; SequenceError where no video can.
    """
    faults: list[SequenceError] = []
    done = 0
    results: dict[str, dict[str, dict[str, float]]] = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task('videos', total=len(videos) * len(trackers))
        for name, tracker in trackers.items():
            scores: dict[str, dict[str, float]] = {}
            for video in videos:
                folder = out / name / video.folder / video.name
                try:
                    found = segment(video, tracker, folder, faults)
                except SequenceError as error:
                    faults.append(error)
                    continue
                finally:
                    progress.advance(task)
                done += 1
                for label, score in found.items():
                    scores[f'{video.name}.{label}'] = {
                        f'{measure}_{kind}': value
                        for measure, values in (('j', score.j), ('f', score.f))
                        for kind, value in values._asdict().items()
                    }
            results[name] = scores
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


def _mean(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """The mean over objects; none of none."""
    if not scores:
        return []
    keys = next(iter(scores.values()))
    return [('mean', {key: float(np.mean([row[key] for row in scores.values()])) for key in keys})]
