"""A camera that keeps its target in view, shown: python -m memtrack_ros.tools.follow_demo.

A drawn world is seen by a virtual camera on a UAV that moves as the follow node commands: it yaws,
rises and sinks, and comes nearer. The images go through the live tracker and follow nodes, in a
ROS domain of their own, and their commands come back. The target walks and turns, hurries for a
while, is hidden behind a panel for a second, and a look-alike passes it twice; in the end the
camera fails, and nothing comes any more. Writes follow.png and follow.mp4, and prints how well it
was followed.
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import argparse
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from math import atan, hypot, isfinite, nan, pi
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import rclpy
import torch
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo

from memtrack_ros.errors import MemtrackError
from memtrack_ros.evaluation.film import Film
from memtrack_ros.msg import TrackedTarget
from memtrack_ros.nodes.frames import nanoseconds
from memtrack_ros.scenes import DEMO_SEEDS
from memtrack_ros.scenes.degrade import Camera
from memtrack_ros.scenes.layer import Layer
from memtrack_ros.scenes.motion import Path as Way
from memtrack_ros.scenes.scene import MIRRORED, RETEXTURED, TINTED, Distractor, Scenes
from memtrack_ros.tools import processes
from memtrack_ros.tools.client import TrackerClient
from memtrack_ros.tools.processes import NodeProcess

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "memtrack_ros[evaluation]"')

WIDTH, HEIGHT = 320, 240
FOCAL = 300.0
"""Pixels."""
SHARE = 0.2
"""Apparent size of the target in the beginning, of the height of the image."""
FAULTS = 0.3
"""Of the camera, as a share of those of the cameras that trackers learn with, some of which show
nothing to point at."""
RANGE = 4.0
"""Times as far as in other scenes the things of this one walk."""
PACE = 3.0
"""Units of the scene's time in a second; double while the target hurries."""
HURRY = 0.35, 0.55
"""When, as shares of the whole time."""
HIDDEN_AT, HIDDEN = (0.68, 0.7, 0.72, 0.74, 0.76), 1.0
"""When, as one of these shares of the whole time, and for how many seconds."""
PASSES = 0.2, 0.85
"""When a look-alike passes, as shares of the whole time."""
REACH = 8.0
"""World units: from the target to where that turns back."""
BESIDE = 1.2, 1.8
"""Sizes of the target, or heights of what is higher, above or below it that it passes by."""
NEAREST, FURTHEST = 0.5, 2.0
"""Of the distance that the camera begins at."""
FOLLOW: dict[str, str | float] = {
    'axes': 'uav',
    'yaw.gain': 2.0,
    'yaw.max_acceleration': 4.0,
    'vertical.gain': 8.0,  # a world unit is some three times a radian away
    'vertical.max_speed': 2.0,
    'vertical.max_acceleration': 4.0,
}
"""Parameters of the follow node."""
WATCHED = 3.0
"""Seconds that it is watched after the camera has failed."""
ENOUGH = 0.95
"""The share of time in view below which the demo fails."""

Frame = NDArray[np.uint8]


class View(NamedTuple):
    """What the camera saw: the picture, and of the target where it is, in rad right and below, and
    its box x, y, w, h; nan where it is not seen."""

    picture: Frame
    bearing: tuple[float, float]
    box: NDArray[np.float64]
    hidden: bool


class World:
    """A drawn scene around a camera, unrolled: to yaw is to move along it."""

    def __init__(self, seed: int, seconds: float) -> None:
        self._scenes = Scenes(torch.Generator().manual_seed(seed), 1, 1.0)
        self._seed, self._seconds = seed, seconds
        self._count = 0
        scenes = self._scenes
        scenes.absences.reach.zero_()  # here it is the camera that has to lose it
        scenes.camera = Camera(torch.Generator().manual_seed(seed), 1, FAULTS)
        scenes.camera.light.fill_(1.0)  # by day
        scenes.target, scenes.shadow = _wider(scenes.target), _wider(scenes.shadow)
        x, y, size = scenes.target_place(torch.zeros(1, 1))[0, 0].tolist()
        self._begin = self.distance = FOCAL * size / (SHARE * HEIGHT)
        self.yaw, self.height = -x / self._begin, -y
        """Rad to the left; world units up."""
        # A camera that stands still meanwhile, as it has to, is to see the target again.
        self.hides = min((share * seconds for share in HIDDEN_AT), key=self._way_hidden)
        """The second from which the panel is before the target."""
        # Nothing hides the target but the panel, and what passes it is its look-alike alone.
        scenes.front, scenes.occluder = _none(scenes.front), _empty(scenes.occluder)
        for share in (*PASSES, 0.0):  # as it turns it is higher or lower
            self.yaw, self.height = self.place(share * seconds)
            size = max(size, self.see(share * seconds).box[3] * self._begin / FOCAL)
        first, last = (float(self._time(share * seconds)) for share in PASSES)
        scenes.behind = _passing(scenes.target, size, first, last, np.random.default_rng(seed))

    def move(self, twist: Twist, seconds: float) -> None:
        """Moves the camera for some time."""
        self.yaw += twist.angular.z * seconds
        self.height += twist.linear.z * seconds
        distance = self.distance - twist.linear.x * seconds
        self.distance = min(max(distance, NEAREST * self._begin), FURTHEST * self._begin)

    def place(self, seconds: float) -> tuple[float, float]:
        """Where the target is, as the yaw and the height of a camera that looks at it."""
        x, y, _ = self._scenes.target_place(self._time(seconds))[0, 0].tolist()
        return -x / self._begin, -y

    def see(self, seconds: float) -> View:
        """What the camera sees so many seconds after the beginning."""
        self._count += 1
        self._scenes.generator.manual_seed(self._seed * 1_000_003 + self._count)
        x, y, scale = -self.yaw * self._begin, -self.height, self.distance / FOCAL
        clip = self._scenes.render(
            self._time(seconds), torch.tensor([[[x, y, scale]]]), HEIGHT, WIDTH
        )
        rgb = (clip.pictures[0, 0] * 255).round().byte().permute(1, 2, 0).numpy()
        picture = np.ascontiguousarray(rgb[..., ::-1])
        mask = (clip.target[0, 0].numpy() > 0.5).astype(np.uint8)
        box = np.array(cv2.boundingRect(mask), float) if mask.any() else np.full(4, nan)
        there = _pixel(self._scenes.target_place(self._time(seconds))[0, 0].tolist(), x, y, scale)
        hidden = self.hides <= seconds < self.hides + HIDDEN
        if hidden:
            middle, half = np.array(there).round().astype(int), int(SHARE * HEIGHT)
            corners = (middle - half).tolist(), (middle + half).tolist()
            cv2.rectangle(picture, *corners, (70, 90, 80), cv2.FILLED)
            box = np.full(4, nan)
        right, below = (there[0] - (WIDTH - 1) / 2) / FOCAL, (there[1] - (HEIGHT - 1) / 2) / FOCAL
        return View(picture, (atan(right), atan(below)), box, hidden)

    def _way_hidden(self, begin: float) -> float:
        """How far the target goes if it is hidden from then on, in world units."""
        (left, up), (further, higher) = self.place(begin), self.place(begin + HIDDEN)
        return hypot((further - left) * self._begin, higher - up)

    def _time(self, seconds: float) -> torch.Tensor:
        """The scene's own time (1, 1)."""
        begin, end = (share * self._seconds for share in HURRY)
        hurried = min(max(seconds - begin, 0.0), end - begin)
        return torch.tensor([[PACE * (seconds + hurried)]])


def _wider(layer: Layer) -> Layer:
    """The same object, walking RANGE times as far."""
    amplitude = layer.path.amplitude.clone()
    amplitude[:, :2] *= RANGE
    return replace(layer, path=replace(layer.path, amplitude=amplitude))


def _passing(
    target: Layer, size: float, first: float, last: float, rng: np.random.Generator
) -> Distractor:
    """What looks like the target of this `size`, goes as that does and to and fro.

    It passes above or below, and behind it, at these two of the scene's own times.
    """
    base = torch.zeros_like(target.path.base)
    base[:, 1] = rng.choice([-1, 1]) * rng.uniform(*BESIDE) * size
    amplitude = torch.zeros(*base.shape, 1)
    amplitude[:, 0] = REACH
    frequency = torch.full_like(amplitude, 1 / (last - first) / 2)
    way = Way(base, amplitude, frequency, -2 * pi * frequency * first)
    look = torch.from_numpy(rng.choice([MIRRORED, TINTED, RETEXTURED], 1))
    tint = torch.from_numpy(rng.uniform(0.6, 1.0, (1, 3))).float()
    layer = replace(target, path=target.path + way)
    return Distractor(layer, look, tint, target.scenes)


def _none(other: Distractor) -> Distractor:
    """No distractor at all."""
    return Distractor(_empty(other.layer), other.look[:0], other.tint[:0], other.source[:0])


def _empty(layer: Layer) -> Layer:
    """The layer without anything in it."""
    nowhere = layer.scenes[:0]
    return Layer(nowhere, layer.path.of(nowhere), layer.half[:0], layer.waves[:0])


def _pixel(place: list[float], x: float, y: float, scale: float) -> tuple[float, float]:
    """Where a place of the world is in the image of a window."""
    return (place[0] - x) / scale + (WIDTH - 1) / 2, (place[1] - y) / scale + (HEIGHT - 1) / 2


@dataclass
class Record:
    """What happened, image by image."""

    times: list[float] = field(default_factory=list)
    errors: list[tuple[float, float]] = field(default_factory=list)
    """Bearings of the target, rad."""
    in_view: list[bool] = field(default_factory=list)
    """Whether its middle is in the image."""
    camera: list[tuple[float, float]] = field(default_factory=list)
    """Its yaw and height."""
    target: list[tuple[float, float]] = field(default_factory=list)
    """The same, of a camera that looked at the target."""
    commands: list[tuple[float, float]] = field(default_factory=list)
    """When each came, and its greatest component."""
    states: list[int] = field(default_factory=list)
    """Of the tracker's answers."""
    ages: list[float] = field(default_factory=list)
    """Of their images, seconds."""
    lost: float = nan
    """When the last image was taken."""

    def share(self) -> float:
        """Of the time, with the target in view."""
        return float(np.mean(self.in_view))

    def rms(self) -> float:
        """Of the angle between the optical axis and the target, rad."""
        return float(np.sqrt(np.mean([hypot(*error) ** 2 for error in self.errors])))

    def stopping(self) -> float:
        """Seconds from the last image to the last command that is not zero."""
        moving = [when for when, speed in self.commands if when >= self.lost and speed > 0]
        return max(moving, default=self.lost) - self.lost


class Flight(TrackerClient):
    """The camera's node: publishes what it sees, moves as it is told, and takes note."""

    def __init__(self, world: World, film: Film, rate: float) -> None:
        super().__init__('/memtrack', '/image')
        self.world, self.film, self.rate = world, film, rate
        self.record = Record()
        self._began = time.monotonic()
        self._twist = Twist()
        self._newest: TrackedTarget | None = None
        self._infos = self.create_publisher(CameraInfo, '/camera_info', qos_profile_sensor_data)
        self.create_subscription(TwistStamped, '/follow/cmd_vel', self._obey, QoSProfile(depth=1))
        self.create_subscription(TrackedTarget, '/memtrack/target', self._note, 10)

    def __enter__(self) -> Flight:
        super().__enter__()
        return self

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def begin(self) -> None:
        """Begins anew to count."""
        self._began = time.monotonic()
        self.record = Record()

    def look(self, seconds: float) -> tuple[View, int]:
        """Sees, publishes what is seen, and gives its stamp in nanoseconds."""
        taken = self.get_clock().now().to_msg()
        view = self.world.see(seconds)
        info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model='plumb_bob', d=[0.0] * 5)
        centre = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
        info.k = [FOCAL, 0.0, centre[0], 0.0, FOCAL, centre[1], 0.0, 0.0, 1.0]
        info.header.stamp, info.header.frame_id = taken, 'camera'
        self._infos.publish(info)
        self.publish(view.picture, taken)
        return view, nanoseconds(taken)

    def fly(self, seconds: float) -> None:
        """Lets the camera see and move for so long; then it fails, and is watched."""
        last, due, filmed = self.now(), self.now(), 0
        while (now := self.now()) < seconds:
            self.check()
            self.world.move(self._twist, now - last)
            last = now
            view, _ = self.look(now)
            self._keep_record(now, view)
            number = int(now * self.rate) + 1
            self.film.add(self._drawn(view), max(number - filmed, 0))
            filmed = max(number, filmed)
            due = max(due + 1 / self.rate, self.now())
            time.sleep(max(due - self.now(), 0.0))
        self.record.lost = last
        time.sleep(WATCHED)

    def _keep_record(self, now: float, view: View) -> None:
        record = self.record
        x, y = (np.tan(angle) * FOCAL for angle in view.bearing)
        record.times.append(now)
        record.errors.append(view.bearing)
        record.in_view.append(bool(abs(x) < WIDTH / 2 and abs(y) < HEIGHT / 2))
        record.camera.append((self.world.yaw, self.world.height))
        record.target.append(self.world.place(now))

    def _obey(self, command: TwistStamped) -> None:
        self._twist = command.twist
        moved = self._twist.angular.z, self._twist.linear.z, self._twist.linear.x
        self.record.commands.append((self.now(), max(map(abs, moved))))

    def _note(self, target: TrackedTarget) -> None:
        self._newest = target
        self.record.states.append(target.state)
        self.record.ages.append(target.image_age)

    def _drawn(self, view: View) -> Frame:
        picture = cv2.resize(view.picture, None, fx=2, fy=2)
        if (target := self._newest) is not None and all(map(isfinite, target.roi)):
            x, y, w, h = (round(2 * float(value)) for value in target.roi)
            tracked = target.state == TrackedTarget.TRACKING
            colour = (80, 220, 80) if tracked else (60, 140, 250)
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, 2)
        cv2.drawMarker(picture, (WIDTH, HEIGHT), (255, 255, 255), cv2.MARKER_CROSS, 20, 1)
        return np.asarray(picture, np.uint8)


def draw(record: Record, seconds: float, hides: float, path: Path) -> None:
    """Draws the path and the errors over time."""
    figure = Figure(figsize=(9, 7), layout='constrained')
    ways, errors, speeds = figure.subplots(3, 1, sharex=True)
    for index, (name, colour) in enumerate((('yaw [rad]', 'C0'), ('height', 'C1'))):
        camera, target = np.array(record.camera)[:, index], np.array(record.target)[:, index]
        ways.plot(record.times, target, colour, linestyle=':', label=f'{name}, target')
        ways.plot(record.times, camera, colour, label=f'{name}, camera')
        errors.plot(record.times, np.degrees(np.array(record.errors)[:, index]), colour)
    ways.legend(ncols=2, fontsize='small')
    ways.set_title('where the camera looks, and where the target is')
    errors.set_ylabel('bearing [°]')
    errors.axhline(0, color='0.7', linewidth=0.8)
    speeds.plot(*np.array(record.commands).T, 'C2')
    speeds.set_ylabel('greatest command')
    speeds.set_xlabel('seconds')
    hurry = HURRY[0] * seconds, HURRY[1] * seconds
    hidden = hides, hides + HIDDEN
    for axes in (ways, errors, speeds):
        axes.axvspan(*hurry, color='C8', alpha=0.15)
        axes.axvspan(*hidden, color='C7', alpha=0.4)
        axes.axvline(record.lost, color='C3', linewidth=0.8)
    errors.set_title('yellow: it hurries; grey: it is hidden; red: the camera fails')
    figure.savefig(path, dpi=110)


def run(arguments: argparse.Namespace) -> int:
    """The demo; the exit code says whether the target was kept in view."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    processes.isolate()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    world = World(arguments.seed, arguments.seconds)
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        film = stack.enter_context(closing(Film(out / 'follow.mp4', arguments.rate)))
        tracker = stack.enter_context(NodeProcess('nodes.tracker_node', {}))
        follow = stack.enter_context(NodeProcess('nodes.follow_node', FOLLOW))
        flight = stack.enter_context(Flight(world, film, arguments.rate))

        def check() -> None:
            tracker.check()
            follow.check()

        flight.check = check
        print('starting the nodes')
        with TrackerClient('/follow') as conductor:
            conductor.check = check
            if not (flight.start() and conductor.start()):
                raise MemtrackError(f'a node does not start:\n{tracker.output()}{follow.output()}')
        _prompt(flight)
        flight.begin()
        flight.fly(arguments.seconds)
    record = flight.record
    draw(record, arguments.seconds, world.hides, out / 'follow.png')
    tracked = record.states.count(TrackedTarget.TRACKING)
    print(
        f'{len(record.times) / arguments.seconds:.1f} images/s, answered when '
        f'{np.nanmedian(record.ages):.2f} s old; TRACKING in {tracked} of {len(record.states)}'
    )
    print(f'in view {record.share():.1%} of {arguments.seconds:g} s')
    print(f'rms bearing error {np.degrees(record.rms()):.1f}°')
    print(f'at rest {record.stopping():.2f} s after the last image')
    print(f'written: {out}/follow.png, {out}/follow.mp4')
    return 0 if record.share() >= ENOUGH else 1


def _prompt(flight: Flight) -> None:
    """Points at the target in an image that the tracker has seen."""
    view, stamp = flight.look(0.0)
    flight.wait_until(lambda: stamp in flight.targets, 'the answer to an image')
    received = flight.targets[stamp].message.header.stamp
    answer = flight.init_target(box=view.box, stamp=received)
    if not answer.success:
        raise MemtrackError(answer.message)


def main(args: list[str] | None = None) -> int:
    """The exit code: 0, 1 when the target was not kept in view, 2 for an error."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.tools.follow_demo',
        description='Keeps a target in view with a virtual camera, through the live nodes.',
    )
    parser.add_argument('--seed', type=int, default=DEMO_SEEDS[0], help='which world is drawn')
    parser.add_argument('--seconds', type=float, default=60.0)
    parser.add_argument('--rate', type=float, default=15.0, help='images per second')
    parser.add_argument(
        '--out', type=Path, default=Path('demo'), metavar='DIR', help='default: demo'
    )
    arguments = parser.parse_args(args)
    return interrupt.exit_code(lambda: run(arguments))


if __name__ == '__main__':
    sys.exit(main())
