"""One pass of a tracker over a sequence, from the first truth box to the last frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from memtrack_ros.data.sequences import Sequence
from memtrack_ros.evaluation.metrics import Scores, score
from memtrack_ros.session import Session
from memtrack_ros.trackers import Prompt

Frame = NDArray[np.uint8]
Box = NDArray[np.float64]


class Follower(Protocol):
    """What can follow a target: a tracker in this process, a node, a peer.

    Frames are uint8 (height, width, 3) BGR, boxes float64 (4,) x, y, w, h in pixels.
    """

    def start(self, frame: Frame, box: Box) -> None:
        """Takes the target in the box, whatever was followed before."""

    def follow(self, frame: Frame) -> Box | None:
        """Where the target is in the next frame; None for no answer."""


class SessionFollower:
    """A session as the node runs it: the box is the estimate's roi, the memory is written after."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def start(self, frame: Frame, box: Box) -> None:
        """Prompts the session with the box. PromptError when it is not in the frame."""
        self.session.prompt(frame, Prompt('box', box))

    def follow(self, frame: Frame) -> Box | None:
        """The axis-aligned bounds of the estimate, None when there are none."""
        estimate = self.session.step(frame)
        self.session.remember()
        return estimate.roi


@dataclass(frozen=True)
class Answer:
    """What a follower said to one frame.

    box is float64 (4,); nan before the first truth, the truth itself in the frame of the prompt,
    the last one where the follower gave none. seconds is nan up to the prompt.
    """

    box: Box
    seconds: float


def one_pass(follower: Follower, sequence: Sequence) -> Iterator[Answer]:
    """The answers to the frames of the sequence, in turn. SequenceError at an unreadable one."""
    first = int(np.argmin(np.isnan(sequence.truth).any(1)))
    box: Box = np.full(4, np.nan)
    for index in range(len(sequence)):
        frame = sequence.frame(index)
        seconds = np.nan
        if index == first:
            box = sequence.truth[first]
            follower.start(frame, box)
        elif index > first:
            before = perf_counter()
            answer = follower.follow(frame)
            seconds = perf_counter() - before
            if answer is not None and np.isfinite(answer).all():
                box = np.asarray(answer, float)
        yield Answer(box, seconds)


def scores(answers: list[Answer], sequence: Sequence) -> Scores:
    """The metrics of one pass: the answers to all frames of the sequence."""
    given = np.array([answer.box for answer in answers])
    return score(given, sequence.truth, np.array([answer.seconds for answer in answers]))
