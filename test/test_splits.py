"""Lists of sequences: the benchmarks' own and those in their folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_evaluation import run_counting, write_square
from test_layouts import write_davis, write_text

from memtrack_ros.data.otb_lists import OTB
from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.data.splits import listed, read_split
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation.__main__ import main


def names(folder: Path, split: str) -> list[str]:
    return [sequence.name for sequence in read_sequences(folder, split=split)]


@pytest.fixture
def davis(tmp_path: Path) -> Path:
    root = tmp_path / 'DAVIS'
    two = np.zeros((6, 8), np.uint8)
    two[1, 1], two[3, 3] = 1, 2
    for name in ('bear', 'bike-packing', 'car'):
        write_davis(root, name, two, two)
    write_text(root / 'ImageSets/2016/val.txt', 'car')
    write_text(root / 'ImageSets/2017/val.txt', 'bike-packing', 'car', '')
    return root


@pytest.mark.parametrize('of', [Path('DAVIS'), Path()])
def test_image_sets_of_davis_are_found(davis: Path, tmp_path: Path, of: Path) -> None:
    assert names(tmp_path / of, '2016/val') == ['DAVIS/car.1', 'DAVIS/car.2']
    assert names(tmp_path / of, '2017/val') == [
        f'DAVIS/{name}.{number}' for name in ('bike-packing', 'car') for number in (1, 2)
    ]


def test_the_frames_that_davis_2016_lists_are_those_of_its_sequences(davis: Path) -> None:
    lines = [
        f'/JPEGImages/480p/{name}/{number:05d}.jpg /Annotations/480p/{name}/{number:05d}.png'
        for name in ('bear', 'car')
        for number in range(2)
    ]
    write_text(davis / 'ImageSets/480p/val.txt', *lines)
    assert names(davis, '480p/val') == [
        f'DAVIS/{name}.{number}' for name in ('bear', 'car') for number in (1, 2)
    ]


def test_a_list_may_be_any_file(davis: Path, tmp_path: Path) -> None:
    own = write_text(tmp_path / 'mine', 'bear')
    assert names(davis, str(own)) == ['DAVIS/bear.1', 'DAVIS/bear.2']


def test_what_is_listed_and_not_there_is_named(davis: Path, tmp_path: Path) -> None:
    own = write_text(tmp_path / 'mine', 'bear', 'zebra', 'owl')
    faults: list[SequenceError] = []
    found = read_sequences(davis, faults, split=str(own))
    assert [sequence.name for sequence in found] == ['DAVIS/bear.1', 'DAVIS/bear.2']
    (fault,) = faults
    assert '2 of the 3 sequences of' in str(fault)
    assert 'are not in it, the first is owl' in str(fault)
    with pytest.raises(SequenceError, match='the first is owl'):
        names(davis, str(own))


@pytest.mark.parametrize('split', ['nowhere', 'val', '../val', ''])
def test_a_list_that_is_not_there_is_said(davis: Path, split: str) -> None:
    with pytest.raises(SequenceError, match='0 lists of a split .*otb2013, tb50, tb100'):
        read_split(davis, split)


def test_two_lists_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for root in (tmp_path / 'a', tmp_path / 'b'):
        write_text(root / 'test.txt', 'x')
    with pytest.raises(SequenceError, match='2 lists of a split'):
        read_split(tmp_path, 'test')
    assert read_split(tmp_path / 'a', 'test') == {'x'}
    write_text(tmp_path / 'empty.txt', '')
    with pytest.raises(SequenceError, match='no names in it'):
        read_split(tmp_path, 'empty')


def test_lists_of_otb_are_those_of_its_toolkit() -> None:
    datasets = pytest.importorskip('got10k.datasets', reason='needs the got10k toolkit')
    theirs = datasets.OTB._OTB__version_dict
    assert {name: frozenset(theirs[name]) for name in OTB} == OTB
    assert [len(OTB[name]) for name in ('otb2013', 'tb50', 'tb100')] == [50, 49, 98]


def test_of_several_targets_all_are_meant() -> None:
    for name in ('OTB/Jogging.1', 'OTB/Jogging.2', 'OTB/Basketball'):
        assert listed(name, OTB['otb2013'])
    for name in ('OTB/Jogging.x', 'OTB/Bird1', 'OTB/Jogging.1.2'):
        assert not listed(name, OTB['otb2013'])
    assert listed('LaSOT/airplane-1', frozenset({'airplane-1'}))


def test_a_run_keeps_to_the_split(tmp_path: Path) -> None:
    for name in ('a', 'b', 'c'):
        write_square(tmp_path / 'data' / 'SET' / name)
    write_text(tmp_path / 'data' / 'test.txt', 'a', 'c', 'd')
    given = ['run', '--sequences', str(tmp_path / 'data'), '--trackers', '', '--peers', 'mil']
    out = tmp_path / 'out'
    assert main([*given, '--split', 'test', '--jobs', '1', '--out', str(out)]) == 0
    assert sorted(path.stem for path in out.rglob('*.csv')) == ['a', 'c']
    assert '1 of the 3 sequences of test are not in it' in (out / 'results.md').read_text()
    assert main([*given, '--split', 'val', '--out', str(tmp_path / 'none')]) == 2
    assert run_counting(tmp_path / 'data', tmp_path / 'all', 100) == 21
