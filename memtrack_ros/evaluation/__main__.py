"""The command line: python -m memtrack_ros.evaluation COMMAND; run, export, bag, parity ..."""

from __future__ import annotations

from memtrack_ros import interrupt

if __name__ == '__main__':
    interrupt.end_at_once()  # what follows takes seconds

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from memtrack_ros import trackers
from memtrack_ros.data.labelled_videos import labelled_videos
from memtrack_ros.data.otb_lists import OTB
from memtrack_ros.data.results import FORMATS
from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import MemtrackError, SequenceError
from memtrack_ros.evaluation.export import export
from memtrack_ros.evaluation.parity.reference import Reference
from memtrack_ros.evaluation.passes import origin_of
from memtrack_ros.evaluation.runner import SessionFollower
from memtrack_ros.nets.threads import compute_with, settled
from memtrack_ros.scenes.imagery import read_imagery
from memtrack_ros.session import Session
from memtrack_ros.trackers.registry import find_device

try:
    from rich.console import Console

    from memtrack_ros.evaluation import benchmark as speed
    from memtrack_ros.evaluation import benchmark_report, peers, vos
    from memtrack_ros.evaluation.compare import THREADS, Entrant, compare
    from memtrack_ros.evaluation.parity.report import SUBJECTS, parity
    from memtrack_ros.evaluation.presence import PresenceVideo, drawn, presence, recorded
    from memtrack_ros.evaluation.reads import pictures
    from memtrack_ros.evaluation.report import FIRST_ALONE
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "memtrack_ros[evaluation]"')


SMALLEST = 32  # pixels, of a side of frames to time


def chosen(arguments: argparse.Namespace) -> dict[str, trackers.AnyTracker]:
    """The trackers asked for, by name."""
    return {
        name: trackers.create(
            name,
            arguments.variant,
            weights_of(arguments, name),
            arguments.device,
            chosen=settings_of(arguments),
        )
        for name in arguments.trackers
    }


def settings_of(arguments: argparse.Namespace) -> trackers.Chosen:
    """What was chosen of the trackers' settings."""
    return trackers.Chosen(arguments.settings, dict(arguments.set))


def weights_of(arguments: argparse.Namespace, tracker: str) -> Path | None:
    """The weights file of one of the trackers asked for; None for the shipped one."""
    weights: Path | None = arguments.weights
    if weights is None or weights.is_dir():
        return weights and weights / f'{tracker}-{arguments.variant}.safetensors'
    if (count := len(arguments.trackers)) > 1:
        raise MemtrackError(
            f'--weights is one file for one tracker, but --trackers names {count}: '
            'name a folder of TRACKER-VARIANT.safetensors, or run them one by one'
        )
    return weights


def run(arguments: argparse.Namespace) -> int:
    """Runs trackers and peers over each sequence, shows the tables and writes them."""
    entrants = []
    for name, tracker in chosen(arguments).items():
        settings = settings_of(arguments)
        origin = origin_of(tracker, settings)
        make = partial(
            SessionFollower.of,
            name,
            arguments.variant,
            weights_of(arguments, name),
            arguments.device,
            settings,
        )
        entrants.append(Entrant(name, origin, make))
        if arguments.first_frame:
            alone = partial(make, remembers=False)
            entrants.append(Entrant(name + FIRST_ALONE, f'{origin}, first frame', alone))
    for name in arguments.peers:
        peers.create(name, arguments.models)
        made = partial(peers.create, name, arguments.models)
        entrants.append(Entrant(name, f'{name} of OpenCV {cv2.__version__}', made))
    compare(
        entrants,
        arguments.sequences,
        arguments.out,
        split=arguments.split,
        by_mask=arguments.prompt == 'mask',
        jobs=arguments.jobs,
        command=shlex.join(['python', '-m', 'memtrack_ros.evaluation', *sys.argv[1:]]),
    )
    return 0


def segment_videos(arguments: argparse.Namespace) -> int:
    """Segments all objects of labelled videos at once, and writes what their servers take."""
    if not arguments.trackers:
        raise MemtrackError(f'--trackers names none; name some of {", ".join(trackers.NAMES)}.')
    faults: list[SequenceError] = []
    videos = labelled_videos(arguments.sequences, faults, arguments.split)
    segmenters = {
        name: vos.VosTracker(tracker, origin_of(tracker, settings_of(arguments)))
        for name, tracker in chosen(arguments).items()
    }
    vos.run(videos, segmenters, arguments.out, faults, Console())
    return 0


def follow_bag(arguments: argparse.Namespace) -> int:
    """Follows a target through the images of a bag."""
    try:
        from memtrack_ros.evaluation.bag import follow
        from memtrack_ros.evaluation.bag_reader import ImageTopic
    except ModuleNotFoundError as error:
        raise MemtrackError(f'{error.name} is missing: pip install "memtrack_ros[bags]"') from error
    with ImageTopic(arguments.bag, arguments.topic) as topic:
        tracker = trackers.create(
            arguments.tracker, arguments.variant, arguments.weights, arguments.device
        )
        follow(topic, Session(tracker), arguments.box, arguments.out, Console())
    return 0


def time(arguments: argparse.Namespace) -> int:
    """Times trackers and peers, shows the tables and writes them, with a picture."""
    if arguments.against and not arguments.against.is_file():
        raise MemtrackError(f'There is no file {arguments.against} to compare with.')
    if threads := settled(arguments.threads, find_device(arguments.device)):
        compute_with(threads)
    make = {
        name: partial(
            trackers.create,
            name,
            arguments.variant,
            weights_of(arguments, name),
            arguments.device,
            precision=arguments.precision,
        )
        for name in arguments.trackers
    }
    beside = {name: peers.create(name, None) for name in arguments.peers}
    plan = speed.Plan(arguments.rounds, arguments.aged, tuple(arguments.sizes), arguments.clock)
    results = speed.benchmark(make, beside, plan, Console())
    for name, entry in results['trackers'].items():
        entry['start'] = speed.starting(
            name, arguments.variant, weights_of(arguments, name), arguments.device
        )
        if arguments.live:
            entry['live'] = {
                f'{width}x{height}': speed.live(
                    name, arguments.variant, (width, height), arguments.live
                )
                for width, height in arguments.sizes
            }
    command = shlex.join(['python', '-m', 'memtrack_ros.evaluation', *sys.argv[1:]])
    report = benchmark_report.markdown(results, command)
    print(report)
    if arguments.against:
        before = json.loads(arguments.against.read_text())
        print(benchmark_report.ratios(results, before))
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / 'speed.json').write_text(json.dumps(results, indent=1) + '\n')
    (arguments.out / 'speed.md').write_text(report)
    benchmark_report.draw(results, arguments.out / 'speed.png')
    return 0


def tell_presence(arguments: argparse.Namespace) -> int:
    """Compares what trackers say of their target's presence with the truth."""
    videos: Iterable[PresenceVideo]
    if arguments.sequences is not None:
        faults: list[SequenceError] = []
        found = read_sequences(arguments.sequences, faults)
        for fault in faults:
            print(f'skipped: {fault}', file=sys.stderr)
        videos = map(recorded, found)
    else:
        device = torch.device('cpu')
        imagery = read_imagery(arguments.imagery, device) if arguments.imagery else None
        videos = drawn(arguments.scenes, imagery)
    sessions = {name: Session(tracker) for name, tracker in chosen(arguments).items()}
    presence(sessions, videos, arguments.out, Console())
    return 0


def show_reads(arguments: argparse.Namespace) -> int:
    """Draws what each tracker reads from its memory."""
    for file in pictures(chosen(arguments), arguments.out):
        print(file)
    return 0


def compare_with_authors(arguments: argparse.Namespace) -> int:
    """Compares the paper variants with the authors' numbers; 1 when any array is missed."""
    reference = Reference(arguments.reference, arguments.salt)
    subjects = [arguments.tracker] if arguments.tracker else list(SUBJECTS)
    return 0 if parity(reference, subjects, Console()) else 1


def write_results(arguments: argparse.Namespace) -> int:
    """Writes kept passes for a benchmark's server or toolkit."""
    count = export(arguments.format, arguments.passes, arguments.out)
    print(f'written: {arguments.out}, {count} sequences')
    return 0


def setting(text: str) -> tuple[str, str]:
    """NAME=VALUE."""
    name, sign, value = text.partition('=')
    if not (name and sign and value):
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return name, value


def listed(names: str) -> list[str]:
    """Names that commas separate."""
    return [name for name in names.split(',') if name]


def size_of(text: str) -> tuple[int, int]:
    """Width and height that an x separates."""
    try:
        width, height = map(int, text.split('x'))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{text!r} is not WIDTHxHEIGHT in pixels') from error
    if min(width, height) < SMALLEST:
        raise argparse.ArgumentTypeError(f'{text!r} has a side below {SMALLEST} pixels')
    return width, height


def box_of(numbers: str) -> NDArray[np.float64]:
    """Four numbers that commas separate."""
    try:
        x, y, w, h = map(float, numbers.split(','))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'{numbers!r} is not x,y,w,h in pixels') from error
    return np.array([x, y, w, h])


def default_jobs() -> int:
    """One for each GPU, else for each two cores."""
    return torch.cuda.device_count() or max(1, (os.cpu_count() or 1) // THREADS)


def main(args: list[str] | None = None) -> int:
    """The exit code: 0, or 2 for an error that the user can mend, said in a sentence."""
    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument(
        '--trackers',
        type=listed,
        default=','.join(trackers.NAMES),
        metavar='NAME,...',
        help='which',
    )
    choice.add_argument(
        '--weights',
        type=Path,
        metavar='FILE',
        help='instead of the shipped ones; or a folder of TRACKER-VARIANT.safetensors',
    )
    choice.add_argument('--device', default='auto', help='cpu or cuda; auto: a GPU if there is one')
    choice.add_argument(
        '--settings',
        default='',
        metavar='NAME',
        help='a named set of the paper variant: stmtrack otb, uav123, vot, lasot, got10k',
    )
    choice.add_argument(
        '--set',
        type=setting,
        action='append',
        default=[],
        metavar='NAME=VALUE',
        help='one of the settings of the tracker, for ablations; may be repeated',
    )
    size = argparse.ArgumentParser(add_help=False)
    size.add_argument('--variant', choices=trackers.VARIANTS, default='compact', help='size')

    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.evaluation')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    shown = argparse.ArgumentDefaultsHelpFormatter
    command = commands.add_parser(
        'run',
        parents=[choice, size],
        help='run trackers over sequences, score them',
        formatter_class=shown,
    )
    command.add_argument(
        '--sequences',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder of sequences: OTB, VOT, UAV123, LaSOT, GOT-10k, NFS, TLD, DAVIS ...',
    )
    command.add_argument(
        '--split',
        metavar='LIST',
        help='only what it lists: a file of names, NAME of a NAME.txt in DIR or its ImageSets '
        f'(DAVIS: 2017/val), or {", ".join(OTB)}',
    )
    command.add_argument(
        '--prompt', choices=('box', 'mask'), default='box', help='mask: where the truth has any'
    )
    command.add_argument(
        '--first-frame',
        action='store_true',
        help='beside each tracker, itself without memory of later frames (TRACKER-first)',
    )
    command.add_argument(
        '--peers',
        type=listed,
        default='',
        metavar='NAME,...',
        help=f'of OpenCV, to compare with: {", ".join(peers.PEERS)}',
    )
    command.add_argument(
        '--models', type=Path, metavar='DIR', help='of the ONNX files of nano, vit, dasiamrpn'
    )
    command.add_argument(
        '--jobs', type=int, default=default_jobs(), help='passes at a time, two threads each'
    )
    command.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        default='results',
        help='for tables, plots and every answer; passes that it holds are not run again',
    )
    command.set_defaults(run=run)

    command = commands.add_parser(
        'vos',
        parents=[choice, size],
        help='segment all objects of DAVIS 2017 or YouTube-VOS at once; writes what servers take',
        formatter_class=shown,
    )
    command.add_argument(
        '--sequences', type=Path, required=True, metavar='DIR', help='the benchmark, or its split'
    )
    command.add_argument('--split', metavar='LIST', help='only what it lists (DAVIS: 2017/val)')
    command.add_argument(
        '--out',
        type=Path,
        metavar='DIR',
        default='vos',
        help='for indexed PNGs and scores; videos that it holds are not run again',
    )
    command.set_defaults(run=segment_videos)

    command = commands.add_parser(
        'export', help="write the passes of a run for a benchmark's server or toolkit"
    )
    command.add_argument('format', choices=FORMATS, help='whose')
    command.add_argument(
        '--passes', type=Path, required=True, metavar='DIR', help='passes/TRACKER of a run'
    )
    command.add_argument(
        '--out', type=Path, required=True, metavar='PATH', help='of a new zip; lasot, otb: folder'
    )
    command.set_defaults(run=write_results)

    command = commands.add_parser(
        'bag',
        parents=[size],
        help='follow a target through a ROS 2 bag, without ROS',
        formatter_class=shown,
    )
    command.add_argument('bag', type=Path, metavar='BAG', help='.mcap or .db3 file, or folder')
    command.add_argument('--topic', required=True, help='of Image or CompressedImage')
    command.add_argument(
        '--box',
        type=box_of,
        required=True,
        metavar='X,Y,W,H',
        help='the target in the first image, in pixels',
    )
    command.add_argument(
        '--tracker', choices=trackers.NAMES, default=trackers.DEFAULT, help='which'
    )
    command.add_argument('--weights', type=Path, metavar='FILE', help='instead of the shipped ones')
    command.add_argument('--device', default='auto', help='cpu, cuda; auto: a GPU if there is one')
    command.add_argument(
        '--out', type=Path, metavar='DIR', default='bag', help='for results, video and a bag'
    )
    command.set_defaults(run=follow_bag)

    command = commands.add_parser(
        'benchmark',
        parents=[choice, size],
        help='time trackers, stage by stage, at several sizes and fills of the memory',
        formatter_class=shown,
    )
    command.add_argument(
        '--precision', choices=trackers.PRECISIONS, default='auto', help='of the compact variants'
    )
    command.add_argument(
        '--sizes', type=size_of, nargs='+', default=speed.SIZES, metavar='WxH', help='of frames'
    )
    command.add_argument(
        '--rounds', type=int, default=20, help=f'of {speed.TURN} frames each, at every fill'
    )
    command.add_argument(
        '--aged', type=int, default=0, metavar='FRAMES', help='remembered, as a last fill'
    )
    command.add_argument(
        '--threads',
        type=int,
        default=0,
        help='of PyTorch and OpenCV; 0: theirs, beside a GPU one',
    )
    command.add_argument(
        '--clock',
        choices=speed.CLOCKS,
        default='wall',
        help='cpu: CPU time, for a machine that others use; with --threads 1',
    )
    command.add_argument(
        '--peers', type=listed, default='csrt,kcf', metavar='NAME,...', help='of OpenCV, beside'
    )
    command.add_argument(
        '--live',
        type=float,
        default=0.0,
        metavar='SECONDS',
        help='of a 30 Hz camera before the whole node; needs ROS',
    )
    command.add_argument(
        '--against', type=Path, metavar='FILE', help='speed.json of an earlier run: print ratios'
    )
    command.add_argument(
        '--out', type=Path, metavar='DIR', default='speed', help='for speed.json, .md and .png'
    )
    command.set_defaults(run=time)

    command = commands.add_parser(
        'reads',
        parents=[choice],
        help='draw what compact trackers read from their memories',
        formatter_class=shown,
    )
    command.add_argument(
        '--out', type=Path, metavar='DIR', default='reads', help='for a PNG of each'
    )
    command.set_defaults(run=show_reads, variant='compact')

    command = commands.add_parser(
        'presence',
        parents=[choice, size],
        help='compare what trackers say of their presence with the truth',
        formatter_class=shown,
    )
    videos = command.add_mutually_exclusive_group()
    videos.add_argument(
        '--scenes', type=int, default=240, metavar='N', help='so many drawn situations'
    )
    videos.add_argument(
        '--sequences', type=Path, metavar='DIR', help='folder of sequences, as run has it'
    )
    command.add_argument(
        '--imagery', type=Path, metavar='DIR', help='with photos/ and objects/ to draw with'
    )
    command.add_argument(
        '--out', type=Path, metavar='DIR', default='presence', help='for table, numbers and plot'
    )
    command.set_defaults(run=tell_presence)

    command = commands.add_parser(
        'parity', help="compare the published networks with their authors' numbers"
    )
    command.add_argument(
        '--reference', type=Path, required=True, metavar='DIR', help='folder of *_ref.npz, fill.py'
    )
    command.add_argument('--salt', type=int, default=0, help='that the weights are drawn with')
    command.add_argument('--tracker', choices=SUBJECTS, help='this one alone')
    command.set_defaults(run=compare_with_authors)

    arguments = parser.parse_args(args)
    try:
        return int(arguments.run(arguments))
    except MemtrackError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(interrupt.exit_code(main))
