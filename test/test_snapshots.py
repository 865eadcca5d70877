"""Snapshots: restored, saved and loaded a target goes on as it would have; anything else fails."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from memtrack_ros import trackers
from memtrack_ros.errors import SnapshotError
from memtrack_ros.memory import Stateful
from memtrack_ros.scenes import SceneFrame, drawn_scene
from memtrack_ros.session import Estimate, Presence, Prompt, Session, Snapshot, State, snapshot_file
from memtrack_ros.weights.files import shipped_file

SIZE = (320, 240)
SHIPPED = [name for name in trackers.NAMES if shipped_file(name, 'compact').is_file()]
MAX_BYTES = 2**30


def fresh(tracker: str = 'stmtrack') -> Session:
    return Session(trackers.create(tracker, device='cpu'))


def follow(session: Session, scene: list[SceneFrame], first: int, count: int) -> list[Estimate]:
    estimates = []
    for frame in scene[first : first + count]:
        estimates.append(session.step(frame.image))
        session.remember()
    return estimates


def prompted(session: Session, first: SceneFrame) -> Session:
    session.prompt(first.image, Prompt('box', first.box))
    return session


def identical(one: Estimate, other: Estimate) -> bool:
    pictures = np.array_equal(one.mask, other.mask) and np.array_equal(one.roi, other.roi)
    return pictures and replace(one, mask=None, roi=None) == replace(other, mask=None, roi=None)


@pytest.fixture(scope='module')
def scene() -> list[SceneFrame]:
    drawn = drawn_scene(9, *SIZE)
    return [drawn.render(number) for number in range(31)]


@pytest.fixture(scope='module')
def session(scene: list[SceneFrame]) -> Session:
    """With a target that was followed through 10 frames."""
    made = prompted(fresh(), scene[0])
    follow(made, scene, 1, 10)
    return made


@pytest.fixture(scope='module')
def snapshot(session: Session) -> Snapshot:
    return Snapshot.of(session)


@pytest.fixture
def saved(snapshot: Snapshot, tmp_path: Path) -> Path:
    path = tmp_path / 'some.safetensors'
    snapshot.save(path)
    return path


@pytest.mark.parametrize('tracker', SHIPPED)
def test_the_next_20_estimates_are_identical(
    tracker: str, scene: list[SceneFrame], tmp_path: Path
) -> None:
    session, path = prompted(fresh(tracker), scene[0]), tmp_path / 'some.safetensors'
    follow(session, scene, 1, 10)
    Snapshot.of(session).save(path)
    expected = follow(session, scene, 11, 20)
    other = prompted(fresh(tracker), scene[30])  # of what is to be forgotten
    follow(other, scene, 1, 3)
    for restored in (fresh(tracker), other):
        Snapshot.load(path, MAX_BYTES).restore(restored)
        found = follow(restored, scene, 11, 20)
        assert all(identical(*pair) for pair in zip(found, expected, strict=True))


def test_one_that_is_lost_goes_on_being_searched_for(scene: list[SceneFrame]) -> None:
    presence = Presence(unseen_seconds=2 / 30, lost_seconds=4 / 30)
    session, other = prompted(fresh(), scene[0]), fresh()
    session.presence = other.presence = presence
    blank = np.full((240, 320, 3), 127, np.uint8)
    for _ in range(7):
        session.step(blank)
        session.remember()
    assert session.state is State.LOST
    other.restore(session.snapshot())
    expected, found = (follow(each, scene, 1, 8) for each in (session, other))
    assert all(identical(*pair) for pair in zip(found, expected, strict=True))
    assert session.tracker.bank.status() == other.tracker.bank.status()


def test_a_snapshot_does_not_change_as_the_target_moves_on(scene: list[SceneFrame]) -> None:
    session = prompted(fresh(), scene[0])
    taken = session.snapshot()
    before = {name: tensor.clone() for name, tensor in taken.items()}
    follow(session, scene, 1, 3)
    assert all(torch.equal(taken[name], before[name]) for name in before)


def test_without_a_target_there_is_nothing_to_save() -> None:
    with pytest.raises(SnapshotError, match='no target .*; prompt first'):
        Snapshot.of(fresh())


def without(name: str) -> Callable[[Snapshot], Snapshot]:
    return lambda whole: replace(
        whole, state={key: value for key, value in whole.state.items() if key != name}
    )


def given(name: str, value: torch.Tensor) -> Callable[[Snapshot], Snapshot]:
    return lambda whole: replace(whole, state=whole.state | {name: value})


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda whole: replace(whole, tracker='samn'), r'of samn \(compact\), not of stmtrack'),
        (lambda whole: replace(whole, variant='paper'), r'of stmtrack \(paper\), not of stmtrack'),
        (lambda whole: replace(whole, weights='00ff' * 16), 'weights of hash 00ff00ff00ff, but'),
        (without('course.box'), 'course.box is missing'),
        (without('tracker.bank.writes'), 'tracker.bank.writes is missing'),
        (given('tracker.lstm', torch.zeros(1)), 'tracker.lstm is unknown'),
        (given('course.box', torch.zeros(4)), 'course.box has type torch.float32, not'),
        (given('course.box', torch.zeros(4, 1).double()), r'has shape \(4, 1\), not \(4,\)'),
        (given('tracker.bank._features', torch.zeros(3)), r'_features has shape \(3,\), not'),
        (given('searched', torch.tensor(0.5)), 'searched has type'),
        (given('belief.seen', torch.tensor(1)), 'seen is 1, but a target that is TRACKING'),
        (given('clock.seconds', torch.tensor(-1.0).double()), 'clock.seconds holds -1, which'),
        (
            given('course.home', torch.zeros(4).double()),
            r'home is \[0.0, 0.0, 0.0, 0.0\], which is',
        ),
        (
            given('course.hunch', torch.tensor([10.0, 10, 0, 20]).double()),
            r'hunch is \[10.0, 10.0, 0.0, 20.0\], which is',
        ),
        (given('course.rival', torch.full((2,), 1e9).double()), 'course.rival holds 1e'),
        (given('course.seen.rate', torch.full((2, 2), 1e9).double()), 'course.seen.rate holds 1e'),
        (
            given('course.seen.covariance', torch.eye(2).expand(2, 2, 2).triu().double() * -1),
            'course.seen.covariance is not positive definite',
        ),
        (
            given('course.candidate.covariance', torch.ones(2, 2, 2).triu().double()),
            'course.candidate.covariance is not symmetric',
        ),
        (given('belief.verdict', torch.tensor(9)), '9 is not a valid State'),
    ],
)
def test_what_does_not_fit_is_refused_and_the_earlier_target_kept(
    change: Callable[[Snapshot], Snapshot], words: str, snapshot: Snapshot, session: Session
) -> None:
    before = session.snapshot()
    with pytest.raises(SnapshotError, match=words):
        change(snapshot).restore(session)
    after = session.snapshot()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def corrupted(value: torch.Tensor) -> Iterator[torch.Tensor]:
    """What somebody may have put in the place of a tensor."""
    yield torch.zeros_like(value)
    if value.is_floating_point():
        for number in (torch.inf, 1e30, 1e4, -1e4):
            yield torch.full_like(value, number)
        one = value.clone()
        one.view(-1)[value.numel() // 2] = torch.nan
        yield one
        yield value.half()
    elif value.dtype == torch.int64:
        yield from (torch.full_like(value, number) for number in (-1, 2**40, 2**62))
        yield value + 1
        yield value.int()
    else:
        yield ~value
        yield value.byte()
    yield value[None]
    if value.ndim:
        yield value[:0]
        yield value[1:]
        yield value.flip(0)


def check_followed(session: Session, frame: SceneFrame) -> None:
    """That it goes on: everything known is said in numbers, and remembered."""
    estimate = session.step(frame.image)
    followed = State.TRACKING, State.UNSURE, State.OCCLUDED, State.LOST
    assert estimate.state in followed
    assert np.isfinite([estimate.confidence, estimate.score, *estimate.roi]).all()
    assert 0 < estimate.frames_tracked < 2**32
    assert session._last is not None
    session.tracker.remember(frame.image, session._last.judgement.observation)
    assert all(value.isfinite().all() for value in session.snapshot().values())


@pytest.mark.parametrize('tracker', trackers.NAMES)
def test_whatever_stands_in_it_is_refused_in_a_sentence_or_harmless(
    tracker: str, scene: list[SceneFrame]
) -> None:
    session = prompted(fresh(tracker), scene[0])
    for frame in scene[1:7]:
        session.step(frame.image)
        session.tracker.remember(frame.image, session._last.judgement.observation)
    good = Snapshot.of(session)
    refused = 0
    for name, value in good.state.items():
        changes = [given(name, other) for other in corrupted(value)]
        changes += [without(name), given(f'{name}x', value), given(f'{name}.x', value)]
        for change in changes:
            try:
                change(good).restore(session)
            except SnapshotError as error:
                assert str(error).startswith('The snapshot does not fit this tracker (')
                assert '\n' not in str(error)
                refused += 1
            else:
                check_followed(session, scene[11])
                good.restore(session)
        after = session.snapshot()
        assert all(torch.equal(good.state[key], after[key]) for key in after)
    assert refused > 6 * len(good.state)
    check_followed(session, scene[11])


@pytest.mark.parametrize('again', [False, True], ids=['hidden', 'seen again'])
def test_whatever_stands_in_it_of_a_target_that_is_not_seen_is_refused_or_harmless(
    again: bool, scene: list[SceneFrame]
) -> None:
    """What was not looked at while the target was seen is, then."""
    session = prompted(fresh(), scene[0])
    session.presence = Presence(unseen_seconds=2 / 30, lost_seconds=6 / 30, seen_frames=3)
    follow(session, scene, 1, 4)
    for _ in range(9 if again else 1):
        session.step(np.full((240, 320, 3), 127, np.uint8))
    if again:
        session.step(scene[4].image)
    good = Snapshot.of(session)
    for name in (name for name in good.state if not name.startswith('tracker.')):
        value = good.state[name]
        parts = [value.clone() for _ in range(value.numel())]
        for number, part in enumerate(parts):  # a side of no length, for one
            part.view(-1)[number] = 0
        for other in (*corrupted(value), *parts):
            try:
                given(name, other)(good).restore(session)
            except SnapshotError:
                continue
            check_followed(session, scene[5])
            good.restore(session)


@pytest.mark.parametrize('damage', ['cut', 'flip', 'text', 'empty'])
def test_a_damaged_file_is_refused(saved: Path, damage: str) -> None:
    content = bytearray(saved.read_bytes())
    if damage == 'flip':
        content[-1] ^= 1
    else:
        content = {'cut': content[:-3], 'text': bytearray(b'no snapshot')}.get(damage, bytearray())
    saved.write_bytes(content)
    with pytest.raises(SnapshotError, match=r'some.safetensors is damaged.*; choose a snapshot'):
        Snapshot.load(saved, MAX_BYTES)


@pytest.mark.parametrize('place', [0, 12, 40, 63])
def test_hashes_that_differ_are_told_apart(
    place: int, snapshot: Snapshot, session: Session
) -> None:
    ours = session.tracker.weights
    theirs = ours[:place] + ('1' if ours[place] == '0' else '0') + ours[place + 1 :]
    with pytest.raises(SnapshotError, match='weights of hash') as caught:
        replace(snapshot, weights=theirs).restore(session)
    said = re.findall('[0-9a-f]{12,}', str(caught.value))
    assert len(set(said)) == 2
    assert theirs.startswith(said[0])
    assert ours.startswith(said[1])


@pytest.mark.parametrize('weights', ['', 'x' * 64, '0' * 63, 'A' * 64, '0' * 10_000])
def test_a_damaged_hash_of_weights_is_said(
    weights: str, snapshot: Snapshot, tmp_path: Path
) -> None:
    path = tmp_path / 'some.safetensors'
    replace(snapshot, weights=weights).save(path)
    with pytest.raises(SnapshotError, match='is damaged: the hash of its weights is') as caught:
        Snapshot.load(path, MAX_BYTES)
    assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize('wrong', [{'tracker': 'x' * 10_000}, {'variant': ''}, {'tracker': ''}])
def test_a_snapshot_of_an_unknown_tracker_is_said(
    wrong: dict[str, str], snapshot: Snapshot, tmp_path: Path
) -> None:
    path = tmp_path / 'some.safetensors'
    replace(snapshot, **wrong).save(path)
    with pytest.raises(SnapshotError, match='which is not among the trackers here') as caught:
        Snapshot.load(path, MAX_BYTES)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="has format '1', but 'snapshot 1' is needed"):
        Snapshot.load(shipped_file('stmtrack', 'compact'), MAX_BYTES)
    save_file({'x': torch.zeros(1)}, tmp_path / 'x.safetensors')
    with pytest.raises(SnapshotError, match="has format None, but 'snapshot 1' is needed"):
        Snapshot.load(tmp_path / 'x.safetensors', MAX_BYTES)


def test_a_missing_and_a_too_large_file_are_refused(saved: Path) -> None:
    for path in (saved.with_name('gone.safetensors'), saved.parent):
        with pytest.raises(SnapshotError, match=f'There is no snapshot {path}; save one'):
            Snapshot.load(path, MAX_BYTES)
    with saved.open('r+b') as file:
        file.truncate(2**29)  # which takes no room on the disk
    with pytest.raises(SnapshotError, match='has 536870912 bytes, but 269484032 are allowed'):
        Snapshot.load(saved, 2**20)


def test_saving_replaces_the_file_in_one_step_or_not_at_all(
    saved: Path, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot.save(saved)
    assert list(saved.parent.iterdir()) == [saved]

    def fail(*_: object) -> None:
        raise OSError('No space left on device')

    before = saved.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr('memtrack_ros.weights.tables.save_file', fail)
        with pytest.raises(SnapshotError, match='cannot be written .No space left.*; make room'):
            snapshot.save(saved)
    assert list(saved.parent.iterdir()) == [saved]
    assert saved.read_bytes() == before
    with pytest.raises(SnapshotError, match='cannot be written'):
        snapshot.save(saved / 'below a file.safetensors')
    snapshot.save(saved.parent / 'new' / 'folders' / 'x.safetensors')


def test_a_name_is_a_file_in_the_folder(tmp_path: Path) -> None:
    for name in ('cat', '2026-11-20_cup.v2', '-', '_', 'x' * 100):
        assert snapshot_file(tmp_path, name) == tmp_path / f'{name}.safetensors'
    assert snapshot_file(tmp_path, 'cat.safetensors') == tmp_path / 'cat.safetensors'


@pytest.mark.parametrize(
    'name',
    [
        '',
        '.',
        '..',
        '.x',
        'a/b',
        '/x',
        'a\\b',
        '../x',
        'a..b',
        'a b',
        'ä',
        'a\n',
        '\0',
        '~',
        'x' * 101,
    ],
)
def test_any_other_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match='The name .* of a snapshot cannot be; take 1 to 100'):
        snapshot_file(tmp_path, name)


def test_links_lead_nowhere_else(saved: Path, snapshot: Snapshot, tmp_path: Path) -> None:
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'out.safetensors').symlink_to(saved)
    (folder / 'up.safetensors').symlink_to(tmp_path / 'nothing')
    (folder / 'loop.safetensors').symlink_to('loop.safetensors')
    for name in ('out', 'up'):
        with pytest.raises(SnapshotError, match='is a link that leads out of its folder; remove'):
            snapshot_file(folder, name)
    with pytest.raises(SnapshotError, match='There is no snapshot'):
        Snapshot.load(snapshot_file(folder, 'loop'), MAX_BYTES)
    link = tmp_path / 'link'
    link.symlink_to(folder)
    snapshot.save(snapshot_file(link, 'cat'))
    assert (folder / 'cat.safetensors').is_file()
    os.link(saved, folder / 'other.safetensors')
    assert snapshot_file(folder, 'other').is_file()


def test_of_what_is_kept_types_are_kept() -> None:
    class Inner(Stateful):
        kept = ('count',)
        count = 3

    class Thing(Stateful):
        kept = ('inner', 'flag', 'ratio', 'numbers', 'cells')
        longest: ClassVar[dict[str, int]] = {'numbers': 5}

        def __init__(self) -> None:
            self.inner, self.flag, self.ratio = Inner(), True, 0.1
            self.numbers, self.cells = np.arange(3), torch.ones(2, 2)

    one, other = Thing(), Thing()
    one.inner.count, one.flag, one.ratio, one.numbers = 4, False, 1 / 3, np.arange(5)
    one.cells *= 2
    cells = other.cells
    other.restore(one.state())
    assert (other.inner.count, other.flag, other.ratio) == (4, False, 1 / 3)
    assert (type(other.flag), other.numbers.tolist()) == (bool, [0, 1, 2, 3, 4])
    assert other.cells is cells
    assert torch.equal(cells, torch.full((2, 2), 2.0))
