"""Several targets, corrections and positions over DDS, through the live node."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import isnan
from typing import Any

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from memtrack_ros.msg import TrackedTarget, TrackedTargets
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from stage import ACTIVATE, CLEANUP, CONFIGURE, SIZE, Stage, staged
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from memtrack_ros.evaluation.metrics import success_auc
from memtrack_ros.geometry import boxes
from memtrack_ros.nodes.frames import nanoseconds
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import State
from memtrack_ros.wire import images

pytestmark = pytest.mark.usefixtures('ros')

PLACES = (30, 40, 44, 36), (220, 50, 50, 40), (120, 150, 40, 50)  # x, y, w, h
FOCAL = 300.0


def picture() -> np.ndarray[Any, Any]:
    """Three textured things before a plain ground."""
    rng = np.random.default_rng(8)
    frame = cv2.resize(rng.integers(60, 100, (24, 32, 3), np.uint8), SIZE)
    for (x, y, w, h), colour in zip(PLACES, ((0, 0, 255), (0, 255, 0), (255, 80, 0)), strict=True):
        thing = cv2.resize(rng.integers(0, 120, (6, 6, 3), np.uint8), (w, h))
        frame[y : y + h, x : x + w] = np.maximum(thing, colour)
    return np.asarray(frame, np.uint8)


FRAME = picture()


class Crowd(Stage):
    """A client that hears of all targets, too."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, masks=True, **options)
        self.all: dict[int, TrackedTargets] = {}
        self.labels: dict[int, Any] = {}
        self.poses: dict[int, PoseStamped] = {}
        name = f'{self.space}/memtrack'
        qos = QoSProfile(depth=20)
        for kind, topic, store in (
            (TrackedTargets, 'targets', self.all),
            (Image, 'labels', self.labels),
            (PoseStamped, 'pose', self.poses),
        ):
            self.create_subscription(kind, f'{name}/{topic}', self._into(store), qos)
        self.markers: list[MarkerArray] = []
        self.create_subscription(MarkerArray, f'{name}/markers', self.markers.append, qos)
        self.infos = self.create_publisher(CameraInfo, f'{self.space}/camera_info', 1)

    def _into(self, store: dict[int, Any]) -> Any:
        return lambda message: store.__setitem__(nanoseconds(message.header.stamp), message)

    def told(self) -> tuple[TrackedTarget, TrackedTargets, np.ndarray[Any, Any]]:
        """What is said of the next image: the selected target, all, their labels."""
        target = self.next(FRAME)
        stamp = nanoseconds(target.header.stamp)
        self.until(lambda: stamp in self.all and stamp in self.labels, 'all of it')
        labels = self.labels[stamp]
        return target, self.all[stamp], images._pixels(labels, images.ENCODINGS['mono8'])[..., 0]

    def calibrate(self) -> None:
        info = CameraInfo(width=SIZE[0], height=SIZE[1], distortion_model='plumb_bob')
        info.k = [FOCAL, 0.0, 159.5, 0.0, FOCAL, 119.5, 0.0, 0.0, 1.0]
        frames = self.tracker.pipeline.frames

        def sent() -> bool:
            self.infos.publish(info)
            return frames.calibration.lens is not None

        self.until(sent, 'the calibration')


@pytest.fixture(scope='module')
def crowd(ros: None) -> Iterator[Crowd]:
    with staged('-p tracker:=stmtrack -p max_targets:=3', kind=Crowd) as made:
        made.bring(CONFIGURE, ACTIVATE)
        made.calibrate()
        yield made


@pytest.fixture
def empty(crowd: Crowd) -> Crowd:
    assert crowd.reset().success
    crowd.publish(FRAME)
    target, everyone, labels = crowd.told()
    assert (target.state, target.target_id) == (State.IDLE, 0)
    assert (everyone.selected, list(everyone.targets)) == (0, [])
    assert not labels.any()
    return crowd


def test_three_targets_have_ids_and_disjoint_labels(empty: Crowd) -> None:
    ids = [empty.init_target(box=box, add=True).target_id for box in PLACES]
    assert len(set(ids)) == 3 and ids == sorted(ids)
    for _ in range(3):
        target, everyone, labels = empty.told()
    assert [one.target_id for one in everyone.targets] == ids
    assert everyone.selected == target.target_id == ids[-1]
    assert {one.state for one in everyone.targets} == {State.TRACKING}
    for number, (x, y, w, h) in enumerate(PLACES, 1):
        inside = labels[y : y + h, x : x + w] == number
        assert inside.mean() > 0.8
        assert (labels == number).sum() < 1.3 * w * h
    for one, (x, y, w, h) in zip(everyone.targets, PLACES, strict=True):
        assert one.mask_area == (labels == everyone.targets.index(one) + 1).sum()
        assert one.box.center_x == pytest.approx(x + w / 2, abs=4)
        assert one.box.center_y == pytest.approx(y + h / 2, abs=4)

    refusal = empty.init_target(box=(10, 200, 30, 30), add=True)
    assert (refusal.success, '3 targets are followed' in refusal.message) == (False, True)
    assert [one.target_id for one in empty.told()[1].targets] == ids

    assert empty.select_target(ids[0]).success
    target, everyone, _ = empty.told()
    assert target.target_id == everyone.selected == ids[0]
    mask = images.image_to_mask(empty.mask(target.header.stamp))
    assert mask[PLACES[0][1] + 10, PLACES[0][0] + 10]
    assert not mask[PLACES[1][1] + 10, PLACES[1][0] + 10]

    # Without add it is the selected one that is replaced.
    replaced = empty.init_target(box=PLACES[0]).target_id
    assert [one.target_id for one in empty.told()[1].targets] == [*ids[1:], replaced]
    assert replaced > ids[-1]

    assert empty.remove_target(replaced).success
    target, everyone, _ = empty.told()
    assert [one.target_id for one in everyone.targets] == ids[1:]
    assert target.target_id == ids[-1]
    again = empty.init_target(box=PLACES[0], add=True).target_id
    assert again > replaced


def test_three_targets_are_followed_as_well_as_each_alone(empty: Crowd) -> None:
    """In four drawn scenes side by side, with a target in each of three."""
    scenes = [drawn_scene(seed, *SIZE) for seed in (4, 6, 7, 8)]
    shown = [[scene.render(number) for number in range(20)] for scene in scenes]
    corners = np.array([(0, 0), (SIZE[0], 0), (0, SIZE[1])])
    frames = []
    for a, b, c, d in zip(*shown, strict=True):
        top, bottom = np.hstack([a.image, b.image]), np.hstack([c.image, d.image])
        frames.append(np.vstack([top, bottom]))
    truth = np.array([[frame.box for frame in scene] for scene in shown[:3]])
    truth[..., :2] += corners[:, None]

    def aucs(*followed: int) -> list[float]:
        assert empty.reset().success
        first = empty.publish(frames[0])
        empty.target(first)
        ids = [
            empty.init_target(box=truth[number, 0], stamp=first, add=True).target_id
            for number in followed
        ]
        answers = []
        for frame in frames[1:]:
            stamp = nanoseconds(empty.next(frame).header.stamp)
            empty.until(lambda stamp=stamp: stamp in empty.all, 'all targets')
            found = {one.target_id: one.roi for one in empty.all[stamp].targets}
            answers.append([found[target_id] for target_id in ids])
        return [
            success_auc(boxes.iou(np.array(answers)[:, at], truth[number, 1:]))
            for at, number in enumerate(followed)
        ]

    together = aucs(0, 1, 2)
    alone = [auc for number in range(3) for auc in aucs(number)]
    assert min(alone) > 0.3
    np.testing.assert_allclose(together, alone, atol=0.02)


@pytest.mark.parametrize('what', ['select_target', 'remove_target'])
def test_an_unknown_id_is_refused_by_name(empty: Crowd, what: str) -> None:
    refusal = getattr(empty, what)(7_000)
    assert not refusal.success
    assert refusal.message == 'there is no target 7000: followed are none'
    known = empty.init_target(box=PLACES[0]).target_id
    refusal = getattr(empty, what)(7_000)
    assert f'followed are {known}' in refusal.message
    assert empty.told()[0].target_id == known


def test_another_tracker_takes_over_from_one_target_only(empty: Crowd) -> None:
    ids = [empty.init_target(box=box, add=True).target_id for box in PLACES[:2]]
    refusal = empty.init_target(box=PLACES[2], tracker='dmv', add=True)
    assert (refusal.success, '2 other targets are followed' in refusal.message) == (False, True)
    refusal = empty.init_target(box=PLACES[2], tracker='dmv')
    assert (refusal.success, '1 other targets are followed' in refusal.message) == (False, True)
    assert [one.target_id for one in empty.told()[1].targets] == ids
    assert empty.remove_target(ids[0]).success
    answer = empty.init_target(box=PLACES[2], tracker='dmv')
    assert answer.success, answer.message
    added = empty.init_target(box=PLACES[0], add=True)  # by the same tracker as the others
    assert added.success, added.message
    assert {one.tracker for one in empty.told()[1].targets} == {'dmv'}
    assert empty.reset().success
    assert empty.init_target(box=PLACES[0], tracker='stmtrack').success


def test_a_target_is_corrected_and_the_correction_taken_back(empty: Crowd) -> None:
    target_id = empty.init_target(box=PLACES[0]).target_id
    for _ in range(3):
        before = empty.told()[0]
    wrong = empty.init_target(box=PLACES[1], refine=True)
    assert wrong.success, wrong.message
    assert wrong.target_id == target_id
    after = empty.told()[0]
    assert after.target_id == target_id
    assert after.box.center_x == pytest.approx(PLACES[1][0] + 25, abs=5)
    assert after.memory.writes >= before.memory.writes  # nothing is forgotten
    undone = empty.undo()
    assert undone.success, undone.message
    back = empty.told()[0]
    assert back.target_id == target_id
    assert back.box.center_x == pytest.approx(before.box.center_x, abs=5)
    refusal = empty.undo()
    assert (refusal.success, 'nothing to take back' in refusal.message) == (False, True)


def test_points_set_and_correct_a_target(empty: Crowd) -> None:
    x, y, w, h = PLACES[1]
    answer = empty.init_target(
        positive=[(x + w / 2, y + h / 2), (x + 8, y + 8)], negative=[(x - 15, y + h / 2)]
    )
    assert answer.success, answer.message
    target = empty.told()[0]
    assert target.state == State.TRACKING
    assert target.box.center_x == pytest.approx(x + w / 2, abs=6)
    corrected = empty.init_target(negative=[(x - 12, y + h / 2)], refine=True)
    assert corrected.success, corrected.message
    assert corrected.target_id == answer.target_id
    refusal = empty.init_target(positive=[(x, y)] * 65, refine=True)
    assert '65 points on the target and 0 off it are given; give 1 to 64' in refusal.message


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        ({'box': PLACES[0], 'refine': True}, 'There is no target to correct|no target to correct'),
        ({'box': PLACES[0], 'add': True, 'refine': True}, 'add and refine are both given'),
        ({'box': PLACES[0], 'target_width': -1.0}, 'target_width is -1 m'),
        ({'box': PLACES[0], 'target_width': float('nan')}, 'target_width is nan m'),
        ({'negative': [(5, 5)]}, '0 points on the target and 1 off it'),
        ({'positive': [(5, 500)]}, 'is outside the 320 x 240 image'),
        ({'positive': [(5, float('inf'))]}, 'y is inf'),
    ],
)
def test_what_cannot_be_is_refused(empty: Crowd, given: dict[str, Any], reason: str) -> None:
    refusal = empty.init_target(**given)
    assert not refusal.success
    assert any(part in refusal.message for part in reason.split('|')), refusal.message
    assert empty.told()[0].state == State.IDLE


def test_a_known_width_gives_position_and_pose(empty: Crowd) -> None:
    assert empty.init_target(box=PLACES[1]).success
    target = empty.told()[0]
    assert not target.position_valid
    assert isnan(target.position.z)
    width = 0.5
    assert empty.init_target(box=PLACES[1], target_width=width).success
    target = empty.told()[0]
    assert target.position_valid
    assert target.position.z == pytest.approx(FOCAL * width / target.roi[2], rel=1e-3)
    assert target.position.x == pytest.approx(
        target.position.z * (target.box.center_x - 159.5) / FOCAL, rel=1e-3
    )
    deviation = target.position_covariance[8] ** 0.5
    assert 0.02 < deviation / target.position.z < 0.3
    stamp = nanoseconds(target.header.stamp)
    kinds = {'ray', 'box', 'position'}
    empty.until(lambda: stamp in empty.poses, 'the pose')
    empty.until(
        lambda: empty.markers and kinds <= {marker.ns for marker in empty.markers[-1].markers},
        'the markers',
    )
    for marker in empty.markers[-1].markers:
        if marker.ns == 'box':
            sides = [point.x for point in marker.points]
            assert max(sides) - min(sides) == pytest.approx(width, rel=0.3)
    pose = empty.poses[stamp]
    assert (pose.header, pose.pose.position) == (target.header, target.position)
    gone = empty.next(np.full_like(FRAME, 90))
    assert gone.state != State.TRACKING
    assert not gone.position_valid
    assert empty.next(FRAME) is not None
    assert nanoseconds(gone.header.stamp) not in empty.poses


def test_depth_of_the_same_moment_gives_the_position() -> None:
    pytest.importorskip('message_filters', reason='message_filters comes with ROS only')
    x, y, w, h = PLACES[1]
    millimetres = np.full(SIZE[::-1], 9_000, np.uint16)
    millimetres[y : y + h, x : x + w] = 4_000
    with staged('-p depth:=true', kind=Crowd) as stage:
        depths = stage.create_publisher(Image, f'{stage.space}/depth/image', 10)
        stage.bring(CONFIGURE, ACTIVATE)
        stage.calibrate()
        stage.until(depths.get_subscription_count, 'a subscriber to depth')

        def measured(frame_id: str = 'camera', **fields: Any) -> TrackedTarget:
            """The target in an image whose depth comes before it."""
            stage._last_stamp = stage.get_clock().now().nanoseconds
            stamp = Time(sec=stage._last_stamp // 10**9, nanosec=stage._last_stamp % 10**9)
            depth = Image(height=SIZE[1], width=SIZE[0], encoding='16UC1', step=2 * SIZE[0])
            depth.header = Header(stamp=stamp, frame_id=frame_id)
            depth.data = array('B', millimetres.tobytes())
            for name, value in fields.items():
                setattr(depth, name, value)
            depths.publish(depth)
            return stage.target(stage.publish(FRAME, stamp))

        measured()
        assert stage.init_target(box=PLACES[1]).success
        found = [measured() for _ in range(8)]
        valid = [target for target in found if target.position_valid]
        assert len(valid) >= 4  # the first ones are not waited for
        assert valid[-1].position.z == pytest.approx(4.0, abs=0.002)
        assert 0 < valid[-1].position_covariance[8] < 0.01
        for fields, reason in (
            ({'frame_id': 'elsewhere'}, "depth is in the frame 'elsewhere'"),
            ({'encoding': 'rgb8'}, "depth of encoding 'rgb8' is not read"),
            ({'height': 120, 'data': array('B', bytes(2 * 320 * 120))}, 'has another aspect'),
        ):
            for _ in range(4):
                target = measured(**fields)
                assert not target.position_valid
                assert target.state == State.TRACKING
            stage.until(lambda reason=reason: stage.said(reason), 'the reason')
            assert stage.said(reason) == 1
        assert stage.target(stage.publish(FRAME)).state == State.TRACKING  # without any depth


@pytest.mark.parametrize(
    ('parameter', 'package'), [('depth', 'message_filters'), ('publish_tf', 'tf2_ros')]
)
def test_what_needs_a_package_that_is_missing_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, parameter: str, package: str
) -> None:
    from memtrack_ros.nodes import depths, outputs

    monkeypatch.setattr(depths, 'message_filters', None)
    monkeypatch.setattr(outputs, 'TransformBroadcaster', None)
    with staged(f'-p {parameter}:=true') as stage:
        assert not stage.change(CONFIGURE)
        stage.until(lambda: stage.said(f'{parameter} needs {package}'), 'the reason')
        assert not stage.set(parameter, False)
        stage.bring(CONFIGURE, CLEANUP)


def test_more_targets_than_memory_are_refused_with_the_figure() -> None:
    with staged(
        '-p tracker:=stmtrack -p max_targets:=32', f'-p memory.max_bytes:={2**28}'
    ) as stage:
        assert not stage.change(CONFIGURE)
        stage.until(lambda: stage.said('memory banks of 32 targets need'), 'the figure')
