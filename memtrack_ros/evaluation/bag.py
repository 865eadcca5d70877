"""A target followed through the images of a ROS 2 bag, as the tracker node would, without ROS."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import nan
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from memtrack_ros.errors import BagError, ImageError
from memtrack_ros.evaluation.bag_reader import ImageTopic, RecordedImage
from memtrack_ros.evaluation.bag_writer import output_bag
from memtrack_ros.evaluation.film import Film
from memtrack_ros.overlay import draw
from memtrack_ros.session import UNPROCESSED, Estimate, Prompt, Session, State
from memtrack_ros.wire.bearing import CameraCalibration, is_rectified
from memtrack_ros.wire.images import Frame, image_size
from memtrack_ros.wire.stamps import seconds
from memtrack_ros.wire.targets import box_fields, target_fields

RESULTS, VIDEO, BAG = 'results.csv', 'overlay.mp4', 'outputs'
UNFINISHED = '.memtrack-bag-unfinished'  # a name that nobody else gives a folder
ROI = 'roi_x', 'roi_y', 'roi_w', 'roi_h'
COLUMNS = 'stamp', 'state', 'confidence', *ROI, *box_fields(None)


@dataclass(frozen=True)
class BagAnswer:
    """What was said to an image; `frame` is None, and `fault` says why, when it is unreadable."""

    shot: RecordedImage
    frame: Frame | None
    estimate: Estimate
    last_seen: Any
    seconds: float
    fault: str = ''


def follow(
    topic: ImageTopic, session: Session, box: NDArray[np.float64], out: Path, console: Console
) -> None:
    """Follows the box (4,), in pixels of the first image, through all images of the topic.

    Writes into the folder `out`, in place of what an earlier run made there, and of nothing else:
    results.csv, a row an image, NaN where nothing is known;
    overlay.mp4, a picture an image;
    outputs/, a bag with what the node publishes on ~/target and ~/mask when it is prompted on the
    first image. (That one the node has then answered already, with IDLE; here it has its target.)

    Raises PromptError or ImageError for the first image, BagError where the bag is damaged or `out`
    cannot be written or holds files of these names that no run made: then nothing new is in it.
    """
    _check_room(out)
    answers = _answers(topic, session, box)
    first = next(answers, None)
    if first is None:
        raise BagError(f'{topic.path} counts {topic.count} images of {topic.topic}, but has none')
    warn = partial(console.print, style='yellow', markup=False)
    calibration = CameraCalibration(is_rectified(topic.topic), warn)
    states: Counter[State] = Counter()
    faults: Counter[str] = Counter()
    columns = TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn()
    try:
        with _unfinished(out) as made:
            with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
                answered = progress.track(
                    chain([first], answers), topic.count, description=topic.topic
                )
                for answer in _written(answered, topic.rate, session, calibration, made):
                    states[answer.estimate.state] += 1
                    faults[answer.fault] += bool(answer.fault)
            for new in _files(made):
                place = out / new.relative_to(made)
                place.parent.mkdir(exist_ok=True)
                new.replace(place)
    except OSError as error:
        raise BagError(f'{out} cannot be written ({error}): give another folder') from error
    counts = ', '.join(f'{count} {state.name}' for state, count in sorted(states.items()))
    console.print(f'{states.total()} images: {counts}', highlight=False)
    for fault, count in (+faults).items():
        console.print(f'{count} not processed: {fault}', style='yellow', markup=False)
    console.print(f'written: {out}/{RESULTS}, {VIDEO}, {BAG}/', highlight=False)


def _answers(topic: ImageTopic, session: Session, box: NDArray[np.float64]) -> Iterator[BagAnswer]:
    """The answer to each image; what it shows is remembered when the next one is asked for."""
    last_seen = None
    for shot in topic:
        began = perf_counter()
        frame, fault = None, ''
        try:
            frame = topic.decode(shot.image)
            time = seconds(shot.image.header.stamp)
            if last_seen is None:
                estimate = session.prompt(frame, Prompt('box', box), time)
            else:
                estimate = session.step(frame, time)
        except ImageError as error:
            if last_seen is None:
                raise
            estimate, fault = UNPROCESSED, str(error)
        if estimate.state is State.TRACKING:
            last_seen = shot.image.header.stamp
        yield BagAnswer(shot, frame, estimate, last_seen, perf_counter() - began, fault)
        session.remember()


def _written(
    answers: Iterable[BagAnswer],
    rate: float,
    session: Session,
    calibration: CameraCalibration,
    folder: Path,
) -> Iterator[BagAnswer]:
    """The answers, each as soon as it stands in the files."""
    tracker = session.tracker
    picture = None
    with ExitStack() as stack:
        table = csv.writer(stack.enter_context((folder / RESULTS).open('w', newline='')))
        table.writerow(COLUMNS)
        film = stack.enter_context(closing(Film(folder / VIDEO, rate)))
        bag = stack.enter_context(output_bag(folder / BAG))
        for answer in answers:
            estimate, (time, image, info) = answer.estimate, answer.shot
            if info is not None:
                calibration.update(info)
            table.writerow(_row(image.header.stamp, estimate))
            if answer.frame is not None:
                picture = draw(answer.frame, estimate)
            assert picture is not None  # the first image is readable
            film.add(picture)
            fields = target_fields(
                estimate,
                image_size(image, answer.frame),
                target_id=1,
                tracker=tracker.name,
                calibration=calibration,
                memory=session.memory,
                processing_time=answer.seconds,
                image_age=nan,  # the image is none of now
            )
            bag.write_target(time, image.header, fields, last_seen=answer.last_seen)
            if estimate.mask is not None:
                bag.write_mask(time, image.header, estimate.mask)
            yield answer


def _row(stamp: Any, estimate: Estimate) -> list[str | float]:
    roi = [nan] * 4 if estimate.roi is None else estimate.roi.tolist()
    return [
        f'{stamp.sec}.{stamp.nanosec:09}',
        estimate.state.name,
        estimate.confidence,
        *roi,
        *box_fields(estimate.box).values(),
    ]


def _check_room(out: Path) -> None:
    """BagError where files would be replaced that are not of an earlier run.

    Whose they are is told by the table's head, which is written with all the others.
    """
    try:
        with (out / RESULTS).open(newline='') as table:
            if next(csv.reader(table), None) == list(COLUMNS):
                return
    except (OSError, UnicodeDecodeError, csv.Error):
        pass
    for name in (RESULTS, VIDEO, BAG):
        if (out / name).exists():
            raise BagError(f'{out / name} was made by no earlier run: give another folder')


def _files(folder: Path) -> list[Path]:
    """All files in a folder and those in it; the table, which says whose they are, comes first."""
    files = [path for path in folder.rglob('*') if path.is_file()]
    return sorted(files, key=lambda path: path.name != RESULTS)


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """A folder in `out` that goes in the end, or, of a run that was killed, with the next one."""
    folder = out / UNFINISHED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
