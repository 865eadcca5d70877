"""Settings that a user chooses: sets by name, single ones by value, what they change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.evaluation.__main__ import main
from memtrack_ros.memory.sampled_frames import representative_frames
from memtrack_ros.nets.dmv import PaperDMV, depth_of
from memtrack_ros.nets.voting import VotedRead
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Prompt, Session
from memtrack_ros.trackers import Chosen, stmtrack

FREE = {
    'stmtrack': 'segments, labelled, capacity, confident',
    'memtrack': 'slots, writes',
    'dmv': 'candidates, capacity, interval',
    'samn': 'every, last, capacity',
    'cmedfl': 'merges, filters, capacity',
}


def created(tracker: str, **changes: str) -> trackers.AnyTracker:
    return trackers.create(tracker, device='cpu', chosen=Chosen(changes=changes))


def test_the_sets_of_stmtrack_are_its_authors() -> None:
    # test_lr, window_influence, penalty_k, search area, confidence of their configurations
    expected = {
        'got10k': (0.95, 0.21, 0.04, 4.0, 0.6),
        'lasot': (0.95, 0.21, 0.04, 4.0, 0.6),
        'otb': (0.5501132208837838, 0.20534968836733386, 0.07592315864890313, 4.0, 0.6),
        'uav123': (0.5405424265010361, 0.20298940424940976, 0.07067416478817143, 4.1716774, 0.6),
        'vot': (0.9629084797864664, 0.2674225347735762, 0.04120782242066555, 4.0562910, 0.0),
    }
    for name, numbers in expected.items():
        chosen = Chosen(name).of('stmtrack', stmtrack.SETS, stmtrack.FREE)
        chooser = chosen.chooser
        ours = chooser.test_lr, chooser.window_influence, chooser.penalty_k, chosen.search
        assert (*ours, chosen.confident) == pytest.approx(numbers)
        assert (chooser.smallest, chooser.inclusive, chosen.side) == (10, 1, 289)
    assert Chosen().of('stmtrack', stmtrack.SETS, {}) == stmtrack.PAPER


@pytest.mark.parametrize('tracker', trackers.NAMES)
def test_what_is_no_setting_is_refused_with_the_list(tracker: str) -> None:
    with pytest.raises(ConfigurationError, match=f'name one of: {FREE[tracker]}\\.'):
        created(tracker, nothing='1')
    with pytest.raises(ConfigurationError, match='There are no settings .otb. of'):
        trackers.create(tracker, device='cpu', chosen=Chosen('otb'))


@pytest.mark.parametrize(
    ('tracker', 'name', 'value', 'told'),
    [
        ('dmv', 'candidates', 'four', 'give a whole number'),
        ('dmv', 'candidates', '0', 'give 1 to'),
        ('memtrack', 'writes', '2', 'give true or false'),
        ('stmtrack', 'confident', 'nan', 'give 0 to'),
        ('samn', 'every', '99999999', 'give 1 to'),
        ('dmv', 'capacity', '1000000', 'memory.max_bytes'),
    ],
)
def test_a_value_that_none_can_have_is_refused(
    tracker: str, name: str, value: str, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        created(tracker, **{name: value})


@pytest.mark.parametrize(
    ('tracker', 'changes'),
    [
        ('stmtrack', {'segments': '1', 'labelled': 'off'}),
        ('memtrack', {'slots': '1', 'writes': 'false'}),
        ('dmv', {'candidates': '1', 'capacity': '1'}),
        ('dmv', {'candidates': '32', 'capacity': '2', 'interval': '1'}),
        ('samn', {'every': '1', 'last': 'off'}),
        ('cmedfl', {'merges': 'off', 'filters': 'off'}),
    ],
)
def test_a_tracker_follows_with_what_is_set(tracker: str, changes: dict[str, str]) -> None:
    session = Session(created(tracker, **changes))
    scene = drawn_scene(11, 320, 240)
    session.prompt(scene.render(0).image, Prompt('box', scene.render(0).box))
    for number in range(1, 4):
        estimate = session.step(scene.render(number).image)
        session.tracker.remember(scene.render(number).image, session._last.judgement.observation)  # type: ignore[union-attr]
        assert estimate.roi is not None
    if changes.get('capacity') == '1' or changes.get('writes') == 'false':
        assert session.memory.writes == 1
    if tracker == 'dmv' and changes['capacity'] == '2':
        assert session.memory.writes == 4


def test_more_segments_read_more_frames() -> None:
    assert representative_frames(12, 2) == [1, 4, 10]
    assert representative_frames(2, 2) == [1, 2]
    assert representative_frames(12, 1) == [1, 7]


def test_what_matches_worse_than_nothing_votes_for_nothing() -> None:
    torch.manual_seed(0)
    keys = -torch.ones(1, 1, 8, 2, 2)
    query, valid = torch.ones(1, 8, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    values = torch.randn(1, 1, 8, 2, 2)
    paper, compact = VotedRead(8), VotedRead(8, negates=True)
    compact.load_state_dict(paper.state_dict())
    nothing = torch.zeros_like(values)
    assert torch.equal(paper(keys, values, query, valid), paper(keys, nothing, query, valid))
    negated = compact(keys, values, query, valid)
    assert not torch.allclose(negated, compact(keys, nothing, query, valid))
    # What matches better counts alike in both.
    assert torch.equal(paper(-keys, values, query, valid), compact(-keys, values, query, valid))


def test_the_depth_of_dmv_is_that_of_its_weights() -> None:
    with torch.device('meta'):
        assert [depth_of(PaperDMV(depth).state_dict()) for depth in (18, 50)] == [18, 50]  # type: ignore[arg-type]


def test_the_command_line_names_what_can_be_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ['run', '--sequences', str(tmp_path), '--trackers', 'dmv', '--device', 'cpu']
    assert main([*command, '--set', 'K=8']) == 2
    assert 'candidates, capacity, interval' in capsys.readouterr().err
    assert main([*command, '--settings', 'otb']) == 2
    assert 'no settings' in capsys.readouterr().err
