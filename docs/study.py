"""What each part of the drawn scenes is worth: CMEDFL trained without it, scored on real video.

python docs/study.py --begin TRUNK --imagery IMAGERY --sequences SEQUENCES --minutes 8

It begins with the trunk that `training distil` makes and nothing else. Prints a table in Markdown.
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
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from memtrack_ros.scenes import ground, objects, scene
from memtrack_ros.training.__main__ import main as train

TRACKER = 'cmedfl'


def steadily(kind: Callable[..., Any]) -> Callable[..., Any]:
    """A camera or a light without faults: at strength 0."""
    return lambda generator, count, strength: kind(generator, count, 0.0)


# Names in modules, and what they are set to.
PARTS: dict[str, dict[tuple[Any, str], Any]] = {
    'nothing': {},
    'nothing, another seed': {},
    'imagery (all is painted)': {},
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


def study(part: str, arguments: argparse.Namespace) -> list[str]:
    """A row of the table: the part left out, steps, mean success AUC, J&F."""
    out: Path = arguments.out / part.replace(' ', '-')
    out.mkdir(parents=True, exist_ok=True)
    weights = out / f'{TRACKER}-compact.safetensors'
    torch.set_num_threads(max(1, torch.get_num_threads() // arguments.jobs))
    for (module, name), value in PARTS[part].items():
        setattr(module, name, value)
    sys.argv = ['study', TRACKER, '--minutes', arguments.minutes, '--out', str(out)]
    sys.argv += ['--begin', arguments.begin, '--seed', '2' if 'seed' in part else '1']
    if 'imagery' not in part:
        sys.argv += ['--imagery', arguments.imagery]
    with (out / 'output').open('w') as output, contextlib.redirect_stdout(output):
        if not (out / f'{TRACKER}-compact.md').is_file() and train():
            raise RuntimeError(f'The training without {part} failed: see {out / "output"}.')
        score = ['run', '--trackers', TRACKER, '--weights', weights, '--out', out]
        score += ['--sequences', arguments.sequences]
        subprocess.run(
            [sys.executable, '-m', 'memtrack_ros.evaluation', *score], stdout=output, check=True
        )
    steps = json.loads((out / 'log.jsonl').read_text().splitlines()[-1])['step']
    found = json.loads((out / 'results.json').read_text())['trackers'][TRACKER]['summary']
    return [part, str(steps), f'{found["success_auc"]:.3f}', f'{found["jf"]:.3f}']


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ('--imagery', '--sequences', '--begin', '--minutes'):
        parser.add_argument(option, required=True)
    parser.add_argument('--jobs', type=int, default=1, help='trainings at a time')
    parser.add_argument('--out', type=Path, default=Path('study'))
    arguments = parser.parse_args()
    rows = [['without', 'steps', 'mean AUC', 'J&F'], ['---'] * 4]
    # A process for each part, as what one is set to would stay for the next.
    with ProcessPoolExecutor(arguments.jobs, get_context('spawn'), max_tasks_per_child=1) as pool:
        rows += pool.map(partial(study, arguments=arguments), PARTS)
    print('\n'.join(f'| {" | ".join(row)} |' for row in rows))
