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
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from memtrack_ros.errors import MemtrackError, PromptError
from memtrack_ros.nodes import messages, overlay, parameters, prompts
from memtrack_ros.nodes.frames import AnyImage, Frames, Turn, nanoseconds
from memtrack_ros.session import Session
from memtrack_ros.srv import InitTarget
from memtrack_ros.trackers import Estimate, State

_UNPROCESSED = Estimate(
    state=State.ERROR,
    confidence=nan,
    score=nan,
    box=None,
    roi=None,
    mask=None,
    mask_is_box=False,
    frames_tracked=0,
)
_MOST_REASONS = 100


class Pipeline:
    """A session, fed by a camera between start and stop.

    A thread takes the newest image, steps the session, publishes, and only then lets it remember.
    Prompts and resets come from other threads: whoever has the turn has the session to itself.
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
    ) -> None:
        self.session = session
        self.frames: Frames | None = None
        """What came since started; None while stopped."""
        self.processed = 0
        """Images that were answered with a target."""
        self.image_age = nan
        """Seconds from the stamp of the newest of these to its target."""
        self.error = ''
        """Why this one could not be processed."""
        self._node = node
        self._target, self._mask, self._overlay = target, mask, overlay
        self._next_id = next_id
        self._target_id = 0
        self._last_seen = Time()
        self.turn = Turn()
        self._thread: threading.Thread | None = None
        self._reasons: set[str] = set()
        session.tracker.bank.frozen = True

    def start(self, frames: Frames) -> None:
        """Processes what comes into these frames, until stopped."""
        self._reasons.clear()
        self.error = ''
        self.session.search()
        self.session.tracker.bank.frozen = False
        self.frames = frames
        self._thread = threading.Thread(target=self._run, args=[frames], name='pipeline')
        self._thread.start()

    def stop(self) -> None:
        """Ends with the image at hand; the target stays, the bank is frozen."""
        if self.frames is not None and self._thread is not None:
            self.frames.newest.close()
            self._thread.join()
            with self.turn():
                self.frames = self._thread = None
                self.session.tracker.bank.frozen = True

    def prompt(self, request: InitTarget.Request) -> tuple[int, Time]:
        """Sets the target; returns its id and the stamp of the image that was used.

        Raises PromptError, ImageError: the earlier target is then still the target.
        """
        name = self.session.tracker.name
        if request.tracker not in ('', name):
            raise PromptError(
                f'tracker {request.tracker!r} is not the configured one, {name!r}: '
                'leave it empty, or clean up, set the parameter tracker and configure again'
            )
        frames = self.frames
        if frames is None:
            raise PromptError('the node is inactive: activate it, then prompt')
        image = frames.recent.find(request.stamp)
        frame = _decode(image)
        height, width = frame.shape[:2]
        prompt = prompts.from_request(request, width, height)
        with self.turn():
            if self.frames is not frames:
                raise PromptError('the node was deactivated meanwhile: activate it, then prompt')
            self.session.prompt(frame, prompt)
            self._target_id = self._next_id()
            self._last_seen = image.header.stamp
            return self._target_id, image.header.stamp

    def reset(self) -> None:
        """Forgets the target."""
        with self.turn():
            self.session.reset()

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
                except Exception as error:  # nothing can be published once ROS is shut down
                    if self._node.context.ok():
                        self._report(error)

    def _process(self, image: AnyImage, frames: Frames) -> None:
        began = time.perf_counter()
        frame = None
        self.error = ''
        try:
            frame = _decode(image)
            self.session.presence = parameters.presence(self._node)
            estimate = self.session.step(frame)
        except Exception as error:  # whatever it is, the next image may be a good one
            estimate = _UNPROCESSED
            self._report(error)
        self._publish_target(estimate, image, frame, frames, began)
        if frame is not None:
            self._publish_pictures(estimate, frame, image.header)
        if estimate.state != State.ERROR:
            try:
                self.session.remember()
            except Exception as error:
                self._report(error)

    def _publish_target(
        self,
        estimate: Estimate,
        image: AnyImage,
        frame: NDArray[np.uint8] | None,
        frames: Frames,
        began: float,
    ) -> None:
        size = _size(image, frame)
        if estimate.state == State.TRACKING:
            self._last_seen = image.header.stamp
        angles = None
        if estimate.box is not None and frames.calibration is not None:
            centre = estimate.box.center_x, estimate.box.center_y
            angles = messages.bearing(frames.calibration, centre, size)
        idle = self.session.state == State.IDLE
        target = messages.estimate_to_target(
            estimate,
            image.header,
            size,
            target_id=0 if idle else self._target_id,
            tracker=self.session.tracker.name,
            bearing=angles,
            last_seen=None if idle else self._last_seen,
            memory=self.session.tracker.bank.status(),
        )
        target.frames_dropped = frames.newest.dropped
        target.image_age = self.image_age = self._age(image.header)
        target.processing_time = time.perf_counter() - began
        self._target.publish(target)
        self.processed += 1

    def _publish_pictures(
        self, estimate: Estimate, frame: NDArray[np.uint8], header: Header
    ) -> None:
        if estimate.mask is not None and self._mask.get_subscription_count():
            self._mask.publish(messages.mask_to_image(estimate.mask, header))
        if self._overlay.get_subscription_count():
            self._overlay.publish(messages.bgr_to_image(overlay.draw(frame, estimate), header))

    def _age(self, header: Header) -> float:
        """Seconds since the image was taken; nan without a stamp, or with one of a time to come."""
        stamp = nanoseconds(header.stamp)
        age = self._node.get_clock().now().nanoseconds - stamp
        return age / 1e9 if stamp and age >= 0 else nan

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


def _decode(image: AnyImage) -> NDArray[np.uint8]:
    if isinstance(image, Image):
        return messages.image_to_bgr(image)
    return messages.compressed_to_bgr(image)


def _size(image: AnyImage, frame: NDArray[np.uint8] | None) -> tuple[int, int]:
    """Width and height, 0 where a compressed image does not decode."""
    if frame is not None:
        return frame.shape[1], frame.shape[0]
    return (image.width, image.height) if isinstance(image, Image) else (0, 0)
