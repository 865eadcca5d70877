"""What /diagnostics says of the tracker node."""

from __future__ import annotations

import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from memtrack_ros.nodes.pipeline import Pipeline

REMEDY = (
    'start camera and tracker with the shared-memory profile (config/fastdds_shm.xml of this '
    'package in FASTRTPS_DEFAULT_PROFILES_FILE and FASTDDS_DEFAULT_PROFILES_FILE), or send '
    'smaller images'
)
"""What to do when the middleware loses images."""


class Health:
    """Looks at the pipeline from time to time and says how it is."""

    def __init__(self) -> None:
        self._received, self._processed, self._lost = _Growth(), _Growth(), _Growth()

    def status(
        self, name: str, pipeline: Pipeline | None, fault: str, seconds: float
    ) -> DiagnosticStatus:
        """An error with its reason, a warning with its remedy, or the state of the target.

        fault: why the last transition failed, if it did. seconds: since the last call.
        """
        status = DiagnosticStatus(name=name, hardware_id=name)
        values: dict[str, object] = {}
        if pipeline is None:
            state = 'unconfigured'
        else:
            values |= _of_tracker(pipeline)
            state = 'inactive' if pipeline.frames is None else pipeline.session.state.name
        values['state'] = state
        warning = ''
        if pipeline is not None and pipeline.frames is not None:
            frames = pipeline.frames
            fault = fault or pipeline.error
            received, lost = self._received(frames.received), self._lost(frames.lost)
            if lost:
                warning = f'{lost} images on {frames.topic} were lost on their way: {REMEDY}'
            elif not received:
                warning = f'no image has come on {frames.topic} in {seconds:g} s'
            values |= {
                'frames per second': self._processed(pipeline.processed) / seconds,
                'image age [s]': pipeline.image_age,
                'images received': frames.received,
                'images dropped': frames.newest.dropped,
                'images missing': frames.missing,
            }
        status.level, status.message = (
            (DiagnosticStatus.ERROR, fault)
            if fault
            else (DiagnosticStatus.WARN, warning)
            if warning
            else (DiagnosticStatus.OK, state)
        )
        status.values = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
        return status


class _Growth:
    """How much a count has grown since the last call; a smaller one has started anew, from 0."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, count: int) -> int:
        last, self._last = self._last, count
        return count - last if count >= last else count


def _of_tracker(pipeline: Pipeline) -> dict[str, object]:
    tracker = pipeline.session.tracker
    bank = tracker.bank.status()
    values: dict[str, object] = {
        'tracker': tracker.name,
        'variant': tracker.variant,
        'device': tracker.device,
        'memory entries': bank.entries,
        'memory capacity': bank.capacity,
        'memory bytes': bank.bytes,
    }
    if tracker.device.type == 'cuda':
        values['GPU memory [bytes]'] = torch.cuda.memory_allocated(tracker.device)
    return values


def _text(value: object) -> str:
    return f'{value:.3f}' if isinstance(value, float) else str(value)
