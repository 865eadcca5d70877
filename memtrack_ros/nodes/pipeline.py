"""From the newest image to its target: the thread between the camera and the publishers."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from math import nan

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from std_msgs.msg import Header

from memtrack_ros.errors import MemtrackError, PromptError, SnapshotError
from memtrack_ros.nodes import messages, prompts
from memtrack_ros.nodes.drawing import Drawing
from memtrack_ros.nodes.frames import AnyImage, Frames, Turn, nanoseconds
from memtrack_ros.session import UNPROCESSED, Estimate, Presence, Session, Snapshot, State
from memtrack_ros.srv import InitTarget
from memtrack_ros.wire import images
from memtrack_ros.wire.stamps import seconds

_MOST_REASONS = 100
_CATCH_UP = 2.0  # times as fast as the images came, at least


class Pipeline:
    """A session, fed by a camera between start and stop.

    A thread takes the newest image, steps the session, publishes, and only then lets it remember.
    Requests come from one other thread at a time: whoever has the turn has the session to itself.
    A request for another tracker makes a new session, which takes the place of the present one once
    it has the target.
    """

    def __init__(
        self,
        node: LifecycleNode,
        session: Session,
        *,
        target: LifecyclePublisher,
        mask: LifecyclePublisher,
        overlay: LifecyclePublisher,
        next_id: Callable[[], int],
        make: Callable[[str, str], Session],
        drop: Callable[[], None],
    ) -> None:
        """`make` gives a session with the tracker of a name and a variant, warmed up.

        `drop` frees what a session held that is no more.
        """
        self.session = session
        self.frames: Frames | None = None
        """What came since started; None while stopped."""
        self.processed = 0
        """Images that were answered with a target."""
        self.image_age = nan
        """Seconds from the stamp of the newest of these to its target."""
        self.error = ''
        """Why an image could not be processed; empty again once one is."""
        self._node = node
        self._target, self._mask, self._overlay = target, mask, overlay
        self._next_id, self._make, self._drop = next_id, make, drop
        self._configured = session.tracker.name, session.tracker.variant
        self._closed = False
        self._target_id = 0
        self._last_seen = Time()
        self._state = State.IDLE
        self.turn = Turn()
        self._thread: threading.Thread | None = None
        self._drawing: Drawing | None = None
        self._reasons: set[str] = set()
        session.pause()

    def start(self, frames: Frames) -> None:
        """Processes what comes into these frames, until stopped.

        A target that is kept from before is searched for.
        """
        self._reasons.clear()
        self.error = ''
        with self.turn():
            self.session.resume()
            self.frames = frames
        self._drawing = Drawing(self._overlay, self._report_alive)
        self._thread = threading.Thread(target=self._run, args=[frames], name='pipeline')
        self._thread.start()

    def stop(self) -> None:
        """Ends with the image at hand; the target stays, the bank is frozen."""
        if self.frames is not None and self._thread is not None:
            self.frames.newest.close()
            self._thread.join()
            if self._drawing is not None:
                self._drawing.close()
            with self.turn():
                self.frames = self._thread = self._drawing = None
                self.session.pause()

    def judge(self, presence: Presence) -> None:
        """From the next image on, what counts as seen is this."""
        self.session.presence = presence

    def close(self) -> None:
        """Takes no target any more."""
        with self.turn():
            self._closed = True

    def prompt(self, request: InitTarget.Request) -> tuple[int, Time]:
        """Sets the target; returns its id and the stamp of the image that was used.

        Raises PromptError, ImageError, ConfigurationError: the earlier target is then still the
        target.
        """
        frames = self.frames
        if frames is None:
            raise PromptError('the node is inactive: activate it, then prompt')
        image = frames.recent.find(request.stamp)
        frame = frames.decode(image)
        height, width = frame.shape[:2]
        prompt = prompts.from_request(request, width, height)
        configured, variant = self._configured
        session = self._session_with(request.tracker or configured, variant)
        with self.turn():
            if self.frames is not frames:
                raise PromptError('the node was deactivated meanwhile: activate it, then prompt')
            stamp = image.header.stamp
            session.prompt(frame, prompt, seconds(stamp))
            target_id = self._follow(session, stamp)
            if nanoseconds(stamp):
                self._catch_up(frames, nanoseconds(stamp))
            return target_id, stamp

    def snapshot(self) -> Snapshot:
        """All that is known of the target; raises SnapshotError without one."""
        with self.turn():
            return Snapshot.of(self.session)

    def restore(self, snapshot: Snapshot) -> int:
        """Goes on from a snapshot, with its tracker; returns the id of the target.

        Raises SnapshotError, ConfigurationError: the earlier target is then still the target.
        """
        session = self._session_with(snapshot.tracker, snapshot.variant)
        with self.turn():
            if self._closed:
                raise SnapshotError('the node was cleaned up meanwhile: configure it, then load')
            if self.frames is None:
                session.pause()
            snapshot.restore(session)
            return self._follow(session, Time())

    def reset(self) -> None:
        """Forgets the target."""
        with self.turn():
            self.session.reset()

    def _session_with(self, tracker: str, variant: str) -> Session:
        """The present session if this is its tracker, else a new one."""
        present = self.session.tracker
        if (present.name, present.variant) == (tracker, variant):
            return self.session
        return self._make(tracker, variant)

    def _follow(self, session: Session, last_seen: Time) -> int:
        """Makes the target of a session the one that is followed, under a new id."""
        if session is not self.session:
            session.presence = self.session.presence
            self.session = session
            self._drop()
        self._target_id, self._last_seen = self._next_id(), last_seen
        return self._target_id

    def _catch_up(self, frames: Frames, stamp: int) -> None:
        """Follows the target through the images kept since `stamp`, up to the newest.

        Of these it takes so few that it is faster than they came.
        """
        next_stamp = stamp + 1
        while (image := frames.recent.after(next_stamp)) is not None:
            began = time.perf_counter()
            try:
                estimate = self.session.step(frames.decode(image), seconds(image.header.stamp))
                self.session.remember()
                if estimate.state is State.TRACKING:
                    self._last_seen = image.header.stamp
            except MemtrackError as error:
                self._report(error)
            lead = round(_CATCH_UP * (time.perf_counter() - began) * 1e9)
            next_stamp = nanoseconds(image.header.stamp) + max(lead, 1)

    def _run(self, frames: Frames) -> None:
        while frames.newest.wait():
            with self.turn():
                # Taken only now: a prompt that came first may be for an image newer than the one
                # that ended the wait.
                image = frames.newest.take()
                if image is None:
                    continue
                try:
                    self._process(image, frames)
                except Exception as error:
                    self._report_alive(error)

    def _process(self, image: AnyImage, frames: Frames) -> None:
        began = time.perf_counter()
        frame = None
        try:
            frame = frames.decode(image)
            taken = seconds(image.header.stamp)
            if taken is None:
                self._warn('the images carry no stamps: they are taken to come at 30 Hz')
            estimate = self.session.step(frame, taken)
        except Exception as error:  # whatever it is, the next image may be a good one
            estimate = UNPROCESSED
            self._report(error)
        self._publish_target(estimate, image, images.image_size(image, frame), frames, began)
        if frame is not None:
            self._publish_pictures(estimate, frame, image.header)
        if estimate.state != State.ERROR:
            try:
                self.session.remember()
                self.error = ''
            except Exception as error:
                self._report(error)

    def _publish_target(
        self,
        estimate: Estimate,
        image: AnyImage,
        size: tuple[int, int],
        frames: Frames,
        began: float,
    ) -> None:
        if estimate.state == State.TRACKING:
            self._last_seen = image.header.stamp
        idle = self.session.state == State.IDLE
        self.image_age = self._age(image.header)
        self._target.publish(
            messages.estimate_to_target(
                estimate,
                image.header,
                size,
                target_id=0 if idle else self._target_id,
                tracker=self.session.tracker.name,
                calibration=frames.calibration,
                last_seen=None if idle else self._last_seen,
                memory=self.session.memory,
                processing_time=time.perf_counter() - began,
                image_age=self.image_age,
                frames_dropped=frames.newest.dropped,
            )
        )
        self.processed += 1
        self._log_state()

    def _publish_pictures(
        self, estimate: Estimate, frame: NDArray[np.uint8], header: Header
    ) -> None:
        if estimate.mask is not None and self._mask.get_subscription_count():
            self._mask.publish(messages.mask_to_image(estimate.mask, header))
        if self._drawing is not None and self._overlay.get_subscription_count():
            self._drawing.put((frame, estimate, header))

    def _age(self, header: Header) -> float:
        """Seconds since the image was taken; nan without a stamp, or with one of a time to come."""
        stamp = nanoseconds(header.stamp)
        age = self._node.get_clock().now().nanoseconds - stamp
        return age / 1e9 if stamp and age >= 0 else nan

    def _log_state(self) -> None:
        """Says when the target's state is another than before."""
        state = self.session.state
        if state != self._state:
            self._node.get_logger().info(
                f'target {self._target_id}: {self._state.name} -> {state.name}'
            )
            self._state = state

    def _warn(self, text: str) -> None:
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
