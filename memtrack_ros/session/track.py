"""A target as it is followed, from one frame to the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import Stateful
from memtrack_ros.memory.snapshot import MOST, Given, outside
from memtrack_ros.session.clock import COUNTED, Clock
from memtrack_ros.session.course import LIKELY, UNLIKE, WIDER, Course
from memtrack_ros.session.estimate import State
from memtrack_ros.session.judgement import Judgement
from memtrack_ros.session.presence import PRESENT, Belief, Presence
from memtrack_ros.trackers import AnyTracker, Prior

ANYWHERE = 1.5, 0.5  # standard deviations, of place and size, that what a search finds is off
STRAYED = 0.5  # seconds for which a target is not seen before it is looked for elsewhere, too


@dataclass
class Track(Stateful):
    """Where the target is, whether it is there, and what the tracker remembers of it.

    Methods give new ones: nothing is changed by a frame that turns out to be unusable.
    """

    # The tracker last: restoring what is before it changes nothing but a new target.
    kept: ClassVar[tuple[str, ...]] = (
        'belief',
        'course',
        'clock',
        'searched',
        'frames_tracked',
        'unwritten',
        'tracker',
    )

    tracker: AnyTracker
    course: Course
    clock: Clock
    belief: Belief = field(default_factory=Belief)
    searched: int = 0
    """Frames in which it was searched for."""
    frames_tracked: int = 1
    """Frames that showed it, that of the prompt among them."""
    unwritten: float = 0.0
    """Seconds since something was written into the memory."""

    def faults(self, given: Given) -> Iterator[str]:
        """The frame of the prompt showed it."""
        yield from outside(given, 'searched', 0, MOST)
        yield from outside(given, 'frames_tracked', 1, MOST)
        yield from outside(given, 'unwritten', 0, COUNTED)

    @property
    def sure(self) -> bool:
        """Whether it was surely seen just before."""
        return self.belief.now is State.TRACKING

    @property
    def doubted(self) -> bool:
        """Whether what is followed may be something else."""
        return self.belief.verdict is State.UNSURE

    @property
    def believed(self) -> bool:
        """Whether it is believed to be where it is predicted."""
        return self.belief.verdict in PRESENT

    def at(self, frame: Pixels, time: float | None, presence: Presence) -> Track:
        """Predicted to when `frame` was taken. Where time jumped, it is lost.

        ImageError for a frame of quite another size.
        """
        clock = self.clock.at(time, presence.lost_seconds)
        unwritten = min(self.unwritten + clock.seconds, COUNTED)
        before = replace(self, course=self.course.fitted(frame), clock=clock, unwritten=unwritten)
        if not self.tracker.gated:  # its authors look where it was
            return before
        if clock.jumped:
            before = before.lost(presence)
        course = before.course.after(clock.seconds, seen=before.believed)
        return replace(
            before, course=course, searched=before.searched + (before.searching or before.doubted)
        )

    @property
    def searching(self) -> bool:
        """Whether it may be anywhere by now, and nothing was seen just before that may be it."""
        belief = self.belief
        gone = belief.verdict is State.OCCLUDED and belief.unseen > STRAYED
        return (gone or belief.verdict is State.LOST) and not belief.candidate

    def strangeness(self, box: Floats) -> Floats:
        """How far place and size of `box` (4,) are off what is expected: (2,), standard deviations.

        One that is searched for may be anywhere; but much that is like it is, too.
        """
        if self.searching:
            return np.array(ANYWHERE)
        return self.course.strangeness(box, again=self.belief.candidate)

    def jumps(self, box: Floats) -> bool:
        """Whether what is in `box` (4,) is not where motion has the target."""
        if self.believed:
            return bool(self.strangeness(box)[0] > LIKELY)
        return not self.course.returns(box, self.belief.unseen)

    def priors(self) -> list[Prior]:
        """Where to look for it now: where it was; long after, where it would be by now, too.

        Where it was hardly seen just before, there, too. One that is LOST is looked for elsewhere
        each time.
        """
        course, belief = self.course, self.belief
        if not self.tracker.gated:
            return [Prior(course.box)]
        if belief.candidate:
            return [Prior(course.candidate.box, course.search(course.candidate))]
        search = course.search(course.seen)
        if self.believed:
            places = [course.box]
            if search > 1:
                places.append(course.expected)
            if self.belief.unseen:
                places.append(course.hunch)
            return [Prior(place, search) for place in places]
        if belief.verdict is State.OCCLUDED:
            return [Prior(course.box, max(WIDER, search))]
        return [Prior(course.place(self.searched), WIDER)]

    def after(self, judgement: Judgement, confidence: float, presence: Presence) -> Track:
        """Something was found, and is the target with this confidence.

        What was not surely seen is no news of it.
        """
        box, contested = judgement.observation.box, judgement.contested
        belief = self.belief.after(confidence, self.clock.seconds, presence, contested=contested)
        course, seen = self.course, belief.now in PRESENT
        if seen and self.believed:
            course = course.tracked(box)
        elif self.believed and self.tracker.gated:
            course = course.missed(box)
        elif seen or belief.candidate:
            course = course.considered(box, again=self.belief.candidate)
            course = course.found(box) if seen else course
        mistaken = judgement.mistaken and (seen or belief.candidate)
        if belief.now is State.TRACKING:
            course = course.surely()
            if judgement.rival and (sight := judgement.observation.sight):
                course = course.beside(judgement.rival, sight.window)
        else:
            course = course.followed(
                box,
                judgement.rival,
                mistaken=mistaken,
                meets=judgement.meets if seen else UNLIKE,
                jumps=judgement.jumps and (seen or belief.candidate),
            )
        tracked = self.frames_tracked + (belief.now is State.TRACKING)
        return replace(self, course=course, belief=belief, frames_tracked=tracked)

    def lost(self, presence: Presence) -> Track:
        """What was known of its place is too old: it is searched for widely."""
        belief = Belief(State.LOST, presence.lost_seconds)
        return replace(self, course=self.course.stopped(), belief=belief)
