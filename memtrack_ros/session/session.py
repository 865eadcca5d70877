"""One target over time: from a prompt to an estimate for every frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

import cv2
import numpy as np
from torch import Tensor

from memtrack_ros.errors import ImageError, PromptError, SnapshotError, TrackingError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.oriented import OrientedBox
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import BankStatus
from memtrack_ros.nets.compact import CROP
from memtrack_ros.session.clock import Clock
from memtrack_ros.session.course import Course
from memtrack_ros.session.estimate import NOTHING, Estimate, State
from memtrack_ros.session.judge import excluded, judge, likelier
from memtrack_ros.session.judgement import Judgement
from memtrack_ros.session.picture import Stillness, require_picture, shows_anything
from memtrack_ros.session.presence import EVERYTHING, PRESENT, Belief, Presence
from memtrack_ros.session.prompts import Prompt, resolve
from memtrack_ros.session.room import within_room
from memtrack_ros.session.thumbnails import Thumbnails
from memtrack_ros.session.track import Track
from memtrack_ros.trackers import AnyTracker, Observation, Prior
from memtrack_ros.trackers.looking import Look, LookingTracker

FILLED = 0.2  # of a box that is drawn: less of it segmented is not what was meant
APART = 0.045  # seconds from one frame in the memory to the next, at least: neighbours are alike


@dataclass(frozen=True)
class Step:
    """The last frame with what was found and believed: what `remember` would write."""

    frame: Pixels
    estimate: Estimate
    judgement: Judgement


class Session:
    """Follows one target with one tracker. Not thread-safe: the caller serialises.

    Frames are uint8 (H, W, 3) BGR. Times are in seconds from any start; without any, frames are
    taken to come at 30 Hz. A tracker that is not `gated`, a paper variant, sees and remembers the
    target in every frame, whatever `presence` says.
    """

    def __init__(self, tracker: AnyTracker, presence: Presence | None = None) -> None:
        """Start without a target."""
        self.tracker = tracker
        self.presence = presence or Presence()
        """When the target counts as seen; may be replaced at any time."""
        self.thumbnails = Thumbnails()
        """Pictures of what the memory holds; no part of a snapshot."""
        self._track: Track | None = None
        self._last: Step | None = None
        self._still = Stillness()
        self._paused = False

    @property
    def state(self) -> State:
        """IDLE without a target, else what is believed: TRACKING, UNSURE, OCCLUDED or LOST."""
        track = self._track
        return State.IDLE if track is None else track.belief.verdict

    @property
    def memory(self) -> BankStatus:
        """What the memory holds."""
        return self.tracker.bank.status()

    @within_room
    def prompt(self, frame: Pixels, prompt: Prompt, time: float | None = None) -> Estimate:
        """Take a new target from `frame`, taken at `time`.

        ImageError or PromptError leaves an earlier one as it was. TrackingError when the tracker
        fails on it: then there is none.
        """
        require_picture(frame)
        target = resolve(frame, prompt)
        self.reset()
        try:
            observation = self.tracker.initialise(frame, target)
            _require_numbers(observation)
        except Exception:
            self.reset()
            raise
        self._picture(frame, observation)
        clock = Clock().at(time, inf)
        self._track = Track(self.tracker, Course.of(observation.box, frame), clock)
        return self._estimate(self._track, judge(self._track, observation))

    @within_room
    def refine(self, frame: Pixels, prompt: Prompt, time: float | None = None) -> Estimate:
        """Correct the target in `frame`, taken at `time`: it is what `prompt` says.

        What is remembered of it stays, and what it is corrected to is remembered, too, as far as
        the tracker learns from masks. ImageError or PromptError leaves all as it was.
        """
        track = self._track
        if track is None:
            raise PromptError('There is no target to correct; prompt without refine.')
        require_picture(frame)
        course = track.course.fitted(frame)
        known = self._locate(frame, track, Prior(course.box)).observation.mask
        target = resolve(frame, prompt, known)
        found = self._locate(frame, track, Prior(target.box)).observation
        mask = target.mask
        if not target.exact:
            inside = np.where(target.mask > 0, found.mask, np.uint8(0))
            mask = inside if cv2.countNonZero(inside) >= FILLED * target.box[2:].prod() else mask
        shares = np.where(mask > 0, np.uint8(255), np.uint8(0))
        if found.shares is not None:
            found = self.tracker.kept_to(found, mask, shares)
        corrected = replace(found, box=target.box, mask=mask, oriented=None)
        self._write(frame, corrected)
        self.tracker.learn(corrected)
        self._last = None
        self._track = replace(
            track,
            course=Course.of(target.box, frame),
            clock=Clock().at(time, inf),
            belief=Belief(),
            searched=0,
            frames_tracked=track.frames_tracked + 1,
            unwritten=0.0,
        )
        return self._estimate(self._track, judge(self._track, corrected))

    def expected(self, frame: Pixels, time: float | None = None) -> Prior | None:
        """Where `step` will look first; None where it is to be searched for, or nothing is."""
        if self._track is None:
            return None
        try:
            before = self._track.at(frame, time, self._gate)
        except ImageError:
            return None
        return None if before.searching else before.priors()[0]

    @within_room
    def step(self, frame: Pixels, time: float | None = None, look: Look | None = None) -> Estimate:
        """Follow the target into `frame`, taken at `time`.

        `look` is what the tracker sees where the target is `expected`, if that is known already.
        With nothing changed, ImageError for a frame that is none, or of quite another size, and
        TrackingError where the tracker's answer is no number or its device has no room for it.
        """
        track = self._track
        if track is None:
            return NOTHING
        require_picture(frame)
        before = track.at(frame, time, self._gate)
        judgement = self._look(frame, before, look)
        self._still = self._still.after(frame)
        # Benchmarks repeat frames: what is not gated answers these as its authors do.
        shown = shows_anything(frame) and not (self.tracker.gated and self._still.frozen)
        confidence = judgement.confidence if shown else -inf
        self._track = before.after(judgement, confidence, self._gate)
        judgement = replace(judgement, confidence=max(confidence, 0.0))
        estimate = self._estimate(self._track, judgement)
        self._last = Step(frame, estimate, judgement)
        return estimate

    @property
    def shares(self) -> Pixels:
        """The target's shares in the pixels of the last step's frame, uint8 (H, W), P * 255.

        A tracker that does not segment is as sure of all its box as of the target.
        """
        assert self._last is not None
        observation = self._last.judgement.observation
        if observation.shares is not None:
            return observation.shares
        sure = np.uint8(128 + round(127 * self._last.judgement.confidence))
        return np.where(observation.mask > 0, sure, np.uint8(0))

    def keep(self, mask: Pixels, shares: Pixels) -> Estimate:
        """Keep of the last step's target to what other targets leave: this mask, these shares.

        Both uint8 (H, W), the mask 0/255. To be called after `step`, before `remember`.
        """
        assert self._last is not None and self._track is not None
        judgement = self._last.judgement
        kept = self.tracker.kept_to(judgement.observation, mask, shares)
        judgement = replace(judgement, observation=kept)
        estimate = self._estimate(self._track, judgement)
        self._last = Step(self._last.frame, estimate, judgement)
        return estimate

    @within_room
    def remember(self) -> None:
        """Write the last step into the memory, if the target was surely seen in it.

        At 30 Hz that is every second one at most, but of paper variants, which remember them all.
        TrackingError where the device has no room for that.
        """
        if self._last is None or self._track is None:
            return
        frame, estimate, judgement = self._last.frame, self._last.estimate, self._last.judgement
        self._last = None
        sure, distinct = self._gate.remembered, True
        if sure < 0:  # nobody asks for more than the user does
            sure, distinct = self.tracker.remembered, judgement.distinct
        seen = estimate.state is State.TRACKING and distinct
        due = not self.tracker.gated or self._track.unwritten >= APART
        if due and seen and estimate.confidence >= sure:
            self._track = replace(self._track, unwritten=0.0)
            self._write(frame, judgement.observation)
        else:
            self.tracker.bank.refuse()
        # The judge has to know how a target changes that is hardly known any more.
        if seen and estimate.confidence >= min(sure, self._gate.seen):
            self.tracker.learn(judgement.observation)

    def reads(self) -> dict[int, float]:
        """How much of what the last step read was from what the memory has by these numbers.

        See `Tracker.reads`; nothing once that step is remembered.
        """
        return {} if self._last is None else self.tracker.reads(self._last.judgement.observation)

    def pause(self) -> None:
        """Keep the target, but write nothing of it, until resumed."""
        self.tracker.freeze(True)
        self._paused = True

    def resume(self) -> None:
        """Write again. A target kept from before the pause is searched for widely."""
        self.tracker.freeze(False)
        if self._paused and self._track is not None:
            self._track = self._track.lost(self.presence)
        self._paused = False

    def reset(self) -> None:
        """Forget the target and clear the memory."""
        self.tracker.forget()
        self._track = self._last = None
        self.thumbnails = Thumbnails()
        self._still = Stillness()

    def snapshot(self) -> dict[str, Tensor]:
        """All that is known of the target, the tracker's state included, by name, on the CPU.

        To be taken after `remember`. SnapshotError without a target.
        """
        if self._track is None:
            raise SnapshotError('There is no target to take a snapshot of; prompt first.')
        return self._track.state()

    def restore(self, snapshot: Mapping[str, Tensor]) -> None:
        """Follow the target that `snapshot` is of: the next estimates are those it had next.

        Raises SnapshotError, with nothing changed, where it is not of a tracker of this kind.
        """
        somewhere = Course.of(np.ones(4), np.zeros((1, 1, 3), np.uint8))
        track = Track(self.tracker, somewhere, Clock())
        try:
            track.restore(snapshot)
        except ValueError as error:
            raise SnapshotError(
                f'The snapshot does not fit this tracker ({error}); '
                'restore it where tracker, variant and version are those it was taken with.'
            ) from error
        self._track, self._last = track, None
        self.thumbnails = Thumbnails()
        self._paused = False

    @property
    def judgement(self) -> Judgement | None:
        """What was found in the last step, before that is remembered."""
        return None if self._last is None else self._last.judgement

    def _write(self, frame: Pixels, found: Observation) -> None:
        writes = self.tracker.bank.writes
        self.tracker.remember(frame, found)
        if self.tracker.bank.writes > writes:
            self._picture(frame, found)

    def _picture(self, frame: Pixels, found: Observation) -> None:
        self.thumbnails = self.thumbnails.after(self.tracker.bank, frame, found.box, found.mask)

    @property
    def _gate(self) -> Presence:
        return self.presence if self.tracker.gated else EVERYTHING

    def _look(self, frame: Pixels, before: Track, look: Look | None) -> Judgement:
        """The best of what is found where the target is to be looked for."""
        priors = before.priors()
        if before.searching and self.tracker.identity is not None and not before.searched % 2:
            window = before.course.survey(before.searched, CROP)
            priors = [self.tracker.survey(frame, window, before.course.box)]
        looks = [look, *[None] * (len(priors) - 1)]
        best = max(
            [self._locate(frame, before, *each) for each in zip(priors, looks, strict=True)],
            key=_confidence,
        )
        if before.believed and not priors[0].usual:
            # In a wide window it is small: a closer look sees more.
            closer = self._locate(frame, before, Prior(best.observation.box))
            best = max(best, closer, key=_confidence)
        if best.contested and not best.distinct:
            another = self._locate(frame, before, self._elsewhere(frame, before, best))
            if another.distinct and another.confidence >= self._gate.seen:
                return another
            if before.believed and best.jumps and another.convincing and not another.jumps:
                return another
            if before.doubted and likelier(another, best):
                return another
            return excluded(before, best, another) or best
        return best

    def _elsewhere(self, frame: Pixels, before: Track, best: Judgement) -> Prior:
        """Where else the target may be if that is hardly the `best`, as large as it was for sure.

        At what outdoes the best in any case; else at the rival or, where the best would convince
        alone, where its look-alike was: is that still there? In turn, while something is followed
        that may not be it and nothing was found just before, where it was seen last, and where a
        survey says.
        """
        assert best.rival is not None
        home, turn = before.course.home, before.searched % 3
        at_rival = Prior(boxes.from_centre(best.rival.place, home[2:]))
        if best.outdone:
            return at_rival
        if before.doubted and not before.belief.seen:
            if turn == 1:
                return Prior(home)
            if turn == 2:
                window = before.course.survey(before.searched - before.searched % 2, CROP)
                return self.tracker.survey(frame, window, home)
        if best.convincing and not best.mistaken:
            return Prior(boxes.from_centre(before.course.rival, home[2:]))
        return at_rival

    def _locate(
        self, frame: Pixels, before: Track, prior: Prior, look: Look | None = None
    ) -> Judgement:
        found: Observation
        if look is not None and isinstance(self.tracker, LookingTracker):
            found = self.tracker.find(frame, prior, look)
        else:
            found = self.tracker.find(frame, prior)
        _require_numbers(found)
        return judge(before, found)

    def _estimate(self, track: Track, judgement: Judgement) -> Estimate:
        state, roi = track.belief.now, track.course.box
        observation = judgement.observation
        mask = observation.mask if state in PRESENT else None
        oriented = None if mask is None else observation.oriented or OrientedBox.from_mask(mask)
        return Estimate(
            state,
            judgement.confidence,
            observation.score,
            oriented or OrientedBox.from_box(roi),
            roi,
            mask if oriented else None,
            not self.tracker.segments,
            track.frames_tracked,
            track.course.seen.spread,
        )


def _confidence(judgement: Judgement) -> float:
    return judgement.confidence


def _require_numbers(observation: Observation) -> None:
    """TrackingError where the score is not finite, or the box is none."""
    score, box = observation.score, observation.box
    if not np.isfinite([score, *box]).all() or box[2:].min() <= 0:
        raise TrackingError(
            f'The tracker answers with the score {score:g} and the box {box.tolist()}, where there '
            'have to be finite numbers and a size; see whether its weights are damaged, and prompt '
            'again.'
        )
