"""A target followed through a bag: the same as live, whatever kind of bag, and what is refused."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from memtrack_ros.msg import TrackedTarget
from rclpy.serialization import deserialize_message
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image
from stage import ACTIVATE, CONFIGURE, staged

from memtrack_ros.evaluation import __main__ as command_line
from memtrack_ros.evaluation.bag import UNFINISHED
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import State
from memtrack_ros.wire.images import image_to_mask

WIDTH, HEIGHT = 320, 240
START, PERIOD, LATE = 1_700_000_000_000_000_000, 40_000_000, 7_000_000
RAW, PACKED, INFO = '/eye/image_raw', '/eye/image_raw/compressed', '/eye/camera_info'
OTHER, EMPTY = '/eye/other', '/eye/empty'
HIDDEN = range(12, 18)
TYPES = get_typestore(Stores.ROS2_JAZZY)
MESSAGE = {name.rpartition('/')[2]: made for name, made in TYPES.types.items()}


class Clip(NamedTuple):
    """Frames (height, width, 3) BGR and the target's box in the first one."""

    frames: list[np.ndarray[Any, Any]]
    box: str


@pytest.fixture(scope='module')
def clip() -> Clip:
    """A drawn one of 30 frames, of which some show nothing."""
    scene = drawn_scene(9, WIDTH, HEIGHT, 30)
    drawn = [scene.render(number) for number in range(scene.frames)]
    frames = [frame.image for frame in drawn]
    for number in HIDDEN:
        frames[number] = np.full_like(frames[number], 90)
    return Clip(frames, ','.join(f'{value:g}' for value in drawn[0].box))


def header(number: int) -> Any:
    """Of the image of this number; it is recorded LATE after its stamp."""
    sec, nanosec = divmod(START + number * PERIOD, 10**9)
    return MESSAGE['Header'](MESSAGE['Time'](sec, nanosec), 'eye')


def raw(frame: np.ndarray[Any, Any], number: int, **fields: Any) -> Any:
    """An rgb8 image whose rows end with four bytes that mean nothing."""
    rows = np.pad(frame[:, :, ::-1].reshape(len(frame), -1), ((0, 0), (0, 4)), constant_values=99)
    values = {
        'header': header(number),
        'height': frame.shape[0],
        'width': frame.shape[1],
        'encoding': 'rgb8',
        'is_bigendian': 0,
        'step': rows.shape[1],
        'data': rows.reshape(-1),
    }
    return MESSAGE['Image'](**values | fields)


def packed(frame: np.ndarray[Any, Any], number: int) -> Any:
    ok, png = cv2.imencode('.png', frame)
    assert ok
    return MESSAGE['CompressedImage'](header(number), 'png', png.reshape(-1))


def calibration() -> Any:
    """200 pixels of focal length, the optical axis in the middle of the image."""
    return MESSAGE['CameraInfo'](
        header=header(0),
        width=WIDTH,
        height=HEIGHT,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=np.array([200, 0, (WIDTH - 1) / 2, 0, 200, (HEIGHT - 1) / 2, 0, 0, 1], float),
        r=np.eye(3).reshape(9),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=MESSAGE['RegionOfInterest'](0, 0, 0, 0, False),
    )


def write_bag(folder: Path, images: list[Any], plugin: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """A bag with a calibration, then these images, another one between them, and a silent topic."""
    topic = RAW if hasattr(images[0], 'encoding') else PACKED
    with Writer(folder, version=8, storage_plugin=plugin) as writer:
        topics = {
            name: writer.add_connection(name, kind.__msgtype__, typestore=TYPES)
            for name, kind in (
                (INFO, MESSAGE['CameraInfo']),
                (topic, type(images[0])),
                (OTHER, MESSAGE['Image']),
                (EMPTY, MESSAGE['Image']),
            )
        }

        def record(name: str, time: int, message: Any) -> None:
            writer.write(topics[name], time, TYPES.serialize_cdr(message, message.__msgtype__))

        record(INFO, START, calibration())
        for number, image in enumerate(images):
            record(topic, START + LATE + number * PERIOD, image)
            if number == 1:
                record(OTHER, START + LATE + PERIOD + 1, raw(np.zeros((8, 8, 3), np.uint8), 1))
    return folder


def run(bag: Path, box: str, out: Path, *, topic: str = RAW, tracker: str = 'stmtrack') -> int:
    options = f'--topic {topic} --box {box} --tracker {tracker} --device cpu --out {out}'
    return command_line.main(['bag', str(bag), *options.split()])


def rows(out: Path) -> list[dict[str, str]]:
    with (out / 'results.csv').open(newline='') as file:
        return list(csv.DictReader(file))


class Recorded(NamedTuple):
    """A message of ROS's own class, when it was recorded in nanoseconds, and its type's hash."""

    message: Any
    time: int
    digest: str


def recorded(bag: Path, topic: str, kind: type) -> Iterator[Recorded]:
    with Reader(bag) as reader:
        for connection, time, data in reader.messages(reader.topics[topic].connections):
            yield Recorded(deserialize_message(bytes(data), kind), time, connection.digest)


def timeless(target: TrackedTarget) -> str:
    """All that a target says but how long it took."""
    target.processing_time = target.image_age = 0.0
    return str(target)


@pytest.mark.parametrize('tracker', ['stmtrack', 'samn'])
def test_the_live_node_says_the_same(ros: None, clip: Clip, tmp_path: Path, tracker: str) -> None:
    bag = write_bag(tmp_path / 'clip', [raw(f, n) for n, f in enumerate(clip.frames)])
    out = tmp_path / 'out'
    assert run(bag, clip.box, out, tracker=tracker) == 0
    given = list(recorded(out / 'outputs', '/memtrack/target', TrackedTarget))
    masks = {
        (mask.header.stamp.sec, mask.header.stamp.nanosec): mask
        for mask, *_ in recorded(out / 'outputs', '/memtrack/mask', Image)
    }

    reliable = '-p qos_overrides.NS/image.subscription.reliability:=reliable'
    with staged(reliable, f'-p tracker:={tracker} -p device:=cpu', masks=True) as stage:
        stage.bring(CONFIGURE, ACTIVATE)
        infos = stage.create_publisher(CameraInfo, f'{stage.space}/camera_info', 10)
        stage.until(infos.get_subscription_count, 'the node')
        infos.publish(next(recorded(bag, INFO, CameraInfo)).message)
        stage.until(lambda: stage.tracker.pipeline.frames.calibration.lens, 'the calibration')
        stage.until(stage.images.get_subscription_count, 'the node')
        live, live_masks = [], {}
        for image, *_ in recorded(bag, RAW, Image):
            stamp = image.header.stamp
            stage.images.publish(image)
            live.append(stage.target(stamp))
            if len(live) == 1:
                x, y, w, h = (float(number) for number in clip.box.split(','))
                answer = stage.init_target(box=(x, y, w, h), stamp=stamp)
                assert answer.success, answer.message
            if live[-1].has_mask:
                live_masks[stamp.sec, stamp.nanosec] = stage.mask(stamp)
        name = f'{stage.space}/memtrack/target'
        (publisher,) = stage.tracker.get_publishers_info_by_topic(name)

    assert len(given) == len(live) == len(clip.frames)
    seen = {State.IDLE, State.TRACKING, State.OCCLUDED}
    assert seen <= {target.state for target in live} <= seen | {State.UNSURE}
    assert any(target.bearing_valid for target in live)
    times = [time for _, time, _ in given]
    assert times == [START + LATE + number * PERIOD for number in range(len(live))]
    # It was prompted on the first image, which the node has answered before that.
    assert live[0].state == State.IDLE
    first = given[0].message
    assert (first.state, first.target_id, first.frames_tracked) == (State.TRACKING, 1, 1)
    assert first.header == live[0].header
    assert list(first.roi) == pytest.approx([float(number) for number in clip.box.split(',')])
    for (ours, *_), theirs in zip(given[1:], live[1:], strict=True):
        assert timeless(ours) == timeless(theirs)
    del masks[first.header.stamp.sec, first.header.stamp.nanosec]
    assert masks == live_masks
    assert masks
    assert given[0].digest == str(publisher.topic_type_hash)

    for row, (ours, *_) in zip(rows(out), given, strict=True):
        stamp = ours.header.stamp
        assert row['stamp'] == f'{stamp.sec}.{stamp.nanosec:09}'
        assert row['state'] == State(ours.state).name
        assert np.float32(row['confidence']) == np.float32(ours.confidence)
        roi = [np.float32(row[f'roi_{side}']) for side in 'xywh']
        assert roi == list(ours.roi)
        for field in ('center_x', 'center_y', 'size_x', 'size_y', 'theta'):
            assert float(row[field]) == getattr(ours.box, field)


def test_the_video_shows_every_image_with_its_answer(clip: Clip, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / 'clip', [raw(f, n) for n, f in enumerate(clip.frames[:8])])
    assert run(bag, clip.box, tmp_path / 'out') == 0
    film = cv2.VideoCapture(str(tmp_path / 'out' / 'overlay.mp4'))
    pictures = []
    while (picture := film.read()[1]) is not None:
        pictures.append(picture)
    assert len(pictures) == 8
    # Seven periods of 40 ms lie between the calibration at 0 ms and the eighth image at 287 ms.
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(7 / 0.287, abs=0.1)
    mask = image_to_mask(next(recorded(tmp_path / 'out' / 'outputs', '/memtrack/mask', Image))[0])
    changed = np.abs(pictures[0].astype(int) - clip.frames[0]).sum(2)
    assert pictures[0].shape == clip.frames[0].shape
    assert changed[mask > 0].mean() > 2 * changed[mask == 0].mean()


def test_compressed_images_are_followed_like_raw_ones(clip: Clip, tmp_path: Path) -> None:
    frames = list(enumerate(clip.frames[:6]))
    plain = write_bag(tmp_path / 'raw', [raw(f, n) for n, f in frames])
    small = write_bag(tmp_path / 'packed', [packed(f, n) for n, f in frames])
    assert run(plain, clip.box, tmp_path / 'of_raw') == 0
    assert run(small, clip.box, tmp_path / 'of_packed', topic=PACKED) == 0
    assert rows(tmp_path / 'of_packed') == rows(tmp_path / 'of_raw')
    bags = (tmp_path / 'of_packed' / 'outputs', tmp_path / 'of_raw' / 'outputs')
    ours, theirs = (list(recorded(bag, '/memtrack/target', TrackedTarget)) for bag in bags)
    assert all(target.message.bearing_valid for target in ours)
    assert [timeless(t.message) for t in ours] == [timeless(t.message) for t in theirs]


@pytest.mark.parametrize('plugin', StoragePlugin)
@pytest.mark.parametrize('whole', [True, False], ids=['folder', 'file'])
def test_every_kind_of_bag_is_read(
    clip: Clip, tmp_path: Path, plugin: StoragePlugin, whole: bool
) -> None:
    bag = write_bag(tmp_path / 'clip', [raw(f, n) for n, f in enumerate(clip.frames[:3])], plugin)
    if not whole:
        (file,) = (file for file in bag.iterdir() if file.suffix in ('.mcap', '.db3'))
        bag = file.rename(tmp_path / file.name)
    assert run(bag, clip.box, tmp_path / 'out') == 0
    assert [row['state'] for row in rows(tmp_path / 'out')] == ['TRACKING'] * 3


def test_a_bad_image_is_an_error_and_the_next_goes_on(
    clip: Clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [raw(f, n) for n, f in enumerate(clip.frames[:5])]
    images[2] = raw(clip.frames[2], 2, step=5)
    assert run(write_bag(tmp_path / 'clip', images), clip.box, tmp_path / 'out') == 0
    table = rows(tmp_path / 'out')
    assert [row['state'] for row in table] == ['TRACKING'] * 2 + ['ERROR'] + ['TRACKING'] * 2
    assert {table[2][name] for name in ('confidence', 'roi_x', 'theta')} == {'nan'}
    targets = recorded(tmp_path / 'out' / 'outputs', '/memtrack/target', TrackedTarget)
    bad, after = [target for target, *_ in targets][2:4]
    assert (bad.state, bad.target_id, bad.image_width) == (State.ERROR, 1, WIDTH)
    assert bad.last_seen.nanosec + 2 * PERIOD == after.last_seen.nanosec
    assert after.frames_tracked == 3
    said = ' '.join(capsys.readouterr().out.split())
    assert '5 images: 4 TRACKING, 1 ERROR' in said
    assert '1 not processed: step 5 is below the 960 bytes of 320 rgb8 pixels' in said


def test_a_second_run_takes_the_place_of_the_first(clip: Clip, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    (out / UNFINISHED / 'outputs').mkdir(parents=True)  # of a run that was killed
    for count in (3, 2):
        images = [raw(f, n) for n, f in enumerate(clip.frames[:count])]
        assert run(write_bag(tmp_path / f'of{count}', images), clip.box, out) == 0
    assert sorted(path.name for path in out.iterdir()) == ['outputs', 'overlay.mp4', 'results.csv']
    assert len(rows(out)) == 2
    assert len(list(recorded(out / 'outputs', '/memtrack/target', TrackedTarget))) == 2


@pytest.mark.parametrize(
    'theirs', ['results.csv', 'overlay.mp4', 'outputs/mine.txt', 'unfinished/mine.txt', 'mine.txt']
)
def test_what_a_run_did_not_make_stays(
    clip: Clip, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], theirs: str
) -> None:
    out = tmp_path / 'out'
    file = out / theirs
    file.parent.mkdir(parents=True)
    file.write_text('precious,1\n')
    taken = theirs.partition('/')[0] in ('results.csv', 'overlay.mp4', 'outputs')
    assert run(short, clip.box, out) == (2 if taken else 0)
    if taken:
        assert 'was made by no earlier run: give another folder' in capsys.readouterr().err
        assert [path for path in out.rglob('*') if path.is_file()] == [file]
    assert file.read_text() == 'precious,1\n'


def test_what_was_laid_beside_the_files_of_a_run_stays(
    clip: Clip, short: Path, tmp_path: Path
) -> None:
    out = tmp_path / 'out'
    assert run(short, clip.box, out) == 0
    for beside in (out / 'mine.txt', out / 'outputs' / 'mine.txt'):
        beside.write_text('precious')
    assert run(short, clip.box, out) == 0
    for beside in (out / 'mine.txt', out / 'outputs' / 'mine.txt'):
        assert beside.read_text() == 'precious'


@pytest.fixture(scope='module')
def short(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    images = [raw(f, n) for n, f in enumerate(clip.frames[:3])]
    return write_bag(tmp_path_factory.mktemp('bag') / 'short', images)


@pytest.mark.parametrize(
    ('changed', 'reason'),
    [
        ({'topic': '/ear'}, f'has no topic /ear: give one of {RAW}, {OTHER}'),
        ({'topic': INFO}, f'sensor_msgs/msg/CameraInfo, not of images: give one of {RAW}, {OTHER}'),
        ({'topic': EMPTY}, f'holds 0 images: give one of {RAW}, {OTHER}'),
        ({'box': '400,100,40,30'}, 'less than 3 x 3 pixels inside the 320 x 240 image'),
        ({'bag': Path('nowhere.mcap')}, "nowhere.mcap' does not exist): give an .mcap or .db3"),
        ({'bag': Path(__file__)}, "Unrecognized storage format '.py'): give an .mcap or .db3"),
        ({'bag': Path(__file__).parent}, 'metadata.yaml'),
        ({'tracker': 'samn', 'box': '1,1,nan,9'}, 'not four finite numbers'),
    ],
)
def test_what_cannot_be_followed_is_said_in_a_sentence(
    clip: Clip,
    short: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    reason: str,
) -> None:
    out = tmp_path / 'out'
    assert run(**{'bag': short, 'box': clip.box, 'out': out} | changed) == 2
    assert reason in capsys.readouterr().err
    assert not out.exists()


def test_a_first_image_that_cannot_be_read_is_refused(
    clip: Clip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / 'clip', [raw(clip.frames[0], 0, encoding='nv24')])
    assert run(bag, clip.box, tmp_path / 'out') == 2
    assert "encoding 'nv24' is not read here: convert it to" in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('kept', [0, 5, 0.5, 0.99])
def test_a_damaged_bag_leaves_nothing_behind(
    clip: Clip, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: float
) -> None:
    """kept: how many bytes, or which share of them."""
    whole = (short / 'short.mcap').read_bytes()
    torn = tmp_path / 'torn.mcap'
    torn.write_bytes(whole[: kept if isinstance(kept, int) else round(kept * len(whole))])
    assert run(torn, clip.box, tmp_path / 'out') == 2
    error = capsys.readouterr().err
    assert 'torn.mcap cannot be read as a ROS 2 bag (' in error
    assert error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_a_bag_that_is_damaged_in_its_middle_leaves_nothing_behind(
    clip: Clip, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = shutil.copytree(short, tmp_path / 'short')
    data = bytearray((bag / 'short.mcap').read_bytes())
    middle = data.find(raw(clip.frames[2], 2).data[:64].tobytes())
    assert middle > 0
    # The length of the image's data, which CDR puts before them.
    data[middle - 4 : middle] = b'\xff' * 4
    (bag / 'short.mcap').write_bytes(data)
    assert run(bag, clip.box, tmp_path / 'out') == 2
    assert 'cannot be read as a ROS 2 bag (' in capsys.readouterr().err
    assert list((tmp_path / 'out').iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(
    clip: Clip, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'out').write_text('a file')
    assert run(short, clip.box, tmp_path / 'out') == 2
    assert 'cannot be written' in capsys.readouterr().err
    assert (tmp_path / 'out').read_text() == 'a file'


def test_a_box_that_is_none_is_refused(short: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        run(short, '1,2,3', short / 'out')
    assert refusal.value.code == 2
    assert "'1,2,3' is not x,y,w,h in pixels" in capsys.readouterr().err


def test_without_rosbags_the_remedy_is_said(
    clip: Clip,
    short: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ('bag', 'bag_reader', 'bag_writer'):
        monkeypatch.delitem(sys.modules, f'memtrack_ros.evaluation.{name}', raising=False)
    monkeypatch.setitem(sys.modules, 'rosbags.rosbag2', None)
    assert run(short, clip.box, tmp_path / 'out') == 2
    error = capsys.readouterr().err
    assert 'rosbags' in error
    assert 'is missing: pip install "memtrack_ros[bags]"' in error
