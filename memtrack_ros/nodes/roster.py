"""Which targets are followed: their ids, which one is selected, what was said of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from builtin_interfaces.msg import Time
from torch import Tensor

from memtrack_ros.errors import PromptError, SnapshotError
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import BankStatus
from memtrack_ros.session import UNPROCESSED, Estimate, Group, Prompt, Session, Snapshot, State
from memtrack_ros.session.thumbnails import Thumbnails
from memtrack_ros.wire.stamps import seconds


@dataclass(frozen=True)
class Correction:
    """What was known of a target before it was corrected in the image of this stamp."""

    state: dict[str, Tensor]
    thumbnails: Thumbnails
    stamp: Time


@dataclass
class Entry:
    """One target."""

    target_id: int
    last_seen: Time
    width: float | None = None
    """Of the real thing, in metres, where it is known."""
    correction: Correction | None = None
    """The latest one, to be taken back."""


class Overview(NamedTuple):
    """The targets at one moment; it does not keep alive what they are followed with."""

    state: State
    """Of the selected one."""
    followed: int
    most: int
    tracker: str
    variant: str
    device: str
    memory: BankStatus


class Roster:
    """The targets of a group, by ids that are never used again. Not thread-safe.

    The group's own numbers are places: the lowest free one is taken, so that they stay small. A
    group with another tracker takes the place of the present one once it has its target.
    """

    def __init__(self, group: Group, next_id: Callable[[], int], drop: Callable[[], None]) -> None:
        """`drop` frees what a group held that is no more."""
        self.group = group
        self._next_id, self._drop = next_id, drop
        self._entries: dict[int, Entry] = {}
        self._selected: int | None = None

    @property
    def selected(self) -> int:
        """The id of the selected target; 0 without any."""
        return 0 if self._selected is None else self._entries[self._selected].target_id

    @property
    def session(self) -> Session:
        """That of the selected target; without any the one that the next target gets."""
        return self.group.spare if self._selected is None else self.group[self._selected]

    def overview(self) -> Overview:
        """How the targets are now."""
        group, tracker = self.group, self.group.tracker
        return Overview(
            State.IDLE if self._selected is None else group[self._selected].state,
            len(group),
            group.most,
            tracker.name,
            tracker.variant,
            str(tracker.device),
            group.memory,
        )

    def __iter__(self) -> Iterator[tuple[Entry, Session]]:
        """The targets in the order of their ids."""
        places = sorted(self._entries, key=lambda place: self._entries[place].target_id)
        return iter([(self._entries[place], self.group[place]) for place in places])

    def prompt(
        self, group: Group, frame: Pixels, prompt: Prompt, stamp: Time, *, add: bool
    ) -> Entry:
        """Takes a target, beside the others or in place of the selected one.

        Raises PromptError, ImageError: all is then as it was.
        """
        place = self._place(group, add)
        try:
            group.prompt(place, frame, prompt, seconds(stamp))
        finally:
            if group is self.group:
                self._drop_missing()
        return self._follow(group, place, stamp)

    def restore(self, group: Group, snapshot: Snapshot) -> Entry:
        """Goes on from a snapshot, in place of the selected target.

        Raises SnapshotError: all is then as it was.
        """
        try:
            place = self._place(group, add=False)
        except PromptError as error:
            raise SnapshotError(str(error)) from error
        group.restore(place, snapshot)
        return self._follow(group, place, Time())

    def refine(self, frame: Pixels, prompt: Prompt, stamp: Time) -> Entry:
        """Corrects the selected target; raises PromptError, ImageError as `prompt`."""
        entry, session = self._present()
        before = Correction(session.snapshot(), session.thumbnails, stamp)
        session.refine(frame, prompt, seconds(stamp))
        entry.correction, entry.last_seen = before, stamp
        return entry

    def undo(self) -> tuple[Entry, Time]:
        """Takes the latest correction of the selected target back.

        Gives the stamp of the image it was corrected in. Raises PromptError without one.
        """
        entry, session = self._present()
        if entry.correction is None:
            raise PromptError(
                f'target {entry.target_id} was not corrected since it was set: there is nothing '
                'to take back'
            )
        session.restore(entry.correction.state)
        session.thumbnails = entry.correction.thumbnails
        stamp, entry.correction = entry.correction.stamp, None
        return entry, stamp

    def select(self, target_id: int) -> None:
        """Raises PromptError for an id that is not followed."""
        self._selected = self._place_of(target_id)

    def remove(self, target_id: int) -> None:
        """Forgets a target; the newest one is then selected. Raises PromptError for no such id."""
        self.group.remove(self._place_of(target_id))
        self._drop_missing()

    def reset(self) -> None:
        """Forgets all targets."""
        self.group.reset()
        self._drop_missing()

    def step(self, frame: Pixels, stamp: Time) -> dict[int, Estimate]:
        """An estimate of each target, by id, in an image; raises where it cannot be processed."""
        found = self.group.step(frame, seconds(stamp))
        for place, estimate in found.items():
            if estimate.state is State.TRACKING:
                self._entries[place].last_seen = stamp
        return {self._entries[place].target_id: estimate for place, estimate in found.items()}

    def unprocessed(self) -> dict[int, Estimate]:
        """The same of an image that cannot be."""
        return {entry.target_id: UNPROCESSED for entry in self._entries.values()}

    def _place(self, group: Group, add: bool) -> int:
        """Where a new target goes."""
        others = len(self._entries) - (not add and self._selected is not None)
        if group is not self.group:
            if others:
                raise PromptError(
                    f'{others} other targets are followed by {self.group.tracker.name}: remove '
                    f'them, and {group.tracker.name} may take over'
                )
            return 1
        if not add and self._selected is not None:
            return self._selected
        return next(place for place in range(1, len(self._entries) + 2) if place not in group)

    def _follow(self, group: Group, place: int, last_seen: Time) -> Entry:
        """The target at a place of a group, which has it now, under a new id; it is selected."""
        if group is not self.group:
            self.group = group
            self._entries.clear()
            self._drop()
        entry = self._entries[place] = Entry(self._next_id(), last_seen)
        self._selected = place
        return entry

    def _present(self) -> tuple[Entry, Session]:
        if self._selected is None:
            raise PromptError('there is no target to correct: prompt without refine')
        return self._entries[self._selected], self.group[self._selected]

    def _place_of(self, target_id: int) -> int:
        for place, entry in self._entries.items():
            if entry.target_id == target_id:
                return place
        ids = sorted(entry.target_id for entry in self._entries.values())
        followed = ', '.join(map(str, ids)) or 'none'
        raise PromptError(f'there is no target {target_id}: followed are {followed}')

    def _drop_missing(self) -> None:
        """Forgets what the group does not follow any more."""
        for place in [place for place in self._entries if place not in self.group]:
            del self._entries[place]
        if self._selected not in self._entries:
            self._selected = max(
                self._entries, key=lambda place: self._entries[place].target_id, default=None
            )
