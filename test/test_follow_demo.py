"""The drawn world around the virtual camera, and the demo through the live nodes."""

from __future__ import annotations

import subprocess
import sys
from math import hypot
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from geometry_msgs.msg import Twist, Vector3

from memtrack_ros.tools import follow_demo
from memtrack_ros.tools.follow_demo import (
    BESIDE,
    HIDDEN,
    NEAREST,
    PASSES,
    WIDTH,
    Record,
    World,
)

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 180
SECONDS = 60.0


def test_in_the_beginning_the_target_is_in_the_middle() -> None:
    view = World(9, SECONDS).see(0.0)
    assert view.bearing == pytest.approx((0, 0), abs=1e-6)
    x, y, w, h = view.box
    assert x < 160 < x + w
    assert y < 120 < y + h


@pytest.mark.parametrize('seed', [57, 60, 64, 68, 101])
def test_it_is_day_wherever_a_person_is_to_point(seed: int) -> None:
    # With the cameras that trackers learn with, these have 14 to 38 of 255: nothing is to be seen.
    assert World(seed, SECONDS).see(0.0).picture.mean() > 60


def test_the_camera_moves_by_rep_103() -> None:
    def seen(**speeds: Vector3) -> follow_demo.View:
        world = World(9, SECONDS)
        world.move(Twist(**speeds), 0.5)
        return world.see(0.0)

    left = seen(angular=Vector3(z=0.2)).bearing  # turned by .1 rad
    assert left == pytest.approx((0.1, 0), abs=1e-3)
    assert seen(linear=Vector3(z=0.4)).bearing[1] > 0.02  # risen
    near, far = (seen(linear=Vector3(x=speed)).box for speed in (1.0, -1.0))
    assert near[2] * near[3] > 1.5 * far[2] * far[3]


def test_the_camera_comes_no_nearer_than_it_may() -> None:
    world = World(9, SECONDS)
    begin = world.distance
    world.move(Twist(linear=Vector3(x=1.0)), 100.0)
    assert world.distance == NEAREST * begin


def test_a_camera_at_the_place_of_the_target_looks_at_it() -> None:
    world = World(13, SECONDS)
    for seconds in (5.0, 25.0, 50.0):
        world.yaw, world.height = world.place(seconds)
        view = world.see(seconds)
        assert view.bearing == pytest.approx((0, 0), abs=1e-5)


def test_the_target_walks_further_than_a_camera_at_rest_sees() -> None:
    for seed in follow_demo.DEMO_SEEDS:
        world = World(seed, SECONDS)
        aside = [hypot(*np.tan(world.see(float(t)).bearing)) for t in range(0, 60, 2)]
        assert max(aside) > 120 / follow_demo.FOCAL


@pytest.mark.parametrize('seed', [9, 13, 302, 303])
def test_a_look_alike_passes_twice_and_is_out_of_view_before_and_after(seed: int) -> None:
    world = World(seed, SECONDS)
    scenes = world._scenes
    width = float(scenes.target_place(torch.zeros(1, 1))[0, 0, 2])

    def apart(seconds: float) -> tuple[float, float]:
        times = world._time(seconds)
        target, alike = (layer.path.at(times) for layer in (scenes.target, scenes.behind.layer))
        across, down = (alike - target)[0, 0, :2].tolist()
        return across, down

    def height(seconds: float) -> float:
        world.yaw, world.height = world.place(seconds)
        return float(world.see(seconds).box[3] * world.distance / follow_demo.FOCAL)

    highest = max(width, *(height(share * SECONDS) for share in (0.0, *PASSES)))
    for share in PASSES:
        across, down = apart(share * SECONDS)
        assert across == pytest.approx(0, abs=0.05 * width)
        assert BESIDE[0] - 0.05 <= abs(down) / highest <= BESIDE[1] + 0.05  # a pixel
    view = 0.5 * WIDTH * world.distance / follow_demo.FOCAL
    for seconds in (0.0, 0.5 * SECONDS, SECONDS):
        assert abs(apart(seconds)[0]) > view


def test_nothing_but_the_panel_hides_the_target() -> None:
    # Things passed in front of it here, while its look-alike was beside it.
    world = World(304, SECONDS)
    scenes = world._scenes
    for seconds in (9.8, 10.0, 50.8):
        times = world._time(seconds)
        x, y, _ = scenes.target_place(times)[0, 0].tolist()
        window = torch.tensor([[[x, y, world.distance / follow_demo.FOCAL]]])
        clip = scenes.render(times, window, follow_demo.HEIGHT, WIDTH)
        assert float(clip.visibility) == pytest.approx(1, abs=0.01)


def test_the_target_is_hidden_for_a_while() -> None:
    world = World(9, SECONDS)
    begin = world.hides
    for seconds, hidden in ((begin - 0.1, False), (begin, True), (begin + HIDDEN, False)):
        world.yaw, world.height = world.place(seconds)
        view = world.see(seconds)
        assert view.hidden is hidden
        assert np.isnan(view.box).all() == hidden


def test_a_record_says_how_well_the_target_was_followed() -> None:
    record = Record(in_view=[True, True, True, False], errors=[(0.3, 0.4), (0.0, 0.0)], lost=10.0)
    record.commands = [(9.9, 1.0), (10.1, 1.0), (10.4, 0.5), (10.5, 0.0), (10.6, 0.0)]
    assert record.share() == 0.75
    assert record.rms() == pytest.approx((0.25 / 2) ** 0.5)
    assert record.stopping() == pytest.approx(0.4)


def test_the_demo_goes_through_the_live_nodes(domain: None, tmp_path: Path) -> None:
    """How well it follows depends on the machine; here, that all of it takes part."""
    ended = subprocess.run(
        [
            sys.executable,
            '-m',
            'memtrack_ros.tools.follow_demo',
            '--seconds',
            '3',
            '--out',
            tmp_path,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stderr
    for said in ('images/s', 'TRACKING in', 'in view', 'rms bearing error', 'at rest'):
        assert said in ended.stdout
    assert cv2.imread(str(tmp_path / 'follow.png')) is not None
    assert cv2.VideoCapture(str(tmp_path / 'follow.mp4')).read()[0]
