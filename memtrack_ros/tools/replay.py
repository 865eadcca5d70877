"""Evaluation through the live node: python -m memtrack_ros.tools.replay --sequences DIR.

Starts the tracker node as a process, publishes each sequence as images on a topic, the next one
when the TrackedTarget of the last has come, and scores the roi of these messages just as
`python -m memtrack_ros.evaluation run` scores a tracker in its own process.
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import argparse
import shlex
import sys
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.signals import SignalHandlerOptions

from memtrack_ros.errors import MemtrackError
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.nodes.messages import Frame
from memtrack_ros.tools import processes
from memtrack_ros.tools.client import TrackerClient
from memtrack_ros.tools.processes import NodeProcess

try:
    from memtrack_ros.evaluation.compare import Entrant, compare
    from memtrack_ros.evaluation.runner import Prediction
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "memtrack_ros[evaluation]"')


RATE = 30  # images a second, as for a session that is told no times


class NodeFollower:
    """A tracker node, fed through its topics and services."""

    segments = False  # its masks have a topic of their own, which is not read here

    def __init__(self, client: TrackerClient) -> None:
        self._client = client
        self._numbers = count(1)

    def start(self, frame: Frame, box: Floats, mask: Frame | None) -> None:
        """Prompts the node with the box. MemtrackError when it refuses."""
        self._client.reset()
        stamp = self._publish(frame)
        self._client.target(stamp)  # so it has the image
        answer = self._client.init_target(box=box, stamp=stamp)
        if not answer.success:
            raise MemtrackError(answer.message)

    def follow(self, frame: Frame) -> Prediction:
        """The image's target; its box is nan when there is none."""
        target = self._client.target(self._publish(frame))
        return Prediction(np.asarray(target.roi, float), target.confidence)

    def _publish(self, frame: Frame) -> Time:
        """Publishes it as of a camera of RATE, however long the answers take."""
        second, part = divmod(next(self._numbers), RATE)
        return self._client.publish(frame, Time(sec=second, nanosec=part * 10**9 // RATE))


def run(arguments: argparse.Namespace) -> int:
    """Replays the folder to a node for each tracker: 0. MemtrackError when one does not start."""
    processes.isolate()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        entrants = []
        for name in arguments.trackers:
            image = f'/{name}/image'
            parameters = {
                'tracker': name,
                'variant': arguments.variant,
                'weights': str(arguments.weights or ''),
                # The next image comes only after the answer to this one: none may be lost.
                f'qos_overrides.{image}.subscription.reliability': 'reliable',
            }
            process = NodeProcess('nodes.tracker_node', parameters, {'__ns': f'/{name}'})
            stack.enter_context(process)
            client = TrackerClient(f'/{name}/memtrack', image, check=process.check)
            stack.enter_context(client)
            if not client.start():
                raise MemtrackError(f'the tracker does not start:\n{process.output()}')
            origin = f'node with {name} {arguments.variant}, started {datetime.now():%F %T}'
            entrants.append(Entrant(name, origin, partial(NodeFollower, client)))
        command = shlex.join(['python', '-m', 'memtrack_ros.tools.replay', *sys.argv[1:]])
        compare(entrants, arguments.sequences, arguments.out, command=command)
    return 0


def main(args: list[str] | None = None) -> int:
    """The exit code: 0, or 2 for an error."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.tools.replay',
        description='Scores trackers over sequences through the live node.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        '--sequences',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder of sequences, of any layout that `evaluation run` reads',
    )
    parser.add_argument(
        '--trackers',
        type=lambda names: names.split(','),
        default='dmv',
        metavar='NAME,...',
        help='each in a node of its own',
    )
    parser.add_argument('--variant', default='compact', help='compact or paper')
    parser.add_argument('--weights', type=Path, metavar='FILE', help='instead of the shipped ones')
    parser.add_argument('--out', type=Path, default='results', metavar='DIR', help='for the tables')
    arguments = parser.parse_args(args)
    return interrupt.exit_code(lambda: run(arguments))


if __name__ == '__main__':
    sys.exit(main())
