"""What each part of what is learned from is worth: CMEDFL trained without it, then scored.

python docs/study.py --begin TRUNK --undistilled TRUNK --imagery IMAGERY --video LABELLED \
    --stills STILLS --sequences SEQUENCES --minutes 8

It begins with a trunk and nothing else; LABELLED is made by `training label`, STILLS and the
IMAGERY's cutouts/ by `training cutouts`. Prints a table in Markdown: what was left out, the steps
that were made and, for each --sequences, the mean success AUC; each with all seeds.
Finished trainings and passes in --out are not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from memtrack_ros.evaluation.markdown import table
from memtrack_ros.scenes import ground, objects, scene
from memtrack_ros.training.__main__ import main as train

TRACKER = 'cmedfl'
SHORT = 3  # frames of a short clip


def steadily(kind: Callable[..., Any]) -> Callable[..., Any]:
    """A camera or a light without faults: at strength 0."""
    return lambda generator, count, strength: kind(generator, count, 0.0)


# What of the scenes is left out: names in modules, and what they are set to.
SCENES: dict[str, dict[tuple[Any, str], Any]] = {
    'articulated figures': {(objects, 'FIGURES'): 0.0},
    'real videos as ground': {(ground, 'FILMED'): 0.0},
    'look-alikes and carriers': {
        (scene, 'BEHIND'): 0.0, (scene, 'IN_FRONT'): 0.0, (scene, 'CARRIED'): 0.0,
    },
    'occluders and absences': {(scene, 'OCCLUDED'): 0.0, (scene, 'LEAVING'): 0.0},
    'faults of light and camera': {
        (scene, 'Camera'): steadily(scene.Camera), (scene, 'Light'): steadily(scene.Light),
        (scene, 'Daylight'): steadily(scene.Daylight),
    },
}  # fmt: skip
PARTS = (
    'nothing', 'distillation', 'real video', 'real targets', 'long clips', 'imagery', *SCENES,
)  # fmt: skip


def words(part: str, seed: int, arguments: argparse.Namespace, out: Path) -> list[str]:
    """The command line of the training without `part`, which writes to `out`."""
    begin = arguments.undistilled if part == 'distillation' else arguments.begin
    said = [TRACKER, '--minutes', str(arguments.minutes), '--begin', begin, '--seed', str(seed)]
    if part != 'real video':
        said += ['--data', str(arguments.video)]
    if part != 'real targets':
        said += ['--data', str(arguments.stills)]
    if part == 'long clips':
        said += ['--frames', str(SHORT)]
    if part != 'imagery':
        imagery = arguments.imagery
        if part == 'real targets':
            imagery = without_cutouts(imagery, out / 'imagery')
        said += ['--imagery', str(imagery)]
    return [*said, '--out', str(out)]


def without_cutouts(imagery: Path, folder: Path) -> Path:
    """A folder with what there is in `imagery` but its cutouts/."""
    folder.mkdir(exist_ok=True)
    for path in imagery.iterdir():
        link = folder / path.name
        if path.name != 'cutouts' and not link.exists():
            link.symlink_to(path.resolve())
    return folder


def study(run: tuple[str, int], arguments: argparse.Namespace) -> tuple[int, list[float]]:
    """Steps and mean success AUC on each --sequences of the training (part left out, seed)."""
    part, seed = run
    out: Path = arguments.out / f'{part.replace(" ", "-")}-{seed}'
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(max(1, torch.get_num_threads() // arguments.jobs))
    for (module, name), value in SCENES.get(part, {}).items():
        setattr(module, name, value)
    sys.argv = ['study', *words(part, seed, arguments, out)]
    scores = []
    with (out / 'output').open('w') as output, contextlib.redirect_stdout(output):
        if not (out / f'{TRACKER}-compact.md').is_file() and train():
            raise RuntimeError(f'The training without {part} failed: see {out / "output"}.')
        for number, sequences in enumerate(arguments.sequences):
            results = out / f'on-{number}'
            score = ['run', '--trackers', TRACKER, '--out', results, '--sequences', sequences]
            score += ['--weights', out / f'{TRACKER}-compact.safetensors']
            subprocess.run(
                [sys.executable, '-m', 'memtrack_ros.evaluation', *score],
                stdout=output,
                check=True,
            )
            found = json.loads((results / 'results.json').read_text())
            scores.append(found['trackers'][TRACKER]['summary']['success_auc'])
    return json.loads((out / 'log.jsonl').read_text().splitlines()[-1])['step'], scores


if __name__ == '__main__':
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option in ('--begin', '--undistilled', '--minutes'):
        parser.add_argument(option, required=True)
    for option in ('--imagery', '--video', '--stills'):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument('--sequences', action='append', required=True)
    parser.add_argument('--without', nargs='+', choices=PARTS, default=PARTS, metavar='PART')
    parser.add_argument('--seeds', nargs='+', type=int, default=[1, 2])
    parser.add_argument('--jobs', type=int, default=1, help='trainings at a time')
    parser.add_argument('--out', type=Path, default=Path('study'))
    arguments = parser.parse_args()
    # All parts with one seed first. A process each, as what one is set to would stay for the next.
    runs = [(part, seed) for seed, part in product(arguments.seeds, arguments.without)]
    with ProcessPoolExecutor(arguments.jobs, get_context('spawn'), max_tasks_per_child=1) as pool:
        found = dict(zip(runs, pool.map(partial(study, arguments=arguments), runs), strict=True))
    rows = [['without', 'steps', *(f'AUC on {Path(name).name}' for name in arguments.sequences)]]
    for part in arguments.without:
        steps, scores = zip(*(found[part, seed] for seed in arguments.seeds), strict=True)
        columns = [
            ', '.join(f'{auc:.3f}' for auc in column) for column in zip(*scores, strict=True)
        ]
        rows.append([part, ', '.join(map(str, steps)), *columns])
    print(table(rows))
