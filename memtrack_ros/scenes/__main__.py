"""Write drawn scenes as sequences with truth, which evaluation and training read.

python -m memtrack_ros.scenes OUT --scenes 24 --frames 600 --imagery IMAGERY
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from memtrack_ros import interrupt
from memtrack_ros.data.writer import write_sequence
from memtrack_ros.errors import ConfigurationError, MemtrackError
from memtrack_ros.scenes.drawn import drawn_scene
from memtrack_ros.scenes.imagery import Imagery, read_imagery

# No training, validation, calibration or demonstration draws from seeds of seven hundred thousand.
FIRST_SEED = 700_000


def main() -> int:
    """Write scenes as the command line says."""
    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.scenes', description=__doc__)
    parser.add_argument('out', type=Path, help='a new folder')
    parser.add_argument('--scenes', type=int, default=24)
    parser.add_argument('--frames', type=int, default=600)
    parser.add_argument('--size', type=int, nargs=2, default=(320, 240), metavar=('W', 'H'))
    parser.add_argument('--strength', type=float, default=1.0, help='0 to 1: how difficult')
    parser.add_argument('--imagery', type=Path, help='folder with photos/, objects/ and textures/')
    given = parser.parse_args()
    try:
        if given.out.exists():
            raise ConfigurationError(f'{given.out} is there already; name a new folder.')
        imagery = read_imagery(given.imagery, torch.device('cpu')) if given.imagery else None
        for number in range(given.scenes):
            print(f'scene {number + 1} of {given.scenes}', end='\r', file=sys.stderr)
            folder = given.out / 'drawn' / f'{number:03}'
            write(folder, FIRST_SEED + number, given.size, given.frames, given.strength, imagery)
    except MemtrackError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def write(
    folder: Path,
    seed: int,
    size: tuple[int, int],
    frames: int,
    strength: float,
    imagery: Imagery | None,
) -> None:
    """Write the scene of `seed` into a new `folder`."""
    scene = drawn_scene(seed, *size, frames, strength, imagery)
    rendered = (scene.render(number) for number in range(frames))
    write_sequence(folder, ((frame.image, frame.mask) for frame in rendered))


if __name__ == '__main__':
    raise SystemExit(interrupt.exit_code(main))
