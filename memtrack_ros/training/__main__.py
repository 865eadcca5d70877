"""Train compact trackers on drawn scenes, and on real sequences where there are any.

Or one published network as its paper says: TRACKER --variant paper --data FOLDER.

python -m memtrack_ros.training stmtrack dmv --minutes 90 --imagery FOLDER --out FOLDER
torchrun --nproc-per-node 4 -m memtrack_ros.training stmtrack --minutes 90 --out FOLDER

Make what they stand on and learn from: python -m memtrack_ros.training distil|label|cutouts --help
Average the weights of several trainings: python -m memtrack_ros.training average TRACKER FILE...
Fit their confidence anew: python -m memtrack_ros.training calibrate TRACKER...
"""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from memtrack_ros.errors import ConfigurationError, MemtrackError
from memtrack_ros.scenes.imagery import read_imagery
from memtrack_ros.trackers import VARIANTS, find_device
from memtrack_ros.training import (
    average,
    calibrate,
    cmedfl,
    cutouts,
    distil,
    dmv,
    label,
    memtrack,
    samn,
    stmtrack,
)
from memtrack_ros.training.beginning import begin_with, origin
from memtrack_ros.training.bending import BentClips
from memtrack_ros.training.clips import ClipSource
from memtrack_ros.training.drawn_clips import DrawnClips
from memtrack_ros.training.framing import PARTIAL
from memtrack_ros.training.loop import BATCH, FRAMES, LABEL, LEAST_FRAMES, PEAK_RATE, Sources, train
from memtrack_ros.training.mixed_clips import MixedClips
from memtrack_ros.training.paper_loop import train as train_paper
from memtrack_ros.training.paper_recipes import PAPER_RECIPES
from memtrack_ros.training.real_clips import RealClips
from memtrack_ros.training.workers import Workers, own_device

RECIPES = {
    'stmtrack': stmtrack.RECIPE,
    'memtrack': memtrack.RECIPE,
    'dmv': dmv.RECIPE,
    'samn': samn.RECIPE,
    'cmedfl': cmedfl.RECIPE,
}
TOOLS = {
    'distil': distil.main,
    'label': label.main,
    'cutouts': cutouts.main,
    'average': average.main,
    'calibrate': calibrate.main,
}


def main() -> int:
    """Train compact variants of trackers, or use a tool of training."""
    if sys.argv[1:2] and sys.argv[1] in TOOLS:
        return _reported(TOOLS[sys.argv[1]], sys.argv[2:])
    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.training', description=__doc__)
    parser.add_argument('trackers', nargs='+', choices=RECIPES, metavar='TRACKER')
    parser.add_argument(
        '--variant',
        choices=VARIANTS,
        default='compact',
        help='paper: the published network, as its paper says; one tracker, --data, --steps',
    )
    parser.add_argument('--steps', type=int, help='of a paper variant; the paper has its own')
    parser.add_argument(
        '--batch',
        type=int,
        help=f'clips a step and process: {BATCH}, unless the paper has its own',
    )
    parser.add_argument('--frames', type=int, default=FRAMES, help='of a clip of compact trackers')
    parser.add_argument(
        '--scenes',
        choices=('on', 'off'),
        help='off: nothing is drawn, --data is all that is seen; so are paper variants unless on',
    )
    parser.add_argument(
        '--minutes', type=float, default=90.0, help='training time in all, resumed parts included'
    )
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--rate', type=float, default=PEAK_RATE, help='of learning at its peak')
    parser.add_argument(
        '--trunk-rate',
        type=float,
        default=0.0,
        help='share of the rate at which the trunk that compact trackers share learns with them; '
        '0: it stands still',
    )
    parser.add_argument(
        '--begin',
        metavar='SOURCE',
        help='with what fits of the weights shipped with this tracker, or of this weight file; '
        'without it each begins with its own',
    )
    parser.add_argument(
        '--trunk', help='weight file with another trunk, which `training distil` makes'
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


def start_paper(arguments: argparse.Namespace) -> None:
    """Train a published network as its paper says."""
    if len(arguments.trackers) > 1:
        raise ConfigurationError(
            f'--variant paper trains one tracker, not {len(arguments.trackers)}; '
            'name one after the other.'
        )
    (name,) = arguments.trackers
    device = own_device(find_device(arguments.device))
    sources: list[ClipSource] = [RealClips(folder) for folder in arguments.data]
    if arguments.scenes == 'on':
        sources.append(DrawnClips(None))
    if not sources:
        raise ConfigurationError(
            '--variant paper learns from sequences; name a folder of them with --data, or set '
            '--scenes on.'
        )
    recipe, workers = PAPER_RECIPES[name], Workers.join(device)
    train_paper(
        name,
        recipe,
        arguments.out,
        beginning=begin_with(arguments.begin) if arguments.begin else {},
        source=MixedClips(sources),
        steps=arguments.steps or recipe.steps,
        batch=arguments.batch or max(1, recipe.batch // workers.count),
        seed=arguments.seed,
        device=device,
        attribution='; '.join(f'sequences of {folder.resolve().name}' for folder in arguments.data)
        or 'drawn scenes',
        workers=workers,
    )
    workers.leave()


def start(arguments: argparse.Namespace) -> None:
    """Train as the command line says."""
    if arguments.variant == 'paper':
        start_paper(arguments)
        return
    if arguments.scenes == 'off' and not arguments.data:
        raise ConfigurationError('--scenes off leaves nothing to learn from; name --data.')
    if arguments.frames < LEAST_FRAMES:
        raise ConfigurationError(
            f'--frames is {arguments.frames}; it must be at least {LEAST_FRAMES}: the first shows '
            'the target, the next is asked for it.'
        )
    device = own_device(find_device(arguments.device))
    imagery = read_imagery(arguments.imagery, device) if arguments.imagery else None
    scenes = DrawnClips(imagery, PARTIAL)
    # The trunk's label convolution is each tracker's own.
    trunk = {
        name: tensor
        for name, tensor in (begin_with(arguments.trunk) if arguments.trunk else {}).items()
        if not name.startswith(LABEL)
    }
    beginning = {name: begin_with(arguments.begin or name) | trunk for name in arguments.trackers}
    real = [BentClips(RealClips(folder, PARTIAL)) for folder in arguments.data]
    drawn = [] if arguments.scenes == 'off' else [scenes]
    validation: dict[str, ClipSource] = {'drawn': scenes}
    if arguments.validation:
        validation['real'] = BentClips(RealClips(arguments.validation, PARTIAL))
    workers = Workers.join(device)
    train(
        {name: RECIPES[name] for name in arguments.trackers},
        arguments.out,
        beginning=beginning,
        minutes=arguments.minutes,
        seed=arguments.seed,
        rate=arguments.rate,
        trunk_rate=arguments.trunk_rate,
        batch=arguments.batch or BATCH,
        frames=arguments.frames,
        device=device,
        sources=Sources(MixedClips([*drawn, *real]) if real else scenes, validation),
        attribution='; '.join(
            (
                []
                if not drawn
                else ['drawn scenes']
                if imagery is None
                else ['drawn scenes with imagery: see the model card']
            )
            + [f'sequences of {folder.resolve().name}' for folder in arguments.data]
            + ([f'trunk: {origin(arguments.trunk)}'] if arguments.trunk else [])
        ),
        command=shlex.join(['python', '-m', 'memtrack_ros.training', *sys.argv[1:]]),
        workers=workers,
    )
    workers.leave()


if __name__ == '__main__':
    raise SystemExit(interrupt.exit_code(main))
