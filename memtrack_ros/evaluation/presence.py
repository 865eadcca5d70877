"""Whether a tracker knows if its target is there: its states against the truth, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from memtrack_ros.data.sequences import Sequence
from memtrack_ros.errors import MemtrackError, SequenceError
from memtrack_ros.evaluation import markdown, plots
from memtrack_ros.evaluation.calibration import HIT, Beliefs
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.scenes.imagery import Imagery
from memtrack_ros.scenes.situations import SITUATIONS, Situation
from memtrack_ros.session import Prompt, Session, State

FIRST_SEED = 800_000  # no training, validation, calibration or demonstration draws from these
RATE = 30.0  # frames a second
WRONG = 0.1  # IoU with the truth below which something else is tracked
VISIBLE = 0.5  # share of a target to be seen from which it counts as present
END = 10  # last frames of a crossing, by which it is judged

Flags = NDArray[np.bool_]
Kind = TypeVar('Kind', bound=np.generic)


@dataclass(frozen=True)
class PresenceVideo:
    """A video of one `kind` with the truth of its n frames.

    Boxes (n, 4) of target and look-alike, nan where absent; the share (n,) of the target that is
    seen. `images` may be gone through several times.
    """

    name: str
    kind: str
    images: Iterable[Pixels]
    truth: Floats
    visibility: Floats
    alike: Floats


@dataclass(frozen=True)
class Verdicts:
    """What a session said of a video, and its truth; the frame of the prompt and those before left
    out. States and confidences (n,), boxes (n, 4)."""

    video: PresenceVideo
    states: NDArray[np.intp]
    confidence: Floats
    boxes: Floats

    @property
    def first(self) -> int:
        """The first frame after that of the prompt."""
        return boxes.first_present(self.video.truth) + 1

    @cached_property
    def overlap(self) -> Floats:
        """IoU with the truth (n,), 0 where it is absent."""
        return np.nan_to_num(boxes.iou(self.boxes, self.video.truth[self.first :]))

    @property
    def present(self) -> Flags:
        """Where the target is there and at least half of it is seen."""
        return np.asarray(self.video.visibility[self.first :] >= VISIBLE)

    @property
    def absent(self) -> Flags:
        """Where it is not: in between nobody can say."""
        return np.asarray(np.isnan(self.video.truth[self.first :]).any(1))

    @property
    def tracked(self) -> Flags:
        """Where it is said to be seen."""
        return np.asarray(self.states == State.TRACKING)

    @property
    def unsure(self) -> Flags:
        """Where it is said to be it or a look-alike."""
        return np.asarray(self.states == State.UNSURE)

    @property
    def alike_alone(self) -> Flags:
        """Where only the look-alike is there."""
        return self.absent & ~np.isnan(self.video.alike[self.first :]).any(1)

    def stretches(self) -> Iterator[tuple[int, int]]:
        """First frame of each absence, and the first after it in which the target is present."""
        number = 0
        while number < len(self.states):
            if self.absent[number]:
                start = number
                number += int(np.argmax(np.append(self.present[number:], True)))
                yield start, number
            number += 1

    @property
    def times_to_notice(self) -> list[float]:
        """Seconds from each absence's beginning until TRACKING was not said; all of it if never."""
        return [
            float(np.argmin(np.append(self.tracked[start:back], False))) / RATE
            for start, back in self.stretches()
        ]

    @property
    def times_to_find(self) -> list[float]:
        """Seconds from each return until the target was TRACKING in its place; inf if never."""
        right = self.tracked & (self.overlap >= HIT)
        absences = [*self.stretches(), (len(self.states),) * 2]
        times = []
        for (_, back), (end, _) in pairwise(absences):
            hits = np.flatnonzero(right[back:end])
            if back < end:
                times.append(hits[0] / RATE if len(hits) else float('inf'))
        return times

    @property
    def switches(self) -> int:
        """How often something else was TRACKING after the target itself was."""
        certain = self.tracked & (self.present | self.absent)
        wrong = (self.overlap < WRONG)[certain]
        right = (self.overlap >= HIT)[certain]
        judged = wrong | right
        return int((np.diff(wrong[judged].astype(int)) > 0).sum())


def follow(session: Session, video: PresenceVideo) -> Verdicts:
    """Follow the target of a video from the box of its first truth."""
    first = boxes.first_present(video.truth)
    states, confidences, found = [], [], []
    for number, image in enumerate(video.images):
        if number == first:
            session.prompt(image, Prompt('box', video.truth[first]), number / RATE)
        elif number > first:
            estimate = session.step(image, number / RATE)
            session.remember()
            states.append(int(estimate.state))
            confidences.append(estimate.confidence)
            found.append(estimate.roi)
    return Verdicts(video, np.array(states), np.array(confidences), np.array(found, float))


def measure(verdicts: list[Verdicts]) -> dict[str, float | None]:
    """What one tracker's states are worth; None where there was no occasion."""
    present = together(verdicts, lambda one: one.present)
    absent = together(verdicts, lambda one: one.absent)
    tracked = together(verdicts, lambda one: one.tracked)
    unsure = together(verdicts, lambda one: one.unsure)
    overlap = together(verdicts, lambda one: one.overlap)
    alone = together(verdicts, lambda one: one.alike_alone)
    silent, known = ~tracked & ~unsure, present | absent
    notice = [seconds for one in verdicts for seconds in one.times_to_notice]
    find = [seconds for one in verdicts for seconds in one.times_to_find]
    twins = [one for one in verdicts if one.video.kind == 'twins']
    blind = [one for one in verdicts if one.video.kind in ('dark', 'frozen')]
    return {
        'present_tracked_right': share(tracked & (overlap >= HIT), present),
        'present_tracked_off': share(tracked & (overlap < HIT) & (overlap >= WRONG), present),
        'present_tracked_wrong': share(tracked & (overlap < WRONG), present),
        'present_unsure': share(unsure, present),
        'present_said_absent': share(silent, present),
        'absent_tracked': share(tracked, absent),
        'absent_unsure': share(unsure, absent),
        'absent_said_absent': share(silent, absent),
        'wrong_of_tracked': share(overlap < WRONG, tracked & known),
        'seconds_to_notice': float(np.mean(notice)) if notice else None,
        'seconds_to_find': float(np.median(find)) if find else None,
        'found_in_a_second': float(np.mean(np.array(find) <= 1)) if find else None,
        'switches': float(sum(one.switches for one in verdicts)),
        'alike_tracked': share(tracked, alone),
        'twins_wrong': share_of(ends_wrong(one) for one in twins),
        'blind_tracked': share_of(
            flag for one in blind for flag in one.tracked[one.absent].tolist()
        ),
        'calibration_error': beliefs_of(verdicts).error,
    }


def share(flags: Flags, among: Flags) -> float | None:
    """How many of the frames `among` have the flag."""
    return float(flags[among].mean()) if among.any() else None


def share_of(flags: Iterable[bool]) -> float | None:
    """How many of the flags are set."""
    given = list(flags)
    return float(np.mean(given)) if given else None


def ends_wrong(verdicts: Verdicts) -> bool:
    """Whether in the last frames something else is TRACKING more often than not."""
    return bool((verdicts.tracked & (verdicts.overlap < WRONG))[-END:].mean() > 0.5)


def beliefs_of(verdicts: list[Verdicts]) -> Beliefs:
    """Confidences against hits, in the frames in which the truth is known."""
    known = together(verdicts, lambda one: one.present | one.absent)
    hit = together(verdicts, lambda one: one.present & (one.overlap >= HIT))
    return Beliefs(together(verdicts, lambda one: one.confidence)[known], hit[known])


def together(verdicts: list[Verdicts], of: Callable[[Verdicts], NDArray[Kind]]) -> NDArray[Kind]:
    """What is known of every frame of every video, in one row."""
    return np.concatenate([of(one) for one in verdicts])


def drawn(
    scenes: int, imagery: Imagery | None, first_seed: int = FIRST_SEED
) -> Iterator[PresenceVideo]:
    """So many situations, each kind in turn."""
    kinds = list(SITUATIONS)
    for number in range(scenes):
        kind = kinds[number % len(kinds)]
        yield filmed(Situation(kind, first_seed + number, imagery), f'{kind} {number}')


def filmed(situation: Situation, name: str) -> PresenceVideo:
    """A drawn situation from its first frame to its last."""
    frames = [situation.render(index) for index in range(situation.frames)]
    return PresenceVideo(
        name,
        situation.kind,
        [frame.image for frame in frames],
        np.array([frame.box for frame in frames]),
        np.array([frame.visibility for frame in frames]),
        np.array([frame.alike for frame in frames]),
    )


def recorded(sequence: Sequence) -> PresenceVideo:
    """A real sequence: where it has a truth, its target is seen."""
    visibility = (~np.isnan(sequence.truth).any(1)).astype(float)
    unknown = np.full_like(sequence.truth, np.nan)
    return PresenceVideo(
        sequence.name, 'sequence', _Images(sequence), sequence.truth, visibility, unknown
    )


@dataclass(frozen=True)
class _Images:
    """The images of a sequence, read as they are gone through."""

    sequence: Sequence

    def __iter__(self) -> Iterator[Pixels]:
        return (self.sequence.frame(number) for number in range(len(self.sequence)))


def presence(
    sessions: Mapping[str, Session], videos: Iterable[PresenceVideo], out: Path, console: Console
) -> None:
    """Follow the targets of all videos with all trackers; show what came out and write it.

    presence.json, presence.md and presence.png lie in `out` then. A video in which a target cannot
    be followed is named and skipped; SequenceError where none is left.
    """
    verdicts: dict[str, list[Verdicts]] = {name: [] for name in sessions}
    for video in videos:
        try:
            ones = {name: follow(session, video) for name, session in sessions.items()}
        except MemtrackError as error:
            console.print(f'skipped: {video.name}: {error}', highlight=False)
            continue
        for name, one in ones.items():
            verdicts[name].append(one)
        console.print(video.name, end='\r')
    if not all(verdicts.values()):
        raise SequenceError('in none of the videos a target can be followed: give others')
    kinds = list(dict.fromkeys(one.video.kind for one in next(iter(verdicts.values()))))
    rows = {
        name: {'all': measure(ones)}
        | {kind: measure([one for one in ones if one.video.kind == kind]) for kind in kinds}
        for name, ones in verdicts.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / 'presence.json').write_text(json.dumps(rows, indent=2) + '\n')
    beliefs = {name: beliefs_of(ones) for name, ones in verdicts.items()}
    plots.draw_calibration(beliefs, out, 'presence.png')
    lines = [['', *rows]]
    for key in next(iter(rows.values()))['all']:
        lines.append([key.replace('_', ' '), *(cell(row['all'][key]) for row in rows.values())])
    for kind in kinds:
        shown = 'present_tracked_right', 'absent_tracked', 'found_in_a_second'
        lines.append(
            [
                f'{kind}: right, absent tracked, found',
                *(' '.join(cell(row[kind][key]) for key in shown) for row in rows.values()),
            ]
        )
    table = Table(*lines[0], box=SIMPLE)
    for line in lines[1:]:
        table.add_row(*line)
    console.print(table)
    (out / 'presence.md').write_text(
        f'# Presence\n\n{markdown.table(lines)}\n\n![](presence.png)\n'
    )


def cell(value: float | None) -> str:
    """A number of a table."""
    return '-' if value is None else f'{value:.3f}'
