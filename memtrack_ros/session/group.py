"""Several targets at once, with one network: each has a memory and a session of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from memtrack_ros.errors import ConfigurationError, MemtrackError, PromptError
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.masks.disjoint import disjoint
from memtrack_ros.memory import BankStatus
from memtrack_ros.session.estimate import UNPROCESSED, Estimate
from memtrack_ros.session.picture import require_picture
from memtrack_ros.session.presence import Presence
from memtrack_ros.session.prompts import Prompt
from memtrack_ros.session.room import within_room
from memtrack_ros.session.session import Session
from memtrack_ros.session.snapshot import Snapshot
from memtrack_ros.trackers import AnyTracker
from memtrack_ros.trackers.looking import Look, LookingTracker, look_together


class Group(Mapping[int, Session]):
    """Follows up to `most` targets. Not thread-safe: the caller serialises.

    It is a mapping from the numbers of its targets, which the caller gives them, to their sessions:
    `group[7].state` is that of target 7, `Snapshot.of(group[7])` all that is known of it. With one
    target it says what a `Session` says. Of several, each that is seen has a mask that is disjoint
    from those of the others, by soft aggregation of what their trackers segmented; `labels` is the
    image of all. Each remembers what aggregation left to it.

    The network is there once, and sees in one pass of it where all targets are expected. Memories
    are allocated when the group is made, one for each of `most` targets, so that their bytes are
    known and never grow.

    A frame's way: `step`, then use what it gives, then `remember`. Frames are uint8 (H, W, 3) BGR,
    times are in seconds.
    """

    def __init__(
        self,
        tracker: AnyTracker,
        presence: Presence | None = None,
        *,
        most: int = 1,
        max_bytes: int = 2**30,
    ) -> None:
        """Start without targets, with `tracker` and twins of it.

        ConfigurationError when their memories together are over `max_bytes`, with none allocated.
        """
        needed = most * tracker.bank.bytes
        if needed > max_bytes:
            raise ConfigurationError(
                f'The memory banks of {most} targets need {needed} bytes, but memory.max_bytes '
                f'allows {max_bytes}; raise memory.max_bytes or follow fewer targets.'
            )
        self.most = most
        self.tracker = tracker
        twins = [tracker, *(tracker.twin() for _ in range(most - 1))]
        self._free = [Session(each, presence) for each in reversed(twins)]
        self._sessions: dict[int, Session] = {}

    def __getitem__(self, number: int) -> Session:
        return self._sessions[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._sessions)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def presence(self) -> Presence:
        """When targets count as seen; may be replaced at any time."""
        return self._all[0].presence

    @presence.setter
    def presence(self, presence: Presence) -> None:
        for session in self._all:
            session.presence = presence

    @property
    def spare(self) -> Session:
        """The session that the next target gets; PromptError when all of `most` have one."""
        if not self._free:
            raise PromptError(
                f'{len(self)} targets are followed, as many as there may be; remove one, or allow '
                'more.'
            )
        return self._free[-1]

    @property
    def memory(self) -> BankStatus:
        """What the memories of all targets hold together."""
        banks = [session.memory for session in self._sessions.values()]
        counts = (
            sum(getattr(bank, field) for bank in banks)
            for field in ('entries', 'writes', 'refused')
        )
        entries, writes, refused = counts
        one = self.tracker.bank
        return BankStatus(
            entries, self.most * one.capacity, self.most * one.bytes, writes, refused, one.frozen
        )

    def prompt(
        self, number: int, frame: Pixels, prompt: Prompt, time: float | None = None
    ) -> Estimate:
        """Take the target `number` from `frame`, in place of what had this number, if anything.

        Its mask may reach into those of others until the next `step`. ImageError or PromptError,
        also when all of `most` numbers are taken, leaves everything as it was. TrackingError when
        the tracker fails on it: then there is none of this number.
        """
        session = self._sessions.get(number) or self.spare
        try:
            estimate = session.prompt(frame, prompt, time)
        except Exception:
            if number in self._sessions and not session.state:
                self.remove(number)
            raise
        self._take(number, session)
        return estimate

    def restore(self, number: int, snapshot: Snapshot) -> None:
        """Follow what `snapshot` is of as the target `number`, in place of what had this number.

        SnapshotError where it is not of this tracker, PromptError when all of `most` numbers are
        taken: everything is then as it was.
        """
        session = self._sessions.get(number) or self.spare
        snapshot.restore(session)
        self._take(number, session)

    @within_room
    def step(self, frame: Pixels, time: float | None = None) -> dict[int, Estimate]:
        """Follow all targets into `frame`, taken at `time`; an estimate each, by number.

        A target that the frame is too small for, or the tracker of which fails, is UNPROCESSED and
        stays as it was. Where that is all of them, or the frame is none, the error is raised.
        """
        require_picture(frame)
        estimates: dict[int, Estimate] = {}
        errors: list[MemtrackError] = []
        looks = self._looks(frame, time)
        for number, session in self._sessions.items():
            try:
                estimates[number] = session.step(frame, time, looks.get(number))
            except MemtrackError as error:
                estimates[number] = UNPROCESSED
                errors.append(error)
        if errors and len(errors) == len(estimates):
            raise errors[0]
        return estimates | self._shared_out(estimates)

    def remember(self) -> None:
        """Write the last step into the memories, of what was surely seen."""
        for session in self._sessions.values():
            session.remember()

    def remove(self, number: int) -> None:
        """Forget a target; what had no such number is none the wiser."""
        if (session := self._sessions.pop(number, None)) is not None:
            session.reset()
            self._free.append(session)

    def reset(self) -> None:
        """Forget all targets."""
        for number in list(self._sessions):
            self.remove(number)

    def pause(self) -> None:
        """Keep the targets, but write nothing of them, until resumed."""
        for session in self._all:
            session.pause()

    def resume(self) -> None:
        """Write again. Targets kept from before the pause are searched for widely."""
        for session in self._all:
            session.resume()

    @property
    def _all(self) -> list[Session]:
        return [*self._sessions.values(), *self._free]

    def _take(self, number: int, session: Session) -> None:
        """A session that has its target now."""
        if number not in self._sessions:
            self._free.remove(session)
            self._sessions[number] = session

    def _looks(self, frame: Pixels, time: float | None) -> dict[int, Look]:
        """What is seen where targets are expected, all in one pass of the network."""
        if len(self) < 2:
            return {}
        seeing = {
            number: (session.tracker, prior)
            for number, session in self.items()
            if isinstance(session.tracker, LookingTracker)
            and (prior := session.expected(frame, time)) is not None
        }
        if not seeing:
            return {}
        return dict(zip(seeing, look_together(frame, list(seeing.values())), strict=True))

    def _shared_out(self, estimates: Mapping[int, Estimate]) -> dict[int, Estimate]:
        """Estimates with disjoint masks, of those targets that are seen beside others."""
        seen = [number for number, estimate in estimates.items() if estimate.mask is not None]
        if len(seen) < 2:
            return {}
        shares = np.stack([self[number].shares for number in seen])
        rois = np.stack([np.asarray(estimates[number].roi) for number in seen])
        labels, left = disjoint(shares, rois)
        return {
            number: self[number].keep(np.asarray((labels == k) * np.uint8(255)), left[k - 1])
            for k, number in enumerate(seen, 1)
        }


def labels(estimates: Mapping[int, Estimate], height: int, width: int) -> Pixels:
    """Disjoint masks as one image uint8 (height, width): the number of its target, 0 elsewhere.

    Numbers are to be 1 to 255.
    """
    image = np.zeros((height, width), np.uint8)
    for number, estimate in estimates.items():
        if estimate.mask is not None:
            image[estimate.mask > 0] = number
    return image
