"""Train a compact tracker on drawn scenes.

python -m memtrack_ros.training stmtrack --minutes 90 --imagery FOLDER --out FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from memtrack_ros.scenes.imagery import read_imagery
from memtrack_ros.trackers import NAMES, find_device
from memtrack_ros.training import cmedfl, dmv, memtrack, samn, stmtrack
from memtrack_ros.training.loop import train
from memtrack_ros.weights.files import load_weights, shipped_file

RECIPES = {
    'stmtrack': stmtrack.RECIPE,
    'memtrack': memtrack.RECIPE,
    'dmv': dmv.RECIPE,
    'samn': samn.RECIPE,
    'cmedfl': cmedfl.RECIPE,
}
TRUNK = 'trunk.'  # what the parameters of the shared backbone's names begin with
# Of the imagery that the folder is expected to hold.
ATTRIBUTION = 'drawn scenes; imagery: see the model card'


def main() -> int:
    """Train one tracker's compact variant."""
    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.training', description=__doc__)
    parser.add_argument('tracker', choices=RECIPES)
    parser.add_argument(
        '--minutes', type=float, default=90.0, help='training time in all, resumed parts included'
    )
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument(
        '--trunk', choices=NAMES, help='begin with the backbone that was shipped with this tracker'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')
    parser.add_argument(
        '--imagery', type=Path, help='folder with photos/, objects/ and textures/ to draw with'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('training-out'), help='checkpoint, log and weights'
    )
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    imagery = read_imagery(arguments.imagery, device) if arguments.imagery else None
    trunk: dict[str, Tensor] = {}
    if arguments.trunk:
        shipped = load_weights(
            shipped_file(arguments.trunk, 'compact'), arguments.trunk, 'compact'
        ).tensors
        trunk = {name: tensor for name, tensor in shipped.items() if name.startswith(TRUNK)}
    train(
        arguments.tracker,
        RECIPES[arguments.tracker],
        arguments.out,
        trunk=trunk,
        minutes=arguments.minutes,
        seed=arguments.seed,
        device=device,
        imagery=imagery,
        attribution='drawn scenes' if imagery is None else ATTRIBUTION,
    )
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
