"""What is known of a target, as one file: saved, verified and restored."""

from __future__ import annotations

import os
import re
import reprlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from memtrack_ros.errors import SnapshotError
from memtrack_ros.session.session import Session
from memtrack_ros.trackers import NAMES, VARIANTS
from memtrack_ros.weights import tables

FORMAT = 'snapshot 1'
SUFFIX = '.safetensors'
LONGEST = 100  # characters of a name
LISTED = 200  # names
SHORT = 12  # digits of a hash that are enough for a reader
BESIDE = 2**28  # bytes: more than any tracker keeps beside its bank


@dataclass(frozen=True)
class Snapshot:
    """A target at one moment.

    `state` (tensors on the CPU) is a session's; it means something to `tracker` of this `variant`
    with the `weights` of this digest only.
    """

    tracker: str
    variant: str
    weights: str
    state: dict[str, Tensor]

    @classmethod
    def of(cls, session: Session) -> Snapshot:
        """All that is known of the session's target. SnapshotError without one."""
        tracker = session.tracker
        return cls(tracker.name, tracker.variant, tracker.weights, session.snapshot())

    def restore(self, session: Session) -> None:
        """Let the session follow the target: its next estimates are those that came next.

        SnapshotError, with nothing changed, where tracker or weights are not those of the snapshot.
        """
        tracker = session.tracker
        if (tracker.name, tracker.variant) != (self.tracker, self.variant):
            raise SnapshotError(
                f'The snapshot is of {self.tracker} ({self.variant}), not of {tracker.name} '
                f'({tracker.variant}); restore it with that tracker.'
            )
        if tracker.weights != self.weights:
            theirs, ours = told_apart(self.weights, tracker.weights)
            raise SnapshotError(
                f'The snapshot was made with weights of hash {theirs}, but those in use have '
                f'{ours}; configure with the weights that it was made with.'
            )
        session.restore(self.state)

    def save(self, path: Path) -> None:
        """Write the snapshot, and the folder if there is none; replaces `path` in one step.

        SnapshotError, with `path` as it was, when it cannot be written.
        """
        about = {'tracker': self.tracker, 'variant': self.variant, 'weights': self.weights}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            tables.write(path, self.state, {'format': FORMAT, **about})
        except (OSError, SafetensorError) as error:
            raise SnapshotError(
                f'{path} cannot be written ({error}); make room, or save in another folder.'
            ) from error

    @classmethod
    def load(cls, path: Path, max_bytes: int) -> Snapshot:
        """Read and verify a file; `max_bytes` is what a memory bank may have.

        SnapshotError when it is missing, too large, damaged, or no snapshot of this version.
        """
        if not path.is_file():
            raise SnapshotError(f'There is no snapshot {path}; save one, or choose another.')
        size, limit = path.stat().st_size, max_bytes + BESIDE
        if size > limit:
            raise SnapshotError(
                f'{path} has {size} bytes, but {limit} are allowed for a memory bank of '
                f'memory.max_bytes and what is kept beside it; raise memory.max_bytes.'
            )
        state, about = tables.read(
            path, {'format': FORMAT}, SnapshotError, 'choose a snapshot that this version saved'
        )
        tracker, variant, weights = (
            about.get(key, '') for key in ('tracker', 'variant', 'weights')
        )
        if tracker not in NAMES or variant not in VARIANTS:
            raise SnapshotError(
                f'{path} is of {reprlib.repr(tracker)} ({reprlib.repr(variant)}), which is not '
                'among the trackers here; choose a snapshot that this version saved.'
            )
        if not re.fullmatch('[0-9a-f]{64}', weights):
            raise SnapshotError(
                f'{path} is damaged: the hash of its weights is {reprlib.repr(weights)}, not 64 '
                'hexadecimal digits; choose a snapshot that this version saved.'
            )
        return cls(tracker, variant, weights, state)


def told_apart(one: str, other: str) -> tuple[str, str]:
    """The beginnings of two hashes, as long as it takes to see that they differ."""
    alike = [mine == theirs for mine, theirs in zip(one, other, strict=False)]
    length = max(SHORT, 1 + [*alike, False].index(False))
    return one[:length], other[:length]


def snapshot_file(folder: Path, name: str) -> Path:
    """The file of the snapshot `name` in `folder`; it need not exist, and never lies elsewhere.

    SnapshotError when `name` is no plain file name.
    """
    if len(name) > LONGEST or '..' in name or not re.fullmatch('[\\w-][\\w.-]*', name, re.ASCII):
        raise SnapshotError(
            f'The name {name[:LONGEST]!r} of a snapshot cannot be; take 1 to {LONGEST} letters, '
            'digits, - and _, and dots between them.'
        )
    path = folder / f'{name.removesuffix(SUFFIX)}{SUFFIX}'
    if os.path.realpath(path.parent) != os.path.dirname(os.path.realpath(path)):  # noqa: PTH120
        raise SnapshotError(
            f'{path} is a link that leads out of its folder; remove it, or choose another name.'
        )
    return path


def snapshot_names(folder: Path) -> list[str]:
    """The names of the snapshots in `folder`, the newest first, LISTED at most."""
    try:
        files = [path for path in folder.glob(f'*{SUFFIX}') if path.is_file()]
        files.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError as error:
        raise SnapshotError(f'{folder} cannot be read ({error}); see who may.') from error
    return [path.name.removesuffix(SUFFIX) for path in files[:LISTED]]
