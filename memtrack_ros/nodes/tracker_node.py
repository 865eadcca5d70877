"""The lifecycle node `memtrack`: an image topic and a prompt in, a tracked target out.

configure    the tracker is made and warmed up; on failure nothing is left of it
activate     images are subscribed to and processed
deactivate   no more images; the target stays, the memory bank is frozen
cleanup, shutdown, error    target, bank and weights go
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError, MemtrackError, PromptError
from memtrack_ros.nodes import depths, parameters, running
from memtrack_ros.nodes.depths import Depths
from memtrack_ros.nodes.diagnostics import Health
from memtrack_ros.nodes.frames import Frames
from memtrack_ros.nodes.latched import latched_subscription
from memtrack_ros.nodes.managed import ManagedNode
from memtrack_ros.nodes.outputs import Outputs
from memtrack_ros.nodes.paths import expanded
from memtrack_ros.nodes.pipeline import Pipeline
from memtrack_ros.nodes.positions import Positions
from memtrack_ros.nodes.warm_up import warm_up
from memtrack_ros.session import Group, Snapshot, snapshot_file, snapshot_names
from memtrack_ros.srv import (
    InitTarget,
    ListMemories,
    LoadMemory,
    RemoveTarget,
    SaveMemory,
    SelectTarget,
)
from memtrack_ros.wire.bearing import CameraCalibration, is_rectified

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

_OTHER_TRANSPORTS = 'compressedDepth', 'theora', 'ffmpeg', 'zstd', 'draco'
_OVERRIDABLE = QoSOverridingOptions(
    policy_kinds=(
        QoSPolicyKind.HISTORY,
        QoSPolicyKind.DEPTH,
        QoSPolicyKind.RELIABILITY,
        QoSPolicyKind.DURABILITY,  # rclpy has the others by default
    )
)
_DIAGNOSIS = 1.0
_WARNING = 30.0


class TrackerNode(ManagedNode):
    """See the module; topics, services and parameters are in the README's tables."""

    def __init__(self, **options: Any) -> None:
        """Raises rclpy's ParameterException for a parameter of a wrong type or out of its range."""
        super().__init__('memtrack', **options)
        self.pipeline: Pipeline | None = None
        self._settings: parameters.TrackerNodeSettings | None = None
        self._next_id = partial(next, count(1))
        self._request: threading.Thread | None = None
        self._warned: dict[str, float] = {}
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._judge_parameters)

        # A group of its own: while one request is awaited, everything but the next one goes on,
        # and those behind wait in the middleware, which drops none.
        requests = MutuallyExclusiveCallbackGroup()
        queue = QoSProfile(history=HistoryPolicy.KEEP_ALL)
        for kind, name, work in (
            (InitTarget, 'init_target', self._prompt),
            (Trigger, 'undo', self._undo),
            (Trigger, 'reset', self._forget),
            (SelectTarget, 'select_target', self._select),
            (RemoveTarget, 'remove_target', self._remove),
            (SaveMemory, 'save_memory', self._save),
            (LoadMemory, 'load_memory', self._load),
            (ListMemories, 'list_memories', self._list),
        ):
            serve = partial(self._serve, name, work)
            self.create_service(
                kind, f'~/{name}', serve, qos_profile=queue, callback_group=requests
            )

        self._health = Health(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # A clock that runs when simulated time stands still.
        self.create_timer(
            _DIAGNOSIS,
            self._diagnose,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def free(self) -> None:
        """The GPU's memory as well."""
        _free_memory()

    def close(self) -> None:
        """Ends what it does; to be called once nothing is served any more."""
        if self._request is not None:
            self._request.join()
        super().close()

    def configure(self) -> ExitStack:
        """Makes and warms up the tracker."""
        settings = parameters.settings(self)
        with ExitStack() as made:
            if settings.depth:
                depths.require_filters()
            make = partial(self._make_group, settings)
            group = make(settings.tracker, settings.variant)
            outputs = Outputs(self, publish_tf=settings.publish_tf, made=made)
            self.pipeline = Pipeline(
                self,
                group,
                outputs,
                next_id=self._next_id,
                make=make,
                drop=_free_memory,
            )
            made.callback(setattr, self, 'pipeline', None)
            made.callback(self.pipeline.close)
            self._settings = settings
            return made.pop_all()

    def _make_group(
        self, settings: parameters.TrackerNodeSettings, tracker: str, variant: str
    ) -> Group:
        """A group that is warmed up; another tracker than the configured one is as shipped."""
        configured = (tracker, variant) == (settings.tracker, settings.variant)
        weights = settings.weights if configured else None
        chosen = trackers.Chosen(settings.settings if configured else '')
        made = trackers.create(
            tracker,
            variant,
            weights,
            settings.device,
            settings.max_bytes,
            settings.precision,
            chosen,
        )
        group = Group(
            made,
            parameters.presence(self),
            most=settings.max_targets,
            max_bytes=settings.max_bytes,
        )
        threads = warm_up(group, settings.threads)
        self.get_logger().info(
            f'{tracker} ({variant}, {made.precision}) on {made.device}, {threads} thread(s), '
            f'memory bank of {group.memory.bytes / 2**20:.1f} MiB'
        )
        return group

    def activate(self) -> ExitStack:
        """Subscribes to images."""
        pipeline, settings = self.pipeline, self._settings
        assert pipeline is not None and settings is not None
        with ExitStack() as made:
            image = self.resolve_topic_name('image')
            _refuse_transport(image, settings.image_transport)
            if settings.image_transport == 'compressed':
                kind, topic = CompressedImage, self._remapped('image/compressed')
                topic = topic or f'{image}/compressed'
            else:
                kind, topic = Image, image
            rectified = is_rectified(topic) if settings.rectified is None else settings.rectified
            calibration = CameraCalibration(rectified, self.get_logger().warning)
            depth = self._depths(settings, made) if settings.depth else None
            frames = Frames(
                topic,
                settings.ring,
                calibration,
                settings.ring_bytes,
                kind,
                None if depth is None else depth.expect,
            )
            positions = Positions(calibration, depth, settings.share, pipeline.warn)
            pipeline.start(frames, positions)
            made.callback(pipeline.stop)
            self._calibrate(calibration, 'camera_info', image, made)
            # Humble's rclpy tells nothing of a message but the message.
            numbered = hasattr(Subscription, 'CallbackType')
            receive = frames.receive if numbered else frames.put
            self._subscribe(kind, topic, receive, made, frames.count_lost)
            self.get_logger().info(f'active: images are awaited on {topic}')
            return made.pop_all()

    # Subscriptions

    def _depths(self, settings: parameters.TrackerNodeSettings, made: ExitStack) -> Depths:
        """Subscribes to depth until `made` is closed."""
        topic = self.resolve_topic_name('depth/image')
        calibration = CameraCalibration(is_rectified(topic), self.get_logger().warning)
        self._calibrate(calibration, 'depth/camera_info', topic, made)
        found = Depths(calibration)
        made.enter_context(found.subscribed(self, topic, settings.slop))
        return found

    def _calibrate(
        self, calibration: CameraCalibration, name: str, images: str, made: ExitStack
    ) -> None:
        """Keeps it up to date until `made` is closed.

        By what comes on `name` if that is remapped, else beside the topic of the images; whether it
        is sent again and again or was latched once.
        """
        info = self._remapped(name) or f'{images.rpartition("/")[0]}/camera_info'
        self._subscribe(CameraInfo, info, calibration.update, made)
        made.enter_context(latched_subscription(self, CameraInfo, info, calibration.update))

    def _subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[..., None],
        made: ExitStack,
        lost: Callable[[Any], None] | None = None,
    ) -> None:
        """Subscribes until `made` is closed; `lost` hears of messages the middleware lost.

        A callback of two arguments is told what rclpy knows of the message, too.

        The callbacks must not hold the pipeline: an executor may keep a destroyed subscription for
        a while.
        """
        create = partial(
            self.create_subscription,
            kind,
            topic,
            callback,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=_OVERRIDABLE,
        )

        try:
            subscription = create(event_callbacks=SubscriptionEventCallbacks(message_lost=lost))
        except UnsupportedEventTypeError:
            subscription = create()
        made.callback(self.destroy_subscription, subscription)

    def _remapped(self, name: str) -> str:
        """The full name that a topic was remapped to by its own name; empty when it was not."""
        resolved = self.resolve_topic_name(name)
        return '' if resolved == self.resolve_topic_name(name, only_expand=True) else resolved

    # Services and parameters

    async def _serve(
        self, name: str, work: Callable[[Any, Any], str], request: Any, response: Any
    ) -> Any:
        """Works in a thread, so that images keep coming while it waits for its turn."""
        future, executor = Future(), self.executor
        assert executor is not None  # it is running this

        def run() -> None:
            try:
                self._answer(name, work, request, response)
            finally:
                future.set_result(None)
                executor.wake()

        self._request = threading.Thread(target=run, name=name)
        self._request.start()
        await future
        return response

    def _answer(
        self, name: str, work: Callable[[Any, Any], str], request: Any, response: Any
    ) -> None:
        """Does what is requested; the response says what was done, or why it was not."""
        try:
            response.message = work(request, response)
            response.success = True
            self.get_logger().info(f'{name}: {response.message}')
            return
        except MemtrackError as error:
            response.message = str(error)
            self.get_logger().warning(f'{name} refused: {error}')
        except Exception as error:
            response.message = f'{name} failed: {error!r}; the log of the node says more'
            self.get_logger().error(traceback.format_exc())
        _free_memory()  # only here: the error's traceback kept alive what was made

    def _prompt(self, request: InitTarget.Request, response: InitTarget.Response) -> str:
        response.target_id, response.stamp = self._running().prompt(request)
        done = 'corrected' if request.refine else 'added' if request.add else 'set'
        return f'target {response.target_id} is {done}'

    def _undo(self, request: Trigger.Request, response: Trigger.Response) -> str:
        return f'target {self._running().undo()} is as it was before its correction'

    def _select(self, request: SelectTarget.Request, response: SelectTarget.Response) -> str:
        self._running().select(request.target_id)
        return f'target {request.target_id} is selected'

    def _remove(self, request: RemoveTarget.Request, response: RemoveTarget.Response) -> str:
        self._running().remove(request.target_id)
        return f'target {request.target_id} is removed'

    def _forget(self, request: Trigger.Request, response: Trigger.Response) -> str:
        self._running().reset()
        return 'there is no target now'

    def _save(self, request: SaveMemory.Request, response: SaveMemory.Response) -> str:
        path = self._snapshot_file(request.name)
        self._running().snapshot().save(path)
        response.path = str(path)
        return f'what is known of the target is in {path}'

    def _load(self, request: LoadMemory.Request, response: LoadMemory.Response) -> str:
        pipeline, path = self._running(), self._snapshot_file(request.name)
        snapshot = Snapshot.load(path, self.get_parameter('memory.max_bytes').value)
        response.target_id = pipeline.restore(snapshot)
        return f'target {response.target_id} is that of {path}'

    def _list(self, request: ListMemories.Request, response: ListMemories.Response) -> str:
        response.names = snapshot_names(self._folder())
        return f'{len(response.names)} are in {self._folder()}'

    def _folder(self) -> Path:
        return expanded('memory.folder', self.get_parameter('memory.folder').value)

    def _snapshot_file(self, name: str) -> Path:
        return snapshot_file(self._folder(), name)

    def _running(self) -> Pipeline:
        pipeline = self.pipeline
        if pipeline is None:
            if self.lifecycle() == 'finalized':
                raise PromptError('the node is finalized, for good: start it again')
            raise PromptError('the node is unconfigured: configure and activate it first')
        return pipeline

    def _judge_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        reason = parameters.refusal(self, changes, configured=self.pipeline is not None)
        if not reason and self.pipeline is not None:
            self.pipeline.judge(parameters.presence(self, changes))
        return SetParametersResult(successful=not reason, reason=reason)

    def _diagnose(self) -> None:
        status = self._health.status(self.lifecycle(), self.pipeline, self.fault)
        for kind, warning in self._health.warnings.items():
            self._warn(kind, warning)
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(DiagnosticArray(header=header, status=[status]))

    def _warn(self, kind: str, warning: str) -> None:
        """Logs a warning, but one of its kind only from time to time."""
        now = time.monotonic()
        if now >= self._warned.get(kind, now):
            self._warned[kind] = now + _WARNING
            self.get_logger().warning(warning)


def _refuse_transport(image: str, transport: str) -> None:
    """Raises ConfigurationError for a name of `image` that carries something else than images."""
    base, _, last = image.rpartition('/')
    if last == 'compressed':
        raise ConfigurationError(
            f'image is remapped to {image}, which carries compressed images: set image_transport '
            f'to compressed, and image to {base}'
            if transport == 'raw'
            else f'image is remapped to {image}, which would be compressed twice: with '
            f'image_transport compressed set image to {base}'
        )
    if last in _OTHER_TRANSPORTS:
        raise ConfigurationError(
            f'image is remapped to {image}, but image_transport {last} is not read: set image to '
            f'{base}, and image_transport to one of {", ".join(parameters.TRANSPORTS)}'
        )


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main(args: list[str] | None = None) -> int:
    """Runs the node until it is interrupted; returns the exit code."""
    return running.run('memtrack', lambda _: TrackerNode(), args)


if __name__ == '__main__':
    sys.exit(main())
