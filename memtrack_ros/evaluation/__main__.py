"""The command line: python -m memtrack_ros.evaluation run | parity."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from memtrack_ros import trackers
from memtrack_ros.errors import MemtrackError
from memtrack_ros.evaluation.parity.reference import Reference
from memtrack_ros.evaluation.runner import SessionFollower
from memtrack_ros.session import Session

try:
    from rich.console import Console

    from memtrack_ros.evaluation.compare import compare
    from memtrack_ros.evaluation.parity.report import SUBJECTS, parity
except ModuleNotFoundError as error:
    sys.exit(f'{error.name} is missing: pip install "memtrack_ros[evaluation]"')


def run(arguments: argparse.Namespace) -> int:
    """Runs each tracker over each sequence, shows the tables and writes them."""
    if arguments.weights and len(arguments.trackers) > 1:
        raise MemtrackError(
            f'--weights is one file for one tracker, but --trackers names '
            f'{len(arguments.trackers)}: run them one by one'
        )
    followers = {
        name: SessionFollower(Session(trackers.create(name, arguments.variant, arguments.weights)))
        for name in arguments.trackers
    }
    compare(followers, arguments.sequences, arguments.out)
    return 0


def compare_with_authors(arguments: argparse.Namespace) -> int:
    """Compares the paper variants with the authors' numbers; 1 when any array is missed."""
    reference = Reference(arguments.reference, arguments.salt)
    subjects = [arguments.tracker] if arguments.tracker else list(SUBJECTS)
    return 0 if parity(reference, subjects, Console()) else 1


def main(args: list[str] | None = None) -> int:
    """The exit code: 0, or 2 for an error that the user can mend, said in a sentence."""
    parser = argparse.ArgumentParser(prog='python -m memtrack_ros.evaluation')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    command = commands.add_parser(
        'run',
        help='run trackers over sequences and score them',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument(
        '--sequences',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder of SET/NAME/img, groundtruth.txt',
    )
    command.add_argument(
        '--trackers',
        type=lambda names: names.split(','),
        required=True,
        metavar='NAME,...',
        help=f'of {", ".join(trackers.NAMES)}',
    )
    command.add_argument('--variant', choices=trackers.VARIANTS, default='compact', help='size')
    command.add_argument('--weights', type=Path, metavar='FILE', help='instead of the shipped ones')
    command.add_argument(
        '--out', type=Path, metavar='DIR', default='results', help='for the tables'
    )
    command.set_defaults(run=run)
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
    sys.exit(main())
