"""What a benchmark found, as tables in Markdown, as a picture, and beside an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot

from memtrack_ros.evaluation.markdown import table
from memtrack_ros.evaluation.stages import REST, STAGES

Results = Mapping[str, Any]
CLOCKS = {
    'wall': 'by the clock',
    'cpu': 'of CPU time',
}
PERIOD = 1000 / 30  # milliseconds between two images of the usual camera


def markdown(results: Results, command: str) -> str:
    """The whole report."""
    machine = results['machine']
    gpu = f', {machine["gpu"]}' if machine['gpu'] else ''
    lines = [
        '# Speed',
        '',
        f'Measured with `{command}` on {machine["cpu"]}{gpu}, {machine["cores"]} core(s), '
        f'{machine["threads"]} thread(s), load {machine["load"]}, torch {machine["torch"]}, '
        f'OpenCV {machine["opencv"]}. Medians of interleaved runs, milliseconds '
        f'{CLOCKS[results["clock"]]}.',
        '',
    ]
    for size in _sizes(results):
        lines += [f'## {size.replace("x", " × ")}', '', table(_overview(results, size)), '']
        lines += ['Where a step goes, memory full:', '', table(_by_stage(results, size)), '']
    lines += ['## Memory and start', '', table(_start(results)), '']
    if any('live' in entry for entry in results['trackers'].values()):
        lines += ['## The live node before a camera of 30 Hz', '', table(_live(results)), '']
    return '\n'.join(lines)


def at_camera_rate(whole: float) -> str:
    """What happens at 30 Hz to a tracker that takes so many milliseconds a frame."""
    if whole <= PERIOD:
        return f'every image if alone, {100 * whole / PERIOD:.0f} % busy'
    return f'{100 * PERIOD / whole:.0f} of 100 images, the others are dropped'


def ratios(results: Results, against: Results) -> str:
    """How many times as fast as an earlier run, whose figures stand first."""
    head = ('tracker', 'size', 'fill', 'step, then', 'step, now', 'times', 'whole, times')
    rows: list[tuple[str, ...]] = [head]
    for name, entry in results['trackers'].items():
        for size, found in entry['sizes'].items():
            before = against['trackers'].get(name, {}).get('sizes', {}).get(size, {})
            for fill, now in found['fills'].items():
                then = before.get('fills', {}).get(fill)
                if then is None:
                    continue
                step, whole = then['step'] / now['step'], then['whole'] / now['whole']
                figures = f'{then["step"]:.1f}', f'{now["step"]:.1f}', f'{step:.2f}', f'{whole:.2f}'
                rows.append((name, size, fill, *figures))
    return table(rows)


def draw(results: Results, path: Path) -> None:
    """Stacked bars of the stages of each tracker's step, a row a size."""
    sizes = _sizes(results)
    figure, axes = pyplot.subplots(len(sizes), 1, squeeze=False, figsize=(9, 3 * len(sizes)))
    for axis, size in zip(axes[:, 0], sizes, strict=True):
        names = list(results['trackers'])
        left = [0.0] * len(names)
        for stage in (*STAGES, REST):
            widths = [results['trackers'][n]['sizes'][size]['stages'][stage] for n in names]
            axis.barh(names, widths, left=left, label=stage)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for peer, entry in results['peers'].items():
            axis.barh([peer], [entry['sizes'][size]['whole']], color='0.6')
        axis.axvline(PERIOD, color='0.3', linestyle=':')
        axis.set_title(f'{size.replace("x", " × ")}: milliseconds of a step (dotted: 30 Hz)')
        axis.invert_yaxis()
    axes[0, 0].legend(fontsize='small', ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _sizes(results: Results) -> list[str]:
    return list(next(iter(results['trackers'].values()))['sizes'])


def _overview(results: Results, size: str) -> Iterator[tuple[str, ...]]:
    entries = results['trackers']
    fills = list(next(iter(entries.values()))['sizes'][size]['fills'])
    steps = [f'step, memory {fill}' for fill in fills]
    yield ('', 'locate', *steps, 'remember that wrote', 'frames/s', 'at 30 Hz')
    for name, entry in entries.items():
        found = entry['sizes'][size]['fills']
        full = found['full']
        wrote = full.get('remember that wrote')
        yield (
            f'{name} ({entry["precision"]})',
            f'{full["locate"]:.1f}',
            *[f'{found[fill]["step"]:.1f}' for fill in fills],
            '-' if wrote is None else f'{wrote:.1f}',
            f'{1000 / full["whole"]:.0f}',
            at_camera_rate(full['whole']),
        )
    for name, entry in results['peers'].items():
        whole = entry['sizes'][size]['whole']
        beside = '-', *[f'{whole:.1f}'] * len(fills), '-', f'{1000 / whole:.0f}'
        yield (f'OpenCV {name}', *beside, at_camera_rate(whole))


def _by_stage(results: Results, size: str) -> Iterator[tuple[str, ...]]:
    yield ('', *STAGES, REST)
    for name, entry in results['trackers'].items():
        stages = entry['sizes'][size]['stages']
        yield (name, *[f'{stages[stage]:.1f}' for stage in (*STAGES, REST)])
    yield ('decoding a JPEG', f'{results["decode"][size]["jpeg"]:.1f}', *[''] * len(STAGES))


def _start(results: Results) -> Iterator[tuple[str, ...]]:
    yield ('', 'bank MB', 'wrote', 'configure to first estimate s', 'resident MB, before it')
    for name, entry in results['trackers'].items():
        start = entry.get('start')
        yield (
            name,
            f'{entry["bank_bytes"] / 1e6:.1f}',
            entry['wrote'],
            '-' if start is None else f'{start["first_estimate_s"]:.2f}',
            '-'
            if start is None
            else f'{start["resident_bytes"] / 1e6:.0f}, {start["resident_before_bytes"] / 1e6:.0f}',
        )


def _live(results: Results) -> Iterator[tuple[str, ...]]:
    yield ('', 'size', 'images', 'answered', 'dropped', 'image to target ms', 'processing ms')
    for name, entry in results['trackers'].items():
        for size, found in entry.get('live', {}).items():
            if found is None:
                yield (name, size, 'not measured: needs ROS', '', '', '', '')
                continue
            yield (
                name,
                size,
                *[str(found[key]) for key in ('published', 'answered', 'dropped')],
                *[f'{found[key]:.1f}' for key in ('image_to_target_ms', 'processing_ms')],
            )
