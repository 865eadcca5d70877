"""Train compact trackers on drawn scenes, and on real sequences where there are any.

python -m memtrack_ros.training stmtrack dmv --minutes 90 --imagery FOLDER --out FOLDER
torchrun --nproc-per-node 4 -m memtrack_ros.training stmtrack --minutes 90 --out FOLDER

Cut objects to draw with out of photographs: python -m memtrack_ros.training cutouts --help
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from memtrack_ros.errors import ConfigurationError, MemtrackError
from memtrack_ros.scenes.imagery import read_imagery
from memtrack_ros.trackers import NAMES, find_device
from memtrack_ros.training import cmedfl, cutouts, dmv, memtrack, samn, stmtrack
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.loop import PEAK_RATE, Sources, train
from memtrack_ros.training.mixed_clips import MixedClips
from memtrack_ros.training.real_clips import RealClips
from memtrack_ros.training.workers import Workers, own_device
from memtrack_ros.weights.files import load_weights, shipped_file

RECIPES = {
    'stmtrack': stmtrack.RECIPE,
    'memtrack': memtrack.RECIPE,
    'dmv': dmv.RECIPE,
    'samn': samn.RECIPE,
    'cmedfl': cmedfl.RECIPE,
}
TOOLS = {'cutouts': cutouts.main}
# Of the imagery that the folder is expected to hold, and the trunk's.
ATTRIBUTION = 'drawn scenes; imagery and trunk: see the model card'


def main() -> int:
    """Train one tracker's compact variant, or use a tool of training."""
    if sys.argv[1:2] and sys.argv[1] in TOOLS:
        return _reported(TOOLS[sys.argv[1]], sys.argv[2:])
    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.training', description=__doc__)
    parser.add_argument('trackers', nargs='+', choices=RECIPES, metavar='TRACKER')
    parser.add_argument(
        '--minutes', type=float, default=90.0, help='training time in all, resumed parts included'
    )
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--rate', type=float, default=PEAK_RATE, help='of learning at its peak')
    parser.add_argument(
        '--begin',
        metavar='SOURCE',
        help='with what fits of the weights shipped with this tracker, or of this weight file; '
        'without it each begins with its own',
    )
    parser.add_argument(
        '--trunk', type=Path, help='weight file with another trunk, which `training distil` makes'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    parser.add_argument(
        '--imagery', type=Path, help='folder with photos/, objects/ and textures/ to draw with'
    )
    parser.add_argument(
        '--data',
        type=Path,
        action='append',
        default=[],
        help='folder of sequences or of pictures with objects, in the layout of GOT-10k, LaSOT, '
        'TrackingNet, YouTube-VOS, DAVIS, COCO or another that evaluation reads, to train on as '
        'much as on drawn scenes; may be given several times',
    )
    parser.add_argument(
        '--validation', type=Path, help='folder of such sequences to validate with, too'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('training-out'), help='checkpoint, log and weights'
    )
    return _reported(start, parser.parse_args())


Given = TypeVar('Given')


def _reported(work: Callable[[Given], None], given: Given) -> int:
    """The exit status of `work`, whose errors are said in a sentence."""
    try:
        work(given)
    except MemtrackError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def start(arguments: argparse.Namespace) -> None:
    """Train as the command line says."""
    device = own_device(find_device(arguments.device))
    imagery = read_imagery(arguments.imagery, device) if arguments.imagery else None
    scenes = DrawnClips(imagery)
    trunk = read_tensors(arguments.trunk) if arguments.trunk else {}
    beginning = {
        name: begin_with(arguments.begin or name) | trunk for name in arguments.trackers
    }
    real = [RealClips(folder) for folder in arguments.data]
    validation = {'drawn': scenes}
    if arguments.validation:
        validation['real'] = RealClips(arguments.validation)
    workers = Workers.join(device)
    train(
        {name: RECIPES[name] for name in arguments.trackers},
        arguments.out,
        beginning=beginning,
        minutes=arguments.minutes,
        seed=arguments.seed,
        rate=arguments.rate,
        device=device,
        sources=Sources(MixedClips([scenes, *real]) if real else scenes, validation),
        attribution='; '.join(
            ['drawn scenes' if imagery is None else ATTRIBUTION]
            + [f'sequences of {folder.resolve().name}' for folder in arguments.data]
        ),
        command=shlex.join(['python', '-m', 'memtrack_ros.training', *sys.argv[1:]]),
        workers=workers,
    )
    workers.leave()


def begin_with(source: str) -> dict[str, Tensor]:
    """Parameters of the weights shipped with tracker `source`, or in the weight file `source`.

    Raises ConfigurationError where it is neither.
    """
    if source in NAMES:
        return load_weights(shipped_file(source, 'compact'), source, 'compact').tensors
    return read_tensors(Path(source))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file of whatever network, in single precision.

    Raises ConfigurationError where it is none.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as reason:
        raise ConfigurationError(
            f'{path} is no weight file ({reason}); name a .safetensors file, or one of: '
            f'{", ".join(NAMES)}.'
        ) from reason
    return {name: x.float() if x.is_floating_point() else x for name, x in tensors.items()}


if __name__ == '__main__':
    raise SystemExit(main())
