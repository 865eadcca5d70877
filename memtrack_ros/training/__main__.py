"""Train a compact tracker on drawn scenes, and on real sequences where there are any.

python -m memtrack_ros.training stmtrack --minutes 90 --imagery FOLDER --out FOLDER
torchrun --nproc-per-node 4 -m memtrack_ros.training stmtrack --minutes 90 --out FOLDER
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from torch import Tensor

from memtrack_ros.errors import MemtrackError
from memtrack_ros.nets.efficientnet import EfficientNetLite0, published
from memtrack_ros.scenes.imagery import read_imagery
from memtrack_ros.trackers import NAMES, find_device
from memtrack_ros.training import cmedfl, dmv, memtrack, samn, stmtrack
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.loop import BODY, PEAK_RATE, train
from memtrack_ros.training.mixed_clips import MixedClips
from memtrack_ros.training.real_clips import RealClips
from memtrack_ros.training.workers import Workers, own_device
from memtrack_ros.weights.checkpoints import opened_checkpoint
from memtrack_ros.weights.files import load_weights, mismatches, shipped_file

RECIPES = {
    'stmtrack': stmtrack.RECIPE,
    'memtrack': memtrack.RECIPE,
    'dmv': dmv.RECIPE,
    'samn': samn.RECIPE,
    'cmedfl': cmedfl.RECIPE,
}
# Of the imagery that the folder is expected to hold, and the body's.
ATTRIBUTION = 'drawn scenes; imagery and backbone: see the model card'


def main() -> int:
    """Train one tracker's compact variant."""
    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.training', description=__doc__)
    parser.add_argument('tracker', choices=RECIPES)
    parser.add_argument(
        '--minutes', type=float, default=90.0, help='training time in all, resumed parts included'
    )
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument(
        '--rate',
        type=float,
        default=PEAK_RATE,
        help='of learning at its peak; for weights that are trained already, a lower one',
    )
    parser.add_argument(
        '--begin',
        metavar='SOURCE',
        help='with what fits of the weights shipped with this tracker, the same or another, or of '
        'this published checkpoint of EfficientNet-Lite0; its body is then not trained',
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
        '--out', type=Path, default=Path('training-out'), help='checkpoint, log and weights'
    )
    arguments = parser.parse_args()
    try:
        start(arguments)
    except MemtrackError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def start(arguments: argparse.Namespace) -> None:
    """Train as the command line says."""
    device = own_device(find_device(arguments.device))
    imagery = read_imagery(arguments.imagery, device) if arguments.imagery else None
    scenes = DrawnClips(imagery)
    beginning = begin_with(arguments.begin) if arguments.begin else {}
    workers = Workers.join(device)
    train(
        arguments.tracker,
        RECIPES[arguments.tracker],
        arguments.out,
        beginning=beginning,
        minutes=arguments.minutes,
        seed=arguments.seed,
        rate=arguments.rate,
        device=device,
        source=MixedClips([scenes, *map(RealClips, arguments.data)]) if arguments.data else scenes,
        scenes=scenes,
        attribution='; '.join(
            ['drawn scenes' if imagery is None else ATTRIBUTION]
            + [f'sequences of {folder.resolve().name}' for folder in arguments.data]
        ),
        command=shlex.join(['python', '-m', 'memtrack_ros.training', *sys.argv[1:]]),
        workers=workers,
    )
    workers.leave()


def begin_with(source: str) -> dict[str, Tensor]:
    """Parameters in the weights shipped with tracker `source`, or in a checkpoint file.

    Raises ConfigurationError where it is neither.
    """
    if source in NAMES:
        return load_weights(shipped_file(source, 'compact'), source, 'compact').tensors
    remedy = f'set --begin to one, or to one of: {", ".join(NAMES)}'
    with opened_checkpoint(Path(source), 'checkpoint of EfficientNet-Lite0', remedy) as checkpoint:
        body = published(checkpoint)
        if faults := mismatches(EfficientNetLite0().state_dict(), body):
            raise ValueError(faults[0])
        return {BODY + name: tensor for name, tensor in body.items()}


if __name__ == '__main__':
    raise SystemExit(main())
