"""What /diagnostics says of the tracker node."""

from __future__ import annotations

import time

import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode

from memtrack_ros.nodes.frames import Frames
from memtrack_ros.nodes.pipeline import Pipeline
from memtrack_ros.nodes.roster import Overview

START = 10.0
"""Seconds from activation to the first image: a camera has to start, too."""

PAUSE = 3.0
"""Seconds between images of a camera that delivers."""

REMEDY = (
    'start camera and tracker with the shared-memory profile (config/fastdds_shm.xml of this '
    'package in FASTRTPS_DEFAULT_PROFILES_FILE and FASTDDS_DEFAULT_PROFILES_FILE), or send '
    'smaller images'
)
"""What to do when the middleware loses images."""

_OTHER_KIND = {
    'sensor_msgs/msg/Image': 'set image_transport to raw',
    'sensor_msgs/msg/CompressedImage': 'set image_transport to compressed',
}


class Health:
    """Looks at the node's pipeline from time to time and says how it is."""

    def __init__(self, node: LifecycleNode) -> None:
        self.warnings: dict[str, str] = {}
        """What is not as it should be at present, by kind: each with its remedy."""
        self._node = node
        self._name = f'{node.get_fully_qualified_name()[1:]}: tracker'
        self._received, self._processed, self._lost = _Growth(), _Growth(), _Growth()
        self._looked = time.monotonic()
        self._waiting_since = self._looked
        """When it was activated, or the latest image had come."""

    def status(self, lifecycle: str, pipeline: Pipeline | None, fault: str) -> DiagnosticStatus:
        """An error with its reason, a warning with its remedy, or the state of the target.

        lifecycle: the node's. fault: why the last transition failed, if it did.
        """
        now = time.monotonic()
        seconds, self._looked = now - self._looked, now
        self.warnings.clear()
        values: dict[str, object] = {}
        state = lifecycle
        frames = None
        if pipeline is not None:
            values |= _of_targets(pipeline.overview)
            frames = pipeline.frames
        if pipeline is None or frames is None:
            self._waiting_since = now
        else:
            state = pipeline.overview.state.name
            fault = fault or pipeline.error
            self._watch(frames, now)
            values |= _of_frames(frames)
            values['frames per second'] = self._processed(pipeline.processed) / seconds
            values['image age [s]'] = pipeline.image_age
        values['state'] = state
        warning = '; '.join(self.warnings.values())
        level, message = (
            (DiagnosticStatus.ERROR, fault)
            if fault
            else (DiagnosticStatus.WARN, warning)
            if warning
            else (DiagnosticStatus.OK, state)
        )
        return DiagnosticStatus(
            level=level,
            name=self._name,
            hardware_id=self._name,
            message=message,
            values=[KeyValue(key=key, value=_text(value)) for key, value in values.items()],
        )

    def _watch(self, frames: Frames, now: float) -> None:
        if self._received(frames.received):
            self._waiting_since = now
        waited = now - self._waiting_since
        if waited >= (PAUSE if frames.received else START):
            self.warnings['no image'] = (
                f'no image has come on {frames.topic} for {waited:.0f} s{self._reason(frames)}'
            )
        if lost := self._lost(frames.lost):
            self.warnings['lost'] = (
                f'{lost} images on {frames.topic} were lost on their way: {REMEDY}'
            )

    def _reason(self, frames: Frames) -> str:
        """Why nothing comes, as far as can be seen."""
        publishers = self._node.get_publishers_info_by_topic(frames.topic)
        kinds = sorted({publisher.topic_type for publisher in publishers})
        if not kinds:
            return ': nobody publishes there; start the camera, or remap image'
        if f'sensor_msgs/msg/{frames.kind.__name__}' in kinds:
            return ''
        return f': it is published as {kinds[0]}; {_OTHER_KIND.get(kinds[0], "remap image")}'


class _Growth:
    """How much a count has grown since the last call; a smaller one has started anew, from 0."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, count: int) -> int:
        last, self._last = self._last, count
        return count - last if count >= last else count


def _of_frames(frames: Frames) -> dict[str, object]:
    images, size = frames.recent.held()
    return {
        'images received': frames.received,
        'images dropped': frames.newest.dropped,
        'images missing': frames.missing,
        'images kept': images,
        'images kept [bytes]': size,
    }


def _of_targets(overview: Overview) -> dict[str, object]:
    values: dict[str, object] = {
        'targets': f'{overview.followed} of {overview.most}',
        'tracker': overview.tracker,
        'variant': overview.variant,
        'device': overview.device,
        'memory entries': overview.memory.entries,
        'memory capacity': overview.memory.capacity,
        'memory bytes': overview.memory.bytes,
    }
    if overview.device.startswith('cuda'):
        values['GPU memory [bytes]'] = torch.cuda.memory_allocated(overview.device)
    return values


def _text(value: object) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
