"""Trackers that others would use: OpenCV's, as followers in the same run.

KCF and CSRT are in OpenCV's contributed modules; NanoTrack, ViTTrack and DaSiamRPN need their model
files (https://github.com/opencv/opencv_zoo, https://github.com/HonglinChu/SiamTrackers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from memtrack_ros.errors import ConfigurationError, TrackingError
from memtrack_ros.evaluation.runner import Prediction
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels


class Peer(NamedTuple):
    """One of OpenCV's trackers: its class, and its model files by the parameter that takes them."""

    kind: str
    models: dict[str, str]


PEERS = {
    'kcf': Peer('TrackerKCF', {}),
    'csrt': Peer('TrackerCSRT', {}),
    'mil': Peer('TrackerMIL', {}),
    'nano': Peer(
        'TrackerNano',
        {'backbone': 'nanotrack_backbone_sim.onnx', 'neckhead': 'nanotrack_head_sim.onnx'},
    ),
    'vit': Peer('TrackerVit', {'net': 'object_tracking_vittrack_2023sep.onnx'}),
    'dasiamrpn': Peer(
        'TrackerDaSiamRPN',
        {
            'model': 'dasiamrpn_model.onnx',
            'kernel_r1': 'dasiamrpn_kernel_r1.onnx',
            'kernel_cls1': 'dasiamrpn_kernel_cls1.onnx',
        },
    ),
}


class PeerFollower:
    """One of OpenCV's trackers, made anew for every target. It takes whole pixels."""

    segments = False

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def start(self, frame: Pixels, box: Floats, mask: Pixels | None) -> None:
        """Take the target by its box, as far as it lies in the frame, rounded."""
        self._tracker = self._make()
        inside = boxes.intersect(box, frame.shape[1], frame.shape[0])
        with _as_tracking_error():
            self._tracker.init(frame, tuple(int(value) for value in np.rint(inside)))

    def follow(self, frame: Pixels) -> Prediction:
        """Its box, if it says that it has one."""
        with _as_tracking_error():
            found, box = self._tracker.update(frame)
        return Prediction(np.asarray(box, float) if found else None)


@contextmanager
def _as_tracking_error() -> Iterator[None]:
    """TrackingError where OpenCV fails, by what it says first."""
    try:
        yield
    except cv2.error as error:
        reason = ' '.join(str(error).split())
        raise TrackingError(f"OpenCV's tracker fails ({reason}); leave this peer out") from error


def create(name: str, models: Path | None) -> PeerFollower:
    """The peer called `name`, with its files in the folder `models`.

    ConfigurationError where it is unknown, OpenCV has it not, or a file is missing.
    """
    if name not in PEERS:
        raise ConfigurationError(f'There is no peer {name!r}; name some of: {", ".join(PEERS)}.')
    peer = PEERS[name]
    if not hasattr(cv2, peer.kind):
        raise ConfigurationError(
            f'OpenCV {cv2.__version__} has no {peer.kind} here; install its contributed modules: '
            'pip install --no-deps --force-reinstall opencv-contrib-python-headless=='
            f'{cv2.__version__}.*'
        )
    if not peer.models:
        return PeerFollower(getattr(cv2, peer.kind).create)
    parameters = getattr(cv2, f'{peer.kind}_Params')()
    for parameter, file in peer.models.items():
        path = (models or Path()) / file
        if not path.is_file():
            raise ConfigurationError(
                f'The peer {name} needs {file}; name the folder that it lies in with --models.'
            )
        setattr(parameters, parameter, str(path))
    return PeerFollower(lambda: getattr(cv2, peer.kind).create(parameters))
