"""How the whole node keeps up with a camera: python -m memtrack_ros.tools.live --tracker NAME.

The node runs in a process of its own; this one publishes a drawn scene at the camera's rate,
whatever the node does, and counts what comes back. The last line is JSON.
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import argparse
import json
import sys
import time
from itertools import islice
from statistics import median
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from memtrack_ros.errors import MemtrackError
from memtrack_ros.scenes import drawn_scene, to_and_fro
from memtrack_ros.tools import processes
from memtrack_ros.tools.client import TrackerClient
from memtrack_ros.tools.processes import NodeProcess

RATE = 30.0
DISTINCT = 20  # frames that are drawn; they are shown to and fro
SEED = 4
WARM = 15  # first images, which do not count


def measure(
    tracker: str, variant: str, size: tuple[int, int], seconds: float, threads: int
) -> dict[str, Any]:
    """Images published, answered and dropped; medians of milliseconds.

    From the image published to its target received, and what the node says of its own processing.
    """
    width, height = size
    scene = drawn_scene(SEED, width, height, DISTINCT)
    frames = [scene.render(number).image for number in range(DISTINCT)]
    shown = to_and_fro(frames)
    processes.isolate()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    parameters: dict[str, str | float] = {
        'tracker': tracker,
        'variant': variant,
        'threads': threads,
    }
    try:
        with (
            NodeProcess('nodes.tracker_node', parameters) as process,
            TrackerClient(check=process.check) as client,
        ):
            if not client.start():
                raise MemtrackError(f'the tracker does not start:\n{process.output()}')
            stamp = client.publish(next(shown))
            client.target(stamp)
            answer = client.init_target(box=scene.render(0).box, stamp=stamp)
            if not answer.success:
                raise MemtrackError(answer.message)
            count = WARM + round(seconds * RATE)
            begun, stamps = time.monotonic(), []
            for number, frame in enumerate(islice(shown, count)):
                time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
                stamps.append(client.publish(frame))
            client.target(stamps[-1])
            keys = [stamp.sec * 10**9 + stamp.nanosec for stamp in stamps[WARM:]]
            answered = [client.targets[key] for key in keys if key in client.targets]
            ages = [one.time - key for key in keys if (one := client.targets.get(key))]
    finally:
        rclpy.try_shutdown()
    return {
        'published': len(keys),
        'answered': len(answered),
        'dropped': len(keys) - len(answered),
        'image_to_target_ms': median(ages) / 1e6,
        'processing_ms': 1e3 * median(one.message.processing_time for one in answered),
    }


def main(args: list[str] | None = None) -> int:
    """The exit code: 0, or 2 for an error."""
    parser = argparse.ArgumentParser(
        prog='python -m memtrack_ros.tools.live', description=(__doc__ or '').partition(':')[0]
    )
    parser.add_argument('--tracker', required=True)
    parser.add_argument('--variant', default='compact')
    parser.add_argument('--size', default='640x480', metavar='WxH', help='of the images')
    parser.add_argument('--seconds', type=float, default=60.0, help='of video')
    parser.add_argument('--threads', type=int, default=0, help='of the node, as its parameter')
    arguments = parser.parse_args(args)
    width, height = (int(part) for part in arguments.size.split('x'))

    def timed() -> int:
        size = width, height
        found = measure(
            arguments.tracker, arguments.variant, size, arguments.seconds, arguments.threads
        )
        print(json.dumps(found))
        return 0

    return interrupt.exit_code(timed)


if __name__ == '__main__':
    sys.exit(main())
