"""The whole way from camera to target, shown: python -m memtrack_ros.tools.demo.

Starts the camera node and the tracker node as processes in a ROS domain of their own, prompts the
target through the service, and follows it through a real video and, prompted with the truth of an
early image, through five drawn scenes, at the camera's real rate; or, with --video and --box,
through a video of yours. Writes overlay.mp4 and contact_sheet.png and prints a table.

With --page the video is shown again and again on the operator's page instead, to be pointed at.

The IoU of a scene is that of the target's roi with the truth, both axis-aligned, averaged over the
images that the tracker processed after the one it was prompted on. Images in which nothing of the
target is to be seen are left out. An image that came while the tracker was busy is no failure: the
table shows how many of those sent were processed.
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import argparse
import math
import sys
import time
from bisect import bisect_right
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

import cv2
import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from memtrack_ros import scenes
from memtrack_ros.camera import sources
from memtrack_ros.errors import MemtrackError
from memtrack_ros.evaluation.film import EvenThumbnails, Film, Strip, Tile, contact_sheet
from memtrack_ros.geometry import boxes
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.nodes import messages
from memtrack_ros.nodes.frames import nanoseconds
from memtrack_ros.nodes.messages import Frame
from memtrack_ros.session import State
from memtrack_ros.tools import processes
from memtrack_ros.tools.client import TrackerClient
from memtrack_ros.tools.processes import NodeProcess

try:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "memtrack_ros[evaluation]"')

FRAMES = 300
"""Images of a drawn scene: ten seconds."""

ENOUGH = 0.5
"""The mean IoU below which the demo fails."""

CAMERA = '/camera'
TRACKER = '/memtrack'
CLIP, CLIP_BOX = 'resource/juggler.mp4', (228, 20, 85, 231)
"""A real video that comes with the package, and who is followed in it: x, y, w, h."""
PAGE = 8080
"""The port of the operator's page."""
MOMENTS = 6
PREPARING = 300.0
"""Seconds that drawing a scene ahead may take."""
LAST_IMAGE = 3.0
"""Seconds to wait for the answer to the last image; it may have been lost."""

Box = NDArray[np.float64]


@dataclass(frozen=True)
class DemoAnswer:
    """What the tracker said to one image; received in nanoseconds, as stamps are."""

    received: int
    target_id: int
    state: State
    confidence: float
    roi: Box


@dataclass
class Take:
    """What came while one scene or video was played, by stamp in nanoseconds."""

    title: str
    camera: dict[str, str | float]
    """Parameters of the camera node."""
    box: Box | None = None
    """To prompt with on the first image; without one it is done with the truth."""
    frames: int | None = None
    """How many images there will be, where that is known."""
    sent: list[int] = field(default_factory=list)
    truths: dict[int, Box] = field(default_factory=dict)
    """The boxes of images in which the target is seen."""
    answers: dict[int, DemoAnswer] = field(default_factory=dict)
    thumbnails: EvenThumbnails = field(default_factory=EvenThumbnails)
    width: int = 0
    """Of the images."""
    filmed: int = 0
    target_id: int = 0
    prompted: int = 0

    def followed(self) -> dict[int, DemoAnswer]:
        """The answers to images after the one of the prompt."""
        return {
            stamp: answer
            for stamp, answer in list(self.answers.items())
            if stamp > self.prompted and answer.target_id == self.target_id
        }

    def ious(self) -> dict[int, float]:
        """Overlap with the truth by stamp, of those of them in which the target is seen."""
        return {
            stamp: float(np.nan_to_num(boxes.iou(answer.roi, self.truths[stamp])))
            for stamp, answer in self.followed().items()
            if stamp in self.truths
        }

    def iou(self) -> float:
        """The mean of these."""
        return mean(self.ious().values())

    def latency(self) -> float:
        """Median seconds from an image's stamp to the receipt of its target."""
        return median(answer.received - stamp for stamp, answer in self.followed().items()) / 1e9

    def rate(self) -> float:
        """Processed images per second."""
        stamps = sorted(self.followed())
        return (len(stamps) - 1) / (stamps[-1] - stamps[0]) * 1e9

    def strip(self) -> Strip:
        """Its row of the contact sheet."""
        ious, followed = self.ious(), self.followed()
        tiles = []
        for stamp, picture in self.thumbnails.spread(MOMENTS, self.prompted):
            caption = f'{(stamp - self.sent[0]) / 1e9:.1f} s   '
            if stamp in followed:
                caption += f'{followed[stamp].state.name} {followed[stamp].confidence:.2f}   '
            if stamp == self.prompted:
                caption += 'prompted'
            elif stamp in ious:
                caption += f'IoU {ious[stamp]:.2f}'
            elif self.truths:
                caption += 'out of sight'
            white = self.box if stamp == self.prompted else None
            white = self.truths.get(stamp, white)
            if white is not None:
                _outline(picture, white * picture.shape[1] / self.width)
            tiles.append(Tile(picture, caption))
        title = f'{self.title}   mean IoU {self.iou():.2f}' if ious else self.title
        return Strip(title, tiles)


class Recorder:
    """Fills the take at hand with what camera and tracker publish."""

    def __init__(self, client: TrackerClient, film: Film) -> None:
        self.take = Take('', {})
        self.client = client
        self.tracker = ''
        """Its name, once it has answered."""
        self._film = film
        small = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
        for kind, topic, receive, qos in (
            (CameraInfo, f'{CAMERA}/camera_info', self._sent, small),
            (TrackedTarget, f'{CAMERA}/camera/truth', self._truth, QoSProfile(depth=100)),
            (TrackedTarget, f'{TRACKER}/target', self._target, QoSProfile(depth=100)),
            (Image, f'{TRACKER}/overlay', self._overlay, QoSProfile(depth=10)),
        ):
            client.create_subscription(kind, topic, receive, qos)

    def _sent(self, info: CameraInfo) -> None:
        self.take.sent.append(nanoseconds(info.header.stamp))

    def _truth(self, truth: TrackedTarget) -> None:
        if truth.state == TrackedTarget.TRACKING:
            self.take.truths[nanoseconds(truth.header.stamp)] = np.asarray(truth.roi, float)

    def _target(self, target: TrackedTarget) -> None:
        self.tracker = target.tracker
        received = self.client.get_clock().now().nanoseconds
        self.take.answers[nanoseconds(target.header.stamp)] = DemoAnswer(
            received=received,
            target_id=target.target_id,
            state=State(target.state),
            confidence=target.confidence,
            roi=np.asarray(target.roi, float),
        )

    def _overlay(self, image: Image) -> None:
        """Films it for as long as it took since the last one: the film runs at the real rate."""
        take, stamp = self.take, nanoseconds(image.header.stamp)
        number = bisect_right(take.sent, stamp)
        if number > take.filmed and take.sent[number - 1] == stamp:
            picture = messages.image_to_bgr(image)
            self._film.add(picture, number - take.filmed)
            take.filmed = number
            take.thumbnails.add(stamp, picture)
            take.width = image.width


def _outline(picture: Frame, box: Box) -> None:
    """Draws a thin white line around the box, in place."""
    first = np.round(box[:2]).astype(int) - 1
    last = np.round(box[:2] + box[2:]).astype(int)
    cv2.rectangle(picture, first.tolist(), last.tolist(), (255, 255, 255), 1)


def follow(take: Take, recorder: Recorder, tracker: NodeProcess, progress: Progress) -> None:
    """Plays a scene or video to the tracker and records what it answers.

    Raises MemtrackError: a process died, the prompt was refused, the tracker answered nothing.
    """
    client = recorder.client
    bar = progress.add_task(take.title, total=None, state='preparing the camera')
    client.reset()
    recorder.take = take
    # It begins when the tracker and this node listen.
    parameters = {**take.camera, 'loop': False, 'wait_for_nodes': 2}
    with NodeProcess('camera.camera_node', parameters, {'__ns': CAMERA}, finite=True) as camera:

        def check() -> None:
            tracker.check()
            camera.check()
            progress.update(bar, completed=len(take.answers))

        client.check = check
        client.wait_until(lambda: bool(take.sent), 'an image of the camera', PREPARING)
        progress.update(bar, total=take.frames, state='following')
        _prompt(take, client)
        client.wait_until(lambda: camera.code is not None, 'the end of the camera', math.inf)
        last = take.sent[-1]
        with suppress(TimeoutError):
            client.wait_until(lambda: last in take.answers, 'the last target', LAST_IMAGE)
            client.wait_until(lambda: take.filmed == len(take.sent), 'its overlay', LAST_IMAGE)
    client.check = tracker.check
    progress.update(bar, total=len(take.sent), completed=len(take.answers), state='done')
    if len(take.followed()) < 2 or (take.truths and not take.ious()):
        raise MemtrackError(f'{take.title}: the tracker is too slow to answer any image in time')


def _prompt(take: Take, client: TrackerClient) -> None:
    """Sets the target in the newest image that the tracker has, in a video in the first one."""

    def stamp() -> int:
        seen = max(list(take.answers), default=0)
        known = take.sent[:1] if take.box is not None else list(take.truths)
        return max((stamp for stamp in known if stamp <= seen), default=0)

    client.wait_until(lambda: stamp() > 0, 'the answer to an image')
    take.prompted = stamp()
    answer = client.init_target(
        box=take.truths[take.prompted] if take.box is None else take.box,
        stamp=Time(sec=take.prompted // 10**9, nanosec=take.prompted % 10**9),
    )
    if not answer.success:
        raise MemtrackError(f'{take.title}: {answer.message}')
    take.target_id = answer.target_id


def takes(video: Path | None, box: Box | None) -> tuple[list[Take], float]:
    """What is to be played and at what rate the film runs.

    Raises ConfigurationError for a video that cannot be read.
    """
    if video is not None:
        rate = sources.video(video, loop=False).rate
        return [Take(video.name, {'source': str(video.resolve())}, box=box)], rate
    drawn = [
        Take(f'scene {number}', {'seed': seed, 'frames': FRAMES}, frames=FRAMES)
        for number, seed in enumerate(scenes.DEMO_SEEDS, 1)
    ]
    clip: dict[str, str | float] = {'source': str(processes.shipped(CLIP))}
    return [Take('real video', clip, box=np.array(CLIP_BOX, float)), *drawn], sources.DEFAULT_RATE


def show(console: Console, takes: list[Take]) -> None:
    """Prints the table; no text in it is taken for markup, which square brackets look like."""
    drawn = any(take.truths for take in takes)
    heads = ['', 'frames', 'frames/s', 'latency [ms]', *(['box IoU'] if drawn else [])]
    table = Table()
    for head in heads:
        table.add_column(Text(head), justify='right' if head else 'left')
    for take in takes:
        row = [
            take.title,
            f'{len(take.answers)} of {len(take.sent)}',
            f'{take.rate():.1f}',
            f'{take.latency() * 1e3:.0f}',
            *([f'{take.iou():.2f}' if take.truths else '-'] if drawn else []),
        ]
        table.add_row(*map(Text, row))
    console.print(table)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """The demo; the exit code says whether the target was followed well enough."""
    played, rate = takes(arguments.video, arguments.box)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    processes.isolate()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    columns = (
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        TextColumn('{task.completed:.0f} {task.fields[state]}'),
    )
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        film = stack.enter_context(closing(Film(out / 'overlay.mp4', rate)))
        # A starved machine, too, still has the first image of a video when the prompt comes.
        parameters: dict[str, str | float] = {'frames.ring': 90}
        if arguments.tracker:
            parameters['tracker'] = arguments.tracker
        remappings = {'image': f'{CAMERA}/image_raw'}
        tracker = stack.enter_context(NodeProcess('nodes.tracker_node', parameters, remappings))
        client = stack.enter_context(TrackerClient(TRACKER, check=tracker.check))
        recorder = Recorder(client, film)
        console.print('starting the tracker')
        if not client.start():
            raise MemtrackError(f'the tracker does not start:\n{tracker.output()}')
        progress = stack.enter_context(Progress(*columns, console=console))
        for take in played:
            follow(take, recorder, tracker, progress)
    white = 'prompt' if arguments.video else 'truth, or the prompt'
    title = f'{recorder.tracker}: mask, oriented box, state and confidence. White: the {white}.'
    sheet = contact_sheet(title, [take.strip() for take in played])
    cv2.imwrite(str(out / 'contact_sheet.png'), sheet)
    show(console, played)
    print(f'written: {out}/overlay.mp4, {out}/contact_sheet.png')
    if arguments.video:
        return 0
    overall = mean(take.iou() for take in played if take.truths)
    print(f'mean IoU {overall:.2f}')
    return 0 if overall >= ENOUGH else 1


def show_page(video: Path | None, tracker: str) -> int:
    """Shows a video on the operator's page until it is interrupted."""
    processes.isolate()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    source = video or processes.shipped(CLIP)
    image = {'image': f'{CAMERA}/image_raw'}
    parameters: dict[str, str | float] = {'max_targets': 3}
    if tracker:
        parameters['tracker'] = tracker
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        node = stack.enter_context(NodeProcess('nodes.tracker_node', parameters, image))
        client = stack.enter_context(TrackerClient(TRACKER, check=node.check))
        if not client.start():
            raise MemtrackError(f'the tracker does not start:\n{node.output()}')
        camera = stack.enter_context(
            NodeProcess('camera.camera_node', {'source': str(source.resolve())}, {'__ns': CAMERA})
        )
        page = stack.enter_context(NodeProcess('page.page_node', {'port': PAGE}, image))
        told = False
        while True:
            for process in (node, camera, page):
                process.check()
            if not told and 'the page is at' in page.output():
                print(f'point at something on http://127.0.0.1:{PAGE}/ (Ctrl-C ends)', flush=True)
                told = True
            time.sleep(0.2)


def _box(text: str) -> Box:
    try:
        box = np.array(text.split(','), float)
    except ValueError:
        box = np.empty(0)
    if box.shape != (4,) or not np.isfinite(box).all() or not (box[2:] > 0).all():
        raise argparse.ArgumentTypeError(
            f'{text!r} is no box: give x,y,w,h in pixels of the first image, w and h above 0'
        )
    return box


def main(args: list[str] | None = None) -> int:
    """The exit code: 0, 1 when the mean IoU is too low, 2 for an error."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.tools.demo',
        description='Follows a target through drawn scenes, or a video, with the live nodes.',
    )
    parser.add_argument('--video', type=Path, metavar='FILE', help='instead of the drawn scenes')
    parser.add_argument(
        '--box', type=_box, metavar='X,Y,W,H', help='the target in its first image, pixels'
    )
    parser.add_argument('--tracker', default='', metavar='NAME', help="default: the node's")
    parser.add_argument(
        '--out', type=Path, default=Path('demo'), metavar='DIR', help='default: demo'
    )
    parser.add_argument('--page', action='store_true', help="show it on the operator's page")
    arguments = parser.parse_args(args)
    if not arguments.page and (arguments.video is None) != (arguments.box is None):
        parser.error('--video and --box go together: the target in the first image of the video')
    return interrupt.exit_code(
        lambda: (
            show_page(arguments.video, arguments.tracker)
            if arguments.page
            else run(arguments, Console())
        )
    )


if __name__ == '__main__':
    sys.exit(main())
