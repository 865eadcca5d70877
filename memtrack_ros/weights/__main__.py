"""Convert the checkpoint that a tracker's authors published.

python -m memtrack_ros.weights convert stmtrack CHECKPOINT.pkl stmtrack-paper.safetensors
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import argparse
import sys
from pathlib import Path

from safetensors import SafetensorError

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.weights.convert import CONVERTERS, convert
from memtrack_ros.weights.files import Calibration, save_weights


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 0 when the file was written."""
    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.weights', description=__doc__)
    parser.add_argument('command', choices=['convert'])
    parser.add_argument('tracker', choices=sorted(CONVERTERS))
    parser.add_argument('checkpoint', type=Path, nargs='+')
    parser.add_argument('out', type=Path)
    chosen = parser.parse_args(arguments)
    try:
        tensors = convert(chosen.tracker, chosen.checkpoint)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    origin = f'converted from {", ".join(path.name for path in chosen.checkpoint)}'
    if note := CONVERTERS[chosen.tracker].note:
        origin += f'; {note}'
    try:
        # No truth to calibrate on: confidence is the score itself.
        save_weights(
            chosen.out, chosen.tracker, 'paper', tensors, Calibration(1.0, 0.0), attribution=origin
        )
    except (OSError, SafetensorError) as error:
        print(
            f'{chosen.out} cannot be written ({error}); name another file, in a folder that is '
            'there and has room.',
            file=sys.stderr,
        )
        return 1
    print(f'{chosen.out}: {len(tensors)} tensors, {origin}')
    return 0


if __name__ == '__main__':
    sys.exit(interrupt.exit_code(main))
