"""The camera node as a process, heard over DDS."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from memtrack_ros.msg import TrackedTarget
from processes import await_import, await_output
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from memtrack_ros.camera import sources
from memtrack_ros.camera.camera_node import calibration
from memtrack_ros.camera.sources import Ahead, Shot
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nodes import messages
from memtrack_ros.nodes.frames import nanoseconds
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.tools.processes import NodeProcess

DEADLINE = 180
RELIABLE = {
    'qos_overrides./camera/image_raw.publisher.reliability': 'reliable',
    'qos_overrides./camera/image_raw.publisher.depth': 100,
}
RATE = 25.0


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 20 even images, each ten levels brighter than the one before."""
    path = tmp_path_factory.mktemp('video') / 'ramp.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), RATE, (160, 120))
    for k in range(20):
        writer.write(np.full((120, 160, 3), 10 * k + 20, np.uint8))
    writer.release()
    return path


class Listener:
    """What a camera in the namespace /camera publishes."""

    def __init__(self) -> None:
        self.node = Node('listener')
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.truths: list[TrackedTarget] = []
        deep = QoSProfile(depth=100)
        for kind, topic, qos, store in (
            (Image, 'image_raw', deep, self.images),
            (CameraInfo, 'camera_info', qos_profile_sensor_data, self.infos),
            (TrackedTarget, 'camera/truth', deep, self.truths),
        ):
            self.node.create_subscription(kind, f'/camera/{topic}', store.append, qos)

    def until(self, ready: Callable[[], Any]) -> None:
        end = time.monotonic() + DEADLINE
        while not ready():
            assert time.monotonic() < end, 'deadline'
            rclpy.spin_once(self.node, timeout_sec=0.1)


@pytest.fixture
def listener(domain: None) -> Iterator[Listener]:
    rclpy.init()
    heard = Listener()
    yield heard
    heard.node.destroy_node()
    rclpy.shutdown()


def camera(**parameters: str | float) -> NodeProcess:
    return NodeProcess('camera.camera_node', {**RELIABLE, **parameters}, {'__ns': '/camera'})


def test_video_is_played_once_in_order_and_at_its_rate(listener: Listener, video: Path) -> None:
    with camera(source=str(video), loop=False, wait_for_nodes=1) as process:
        listener.until(lambda: process.code is not None)
        listener.until(lambda: len(listener.images) == 20)
        assert process.code == 0
        assert 'ended after 20 images' in process.output()
    levels = [messages.image_to_bgr(image).mean() for image in listener.images]
    assert np.allclose(levels, [10 * k + 20 for k in range(20)], atol=4)
    stamps = [nanoseconds(image.header.stamp) for image in listener.images]
    assert (np.diff(stamps) > 0).all()
    # Never faster than the rate; how much slower is the machine's affair.
    assert stamps[-1] - stamps[0] > 0.9 * 19 / RATE * 1e9


def test_camera_info_goes_with_the_image(listener: Listener, video: Path) -> None:
    with camera(source=str(video), frame_id='eye', rate=100.0) as process:
        listener.until(lambda: len(listener.images) > 22 and listener.infos)
        process.stop()
        assert process.code == 0
    assert {image.header.frame_id for image in listener.images} == {'eye'}
    info = listener.infos[0]
    assert info.header in [image.header for image in listener.images]
    assert (info.width, info.height, info.k[0]) == (160, 120, 0)


def test_drawn_scene_comes_with_its_truth(listener: Listener) -> None:
    scene = drawn_scene(seed=5, width=96, height=64, frames=4)
    with camera(seed=5, width=96, height=64, frames=4, rate=20.0, wait_for_nodes=1) as process:
        listener.until(lambda: len(listener.images) > 8 and len(listener.truths) > 8)
        process.stop()
    for t in range(8):  # the second round shows the same
        image, truth, drawn = listener.images[t], listener.truths[t], scene.render(t % 4)
        # How the work is split over threads may show in the last bit.
        assert np.allclose(messages.image_to_bgr(image), drawn.image, atol=2)
        assert truth.header == image.header
        assert (truth.image_width, truth.image_height) == (96, 64)
        if np.isnan(drawn.box).any():
            assert truth.state == TrackedTarget.OCCLUDED
            assert np.isnan(truth.roi).all()
        else:
            assert truth.state == TrackedTarget.TRACKING
            assert np.allclose(truth.roi, drawn.box, atol=1)
            assert truth.box.size_x > 0


@pytest.mark.parametrize(
    ('parameters', 'sentence'),
    [
        ({'source': '/nowhere/film.mp4'}, 'the video /nowhere/film.mp4 is not there'),
        ({'source': __file__}, 'cannot be read as a video'),
        ({'source': '/dev/video99'}, 'the webcam /dev/video99 does not open'),
        ({'source': 99}, 'the webcam 99 does not open'),
        ({'rate': -1.0}, 'rate'),
    ],
)
def test_what_cannot_be_shown_ends_with_a_sentence(
    domain: None, parameters: dict[str, str | float], sentence: str
) -> None:
    with camera(**parameters) as process:
        assert process.wait(DEADLINE) == 1
        assert sentence in process.output()
        assert 'Traceback' not in process.output()


def test_a_looped_video_that_vanishes_ends_the_camera(domain: None, video: Path) -> None:
    film = video.with_name('film.mp4')
    shutil.copy(video, film)
    with camera(source=str(film), rate=500.0) as process:
        await_output(process, 'playing')
        film.unlink()
        assert process.wait(DEADLINE) == 1
        assert f'the video {film} shows nothing any more' in process.output()
        assert 'Traceback' not in process.output()


@pytest.mark.parametrize('keep', [False, True])
def test_a_source_that_runs_dry_can_be_closed(keep: bool) -> None:
    rounds = iter([2, 1, 0])

    def play() -> Iterator[Shot]:
        for _ in range(next(rounds)):
            yield Shot(np.zeros((4, 4, 3), np.uint8))

    shots = sources._rounds('film', play, loop=True, keep=keep)
    if keep:
        assert len(list(islice(shots, 9))) == 9
        return
    ahead = Ahead(shots)
    shown = iter(ahead)
    assert len([next(shown) for _ in range(3)]) == 3
    with pytest.raises(ConfigurationError, match='the film shows nothing any more'):
        next(shown)
    ahead.close()


@pytest.mark.parametrize(
    ('name', 'value'),
    [('source', '~nosuchuser/film.mp4'), ('camera_info_url', '~nosuchuser/eye.yaml')],
)
def test_a_home_that_is_none_is_named(name: str, value: str, video: Path) -> None:
    with camera(**{'source': str(video), name: value}) as process:
        assert process.wait(DEADLINE) == 1
        assert f"{name} '{value}' begins with ~nosuchuser, which is no home" in process.output()


@pytest.mark.parametrize(
    ('remapping', 'sentence'),
    [
        ({'image_raw': '/camera/1x'}, 'names are letters, digits and _ between slashes'),
        ({'__ns': 'a b'}, 'names are letters, digits and _ between slashes'),
    ],
)
def test_a_wrong_name_is_one_sentence(
    domain: None, remapping: dict[str, str], sentence: str
) -> None:
    with NodeProcess('camera.camera_node', {}, remapping) as process:
        assert process.wait(DEADLINE) == 1
        assert sentence in process.output()
        assert 'Traceback' not in process.output()


def test_interrupts_end_it_quietly_whenever_they_come(domain: None, video: Path) -> None:
    with NodeProcess('camera.camera_node', {'source': str(video)}) as process:
        await_import(process.pid, 'rclpy')
        process.interrupt()
        assert (process.wait(DEADLINE), process.output()) == (130, '')
    with NodeProcess('camera.camera_node', {'source': str(video)}) as process:
        await_output(process, 'playing')
        for _ in range(3):
            process.interrupt()
            time.sleep(0.05)
        assert process.wait(DEADLINE) == 0
        assert 'Traceback' not in process.output()


CALIBRATION = """
image_width: 160
image_height: 120
camera_name: eye
camera_matrix: {rows: 3, cols: 3, data: [200, 0, 80, 0, 201, 60, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [200, 0, 80, 0, 0, 201, 60, 0, 0, 0, 1, 0]}
"""


def test_calibration_is_read(tmp_path: Path) -> None:
    path = tmp_path / 'eye.yaml'
    path.write_text(CALIBRATION)
    info = calibration(f'file://{path}', 160, 120)
    assert list(info.k) == [200, 0, 80, 0, 201, 60, 0, 0, 1]
    assert list(info.d) == [0.1, -0.2, 0, 0, 0]
    assert list(info.p)[5] == 201


def test_bad_calibrations_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'eye.yaml'
    with pytest.raises(ConfigurationError, match='cannot be read'):
        calibration(str(path), 160, 120)
    path.write_text('camera_matrix: 3')
    with pytest.raises(ConfigurationError, match='is no calibration'):
        calibration(str(path), 160, 120)
    path.write_text(CALIBRATION)
    with pytest.raises(ConfigurationError, match='160x120, the images have 640x480'):
        calibration(str(path), 640, 480)
