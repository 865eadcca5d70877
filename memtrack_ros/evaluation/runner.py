"""One pass of a tracker over a sequence, from the first truth to the last frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Protocol

import numpy as np

from memtrack_ros import trackers
from memtrack_ros.data.sequences import Sequence
from memtrack_ros.errors import ImageError, PromptError, SequenceError, TrackingError
from memtrack_ros.evaluation.mask_metrics import boundary_f, region_j
from memtrack_ros.evaluation.metrics import Scores, score
from memtrack_ros.evaluation.passes import Pass
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.session import Prompt, Session
from memtrack_ros.session.prompts import resolve
from memtrack_ros.trackers.settings import DEFAULTS, Chosen


@dataclass(frozen=True)
class Prediction:
    """What a follower says of a frame; None or nan for what it does not say.

    box float64 (4,) x, y, w, h in pixels, confidence in 0..1, mask uint8 (height, width) 0/255.
    """

    box: Floats | None
    confidence: float = float('nan')
    mask: Pixels | None = None


class Follower(Protocol):
    """What can follow a target: a tracker in this process, a node, a peer.

    Frames are uint8 (height, width, 3) BGR.
    """

    segments: bool
    """Whether it answers with masks."""

    def start(self, frame: Pixels, box: Floats, mask: Pixels | None) -> None:
        """Take the target by its mask or, where that is None, its box; forget any before."""

    def follow(self, frame: Pixels) -> Prediction:
        """Where the target is in the next frame."""


class SessionFollower:
    """A session as the node runs it: the memory is written after the answer.

    Or never, where it `remembers` no more than the frame of the prompt.
    """

    def __init__(self, session: Session, *, remembers: bool = True) -> None:
        self.session, self.remembers = session, remembers
        self.segments = session.tracker.segments

    @classmethod
    def of(
        cls,
        name: str,
        variant: str,
        weights: Path | None,
        device: str,
        chosen: Chosen = DEFAULTS,
        *,
        remembers: bool = True,
    ) -> SessionFollower:
        """Of the tracker `name`: see `trackers.create`."""
        tracker = trackers.create(name, variant, weights, device, chosen=chosen)
        return cls(Session(tracker), remembers=remembers)

    def start(self, frame: Pixels, box: Floats, mask: Pixels | None) -> None:
        """Prompt the session. PromptError when the target is not in the frame."""
        self.session.prompt(frame, prompt_of(box, mask))

    def follow(self, frame: Pixels) -> Prediction:
        """The estimate: its axis-aligned bounds, its confidence, its mask."""
        estimate = self.session.step(frame)
        if self.remembers:
            self.session.remember()
        return Prediction(estimate.roi, estimate.confidence, estimate.mask)


def one_pass(
    follower: Follower, sequence: Sequence, by_mask: bool, advance: Callable[[], None]
) -> Pass:
    """Follow the target from the first frame with truth to the last frame of the sequence.

    It is pointed at with its box or, `by_mask` and where there are masks, with that. `advance` is
    called after every frame. SequenceError at an image that cannot be read, or in which a tracker
    cannot go on, and where that box or mask is no target.
    """
    count = len(sequence)
    answers = Pass(np.full((count, 4), np.nan), *np.full((4, count), np.nan))
    first = boxes.first_present(sequence.truth)
    masked = sequence.masks is not None
    box = sequence.truth[first]
    for index in range(count):
        frame = sequence.frame(index)
        if index == first:
            mask = sequence.mask(index) if by_mask and masked else None
            _check_prompt(sequence.name, index, frame, prompt_of(box, mask))
            with _as_sequence_error(sequence.name, index):
                follower.start(frame, box, mask)
        elif index > first:
            before = perf_counter()
            with _as_sequence_error(sequence.name, index):
                found = follower.follow(frame)
            answers.seconds[index] = perf_counter() - before
            if found.box is not None and np.isfinite(found.box).all():
                box = np.asarray(found.box, float)
            answers.confidence[index] = found.confidence
            if masked and follower.segments:
                true_mask = sequence.mask(index) > 0
                given = np.zeros_like(true_mask) if found.mask is None else found.mask > 0
                answers.j[index] = region_j(given, true_mask)
                answers.f[index] = boundary_f(given, true_mask)
        if index >= first:
            answers.boxes[index] = box
        advance()
    return answers


@contextmanager
def _as_sequence_error(name: str, index: int) -> Iterator[None]:
    """SequenceError where a tracker cannot go on in this frame."""
    try:
        yield
    except (ImageError, TrackingError) as error:
        raise SequenceError(f'{name}: frame {index + 1} cannot be followed: {error}') from error


def _check_prompt(name: str, index: int, frame: Pixels, prompt: Prompt) -> None:
    """SequenceError where a session would not take the prompt; so nobody has to."""
    try:
        resolve(frame, prompt)
    except PromptError as error:
        raise SequenceError(
            f'{name}: the truth of frame {index + 1} is no prompt: {error}'
        ) from None


def prompt_of(box: Floats, mask: Pixels | None) -> Prompt:
    """The target's mask where there is one, else its box."""
    return Prompt('box', box) if mask is None else Prompt('mask', mask)


def scores(answers: Pass, sequence: Sequence) -> Scores:
    """The metrics of one pass."""
    return score(answers.boxes, sequence.truth, answers.seconds, answers.j, answers.f)
