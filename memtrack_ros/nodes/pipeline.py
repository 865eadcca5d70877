"""From the newest image to its targets: the thread between the camera and the publishers."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import nan
from typing import NamedTuple

from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from memtrack_ros import memory_sheet, overlay
from memtrack_ros.errors import MemtrackError, PromptError, SnapshotError
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.nodes import messages, prompts
from memtrack_ros.nodes.drawing import Drawing
from memtrack_ros.nodes.frames import AnyImage, Frames, Turn, nanoseconds
from memtrack_ros.nodes.outputs import Outputs
from memtrack_ros.nodes.positions import Positions
from memtrack_ros.nodes.roster import Entry, Roster
from memtrack_ros.session import (
    NOTHING,
    UNPROCESSED,
    Estimate,
    Group,
    Presence,
    Session,
    Snapshot,
    State,
)
from memtrack_ros.srv import InitTarget
from memtrack_ros.wire import images
from memtrack_ros.wire.stamps import seconds

_MOST_REASONS = 100
_CATCH_UP = 2.0  # times as fast as the images came, at least
_SHEETS = 0.5  # seconds from one picture of the memory to the next


class PendingImage(NamedTuple):
    """An image that is being answered: its size (width, height), and when it was taken up."""

    image: AnyImage
    size: tuple[int, int]
    began: float
    frames: Frames
    positions: Positions


class Pipeline:
    """The targets of a roster, fed by a camera between start and stop.

    A thread takes the newest image, steps the targets, publishes, and only then lets them be
    remembered. Requests come from one other thread at a time: whoever has the turn has the targets
    to itself. Who has not must not touch the roster, and looks at the overview.
    """

    def __init__(
        self,
        node: LifecycleNode,
        group: Group,
        outputs: Outputs,
        *,
        next_id: Callable[[], int],
        make: Callable[[str, str], Group],
        drop: Callable[[], None],
    ) -> None:
        """`make` gives a group with the tracker of a name and a variant, warmed up.

        `drop` frees what a group held that is no more.
        """
        self.roster = Roster(group, next_id, drop)
        self.frames: Frames | None = None
        """What came since started; None while stopped."""
        self.processed = 0
        """Images that were answered with a target."""
        self.image_age = nan
        """Seconds from the stamp of the newest of these to its target."""
        self.error = ''
        """Why an image could not be processed; empty again once one is."""
        self._node, self._outputs, self._make = node, outputs, make
        self._configured = group.tracker.name, group.tracker.variant
        self._closed = False
        self._states: dict[int, State] = {}
        self._turn = Turn()
        self._thread: threading.Thread | None = None
        self._overlays: Drawing | None = None
        self._sheets: Drawing | None = None
        self._reasons: set[str] = set()
        group.pause()
        self._presence = group.presence
        self.overview = self.roster.overview()
        """The targets as they were after the last turn; may be read at any time."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """To have the targets alone."""
        with self._turn():
            try:
                yield
            finally:
                self.overview = self.roster.overview()

    def start(self, frames: Frames, positions: Positions) -> None:
        """Processes what comes into these frames, until stopped.

        Targets that are kept from before are searched for.
        """
        self._reasons.clear()
        self.error = ''
        with self.turn():
            self.roster.group.resume()
            self.frames = frames
        self._overlays = Drawing(self._outputs.overlay, self._report_alive)
        self._sheets = Drawing(self._outputs.memory, self._report_alive, _SHEETS)
        self._thread = threading.Thread(target=self._run, args=[frames, positions], name='pipeline')
        self._thread.start()

    def stop(self) -> None:
        """Ends with the image at hand; the targets stay, their banks are frozen."""
        if self.frames is not None and self._thread is not None:
            self.frames.newest.close()
            self._thread.join()
            for drawing in (self._overlays, self._sheets):
                if drawing is not None:
                    drawing.close()
            with self.turn():
                self.frames = self._thread = self._overlays = self._sheets = None
                self.roster.group.pause()

    def judge(self, presence: Presence) -> None:
        """From the next image on, what counts as seen is this."""
        self._presence = presence

    def close(self) -> None:
        """Takes no target any more."""
        with self.turn():
            self._closed = True

    def prompt(self, request: InitTarget.Request) -> tuple[int, Time]:
        """Sets, adds or corrects a target; returns its id and the stamp of the image that was used.

        Raises PromptError, ImageError, ConfigurationError: all targets are then as they were.
        """
        frames = self.frames
        if frames is None:
            raise PromptError('the node is inactive: activate it, then prompt')
        if request.add and request.refine:
            raise PromptError('add and refine are both given: add a target, or correct one')
        image = frames.recent.find(request.stamp)
        frame = frames.decode(image)
        height, width = frame.shape[:2]
        prompt = prompts.from_request(request, width, height)
        real_width = prompts.width_of(request)
        group = self._group_for(request)
        stamp = image.header.stamp
        with self.turn():
            if self.frames is not frames:
                raise PromptError('the node was deactivated meanwhile: activate it, then prompt')
            if request.refine:
                entry = self.roster.refine(frame, prompt, stamp)
            else:
                entry = self.roster.prompt(group, frame, prompt, stamp, add=request.add)
            entry.width = real_width or entry.width
            self._catch_up(frames, entry, stamp)
            return entry.target_id, stamp

    def undo(self) -> int:
        """Takes the latest correction of the selected target back; returns its id.

        Raises PromptError where there is none.
        """
        with self.turn():
            entry, stamp = self.roster.undo()
            if self.frames is None:
                self.roster.group.pause()
            else:
                self._catch_up(self.frames, entry, stamp)
            return entry.target_id

    def snapshot(self) -> Snapshot:
        """All that is known of the selected target; raises SnapshotError without one."""
        with self.turn():
            return Snapshot.of(self.roster.session)

    def restore(self, snapshot: Snapshot) -> int:
        """Goes on from a snapshot, with its tracker; returns the id of the target.

        Raises SnapshotError, ConfigurationError: all targets are then as they were.
        """
        group = self._group_with(snapshot.tracker, snapshot.variant)
        with self.turn():
            if self._closed:
                raise SnapshotError('the node was cleaned up meanwhile: configure it, then load')
            if self.frames is None:
                group.pause()
            return self.roster.restore(group, snapshot).target_id

    def select(self, target_id: int) -> None:
        """Shows this target; raises PromptError for an id that is not followed."""
        with self.turn():
            self.roster.select(target_id)

    def remove(self, target_id: int) -> None:
        """Forgets this target; raises PromptError for an id that is not followed."""
        with self.turn():
            self.roster.remove(target_id)

    def reset(self) -> None:
        """Forgets all targets."""
        with self.turn():
            self.roster.reset()

    def _group_for(self, request: InitTarget.Request) -> Group:
        """The group that takes what is prompted: the present one if it has the tracker for it."""
        present = self.roster.group
        if request.refine and request.tracker not in ('', present.tracker.name):
            raise PromptError(
                f'the target is followed by {present.tracker.name}, and {request.tracker} knows '
                'nothing of it: correct it without naming a tracker'
            )
        if request.refine or (request.add and len(present) and not request.tracker):
            return present
        configured, variant = self._configured
        return self._group_with(request.tracker or configured, variant)

    def _group_with(self, tracker: str, variant: str) -> Group:
        """The present group if this is its tracker, else a new one."""
        present = self.roster.group
        if (present.tracker.name, present.tracker.variant) == (tracker, variant):
            return present
        return self._make(tracker, variant)

    def _catch_up(self, frames: Frames, entry: Entry, since: Time) -> None:
        """Follows a target through the images kept since this stamp, up to the newest.

        Of these it takes so few that it is faster than they come, by the clock and by their stamps:
        a recording may be played faster than it was made. The others wait where they are.
        """
        if not nanoseconds(since):
            return
        session = self.roster.session
        next_stamp = nanoseconds(since) + 1
        while (image := frames.recent.after(next_stamp)) is not None:
            began, newest = time.perf_counter(), frames.recent.newest
            try:
                estimate = session.step(frames.decode(image), seconds(image.header.stamp))
                session.remember()
                if estimate.state is State.TRACKING:
                    entry.last_seen = image.header.stamp
            except Exception as error:  # whatever it is, the target is set
                self._report(error)
            passed = (time.perf_counter() - began) * 1e9, frames.recent.newest - newest
            lead = round(_CATCH_UP * max(passed))
            next_stamp = nanoseconds(image.header.stamp) + max(lead, 1)

    def _run(self, frames: Frames, positions: Positions) -> None:
        while frames.newest.wait():
            with self.turn():
                # Taken only now: a prompt that came first may be for an image newer than the one
                # that ended the wait.
                image = frames.newest.take()
                if image is None:
                    continue
                try:
                    self._process(image, frames, positions)
                except Exception as error:
                    self._report_alive(error)

    def _process(self, image: AnyImage, frames: Frames, positions: Positions) -> None:
        began = time.perf_counter()
        frame, shown, failed = None, NOTHING, False
        self.roster.group.presence = self._presence
        try:
            frame = frames.decode(image)
            if not nanoseconds(image.header.stamp):
                self.warn('the images carry no stamps: they are taken to come at 30 Hz')
            estimates = self.roster.step(frame, image.header.stamp)
        except Exception as error:  # whatever it is, the next image may be a good one
            estimates, shown, failed = self.roster.unprocessed(), UNPROCESSED, True
            self._report(error)
        shown = estimates.get(self.roster.selected, shown)
        shot = PendingImage(image, images.image_size(image, frame), began, frames, positions)
        self._publish_targets(shot, shown, estimates)
        if frame is not None:
            self._outputs.publish_masks(frame, image.header, shown, estimates)
            if self._overlays is not None and self._overlays.wanted:
                others = [estimate for estimate in estimates.values() if estimate is not shown]
                self._overlays.show(image.header, partial(overlay.draw, frame, shown, others))
        if not failed:
            try:
                self._show_memory(image.header)
                self.roster.group.remember()
                self.error = ''
            except Exception as error:
                self._report(error)

    def _show_memory(self, header: Header) -> None:
        """What of the selected target's memory was read in this image, before it is written."""
        session = self.roster.session
        if self._sheets is not None and self._sheets.wanted and (reads := session.reads()):
            self._sheets.show(header, partial(memory_sheet.draw, session.thumbnails, reads))

    def _publish_targets(
        self, shot: PendingImage, shown: Estimate, estimates: dict[int, Estimate]
    ) -> None:
        targets = {
            entry.target_id: self._message(shot, estimates[entry.target_id], session, entry)
            for entry, session in self.roster
        }
        selected = targets.get(self.roster.selected) or self._message(
            shot, shown, self.roster.session
        )
        self.image_age = selected.image_age
        self._outputs.publish_targets(selected, list(targets.values()), shot.frames.calibration)
        self.processed += 1
        self._log_states()

    def _message(
        self, shot: PendingImage, estimate: Estimate, session: Session, entry: Entry | None = None
    ) -> TrackedTarget:
        """What is said of a target, or of there being none."""
        header = shot.image.header
        width = None if entry is None else entry.width
        return messages.estimate_to_target(
            estimate,
            header,
            shot.size,
            target_id=0 if entry is None else entry.target_id,
            tracker=session.tracker.name,
            calibration=shot.frames.calibration,
            last_seen=None if entry is None else entry.last_seen,
            memory=session.memory,
            position=shot.positions.of(estimate, header, shot.size, width),
            processing_time=time.perf_counter() - shot.began,
            image_age=self._age(header),
            frames_dropped=shot.frames.newest.dropped,
        )

    def _age(self, header: Header) -> float:
        """Seconds since the image was taken; nan without a stamp, or with one of a time to come."""
        stamp = nanoseconds(header.stamp)
        age = self._node.get_clock().now().nanoseconds - stamp
        return age / 1e9 if stamp and age >= 0 else nan

    def _log_states(self) -> None:
        """Says when a target's state is another than before."""
        states = {entry.target_id: session.state for entry, session in self.roster}
        for target_id in self._states.keys() | states.keys():
            before, now = (known.get(target_id, State.IDLE) for known in (self._states, states))
            if now != before:
                self._node.get_logger().info(f'target {target_id}: {before.name} -> {now.name}')
        self._states = states

    def warn(self, text: str) -> None:
        """Logs it once."""
        if text not in self._reasons:
            self._reasons.add(text)
            self._node.get_logger().warning(text)

    def _report_alive(self, error: Exception) -> None:
        """The same, unless ROS is shut down: nothing can be published then."""
        if self._node.context.ok():
            self._report(error)

    def _report(self, error: Exception) -> None:
        """Logs a reason once; of errors that are not the user's, with the way they came."""
        self.error = str(error) or repr(error)
        if self.error in self._reasons or len(self._reasons) == _MOST_REASONS:
            return
        self._reasons.add(self.error)
        if isinstance(error, MemtrackError):
            self._node.get_logger().error(self.error)
        else:
            self._node.get_logger().error(''.join(traceback.format_exception(error)))
