"""Answers in the files that benchmarks take, read back by their toolkits."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest
from test_evaluation import BrightFollower, run_counting, write_square

from memtrack_ros.data.sequences import read_sequences
from memtrack_ros.errors import SequenceError
from memtrack_ros.evaluation.__main__ import main
from memtrack_ros.evaluation.compare import Entrant, compare
from memtrack_ros.evaluation.passes import Pass
from memtrack_ros.geometry import boxes

NAN = [np.nan] * 4
ONE_ONE = np.array([1, 1, 0, 0])  # the first pixel of GOT-10k and OTB


def keep(folder: Path, name: str, rows: list[list[float]]) -> None:
    """A pass as `run` keeps it; no answer was asked for in the first frame."""
    given = np.array(rows, float)
    seconds = np.full(len(given), 0.25)
    seconds[0] = np.nan
    unknown = np.full(len(given), np.nan)
    Pass(given, unknown, seconds, unknown, unknown).save(folder / f'{name}.csv', 'a test')


@pytest.fixture
def passes(tmp_path: Path) -> Path:
    folder = tmp_path / 'passes' / 'some'
    keep(folder / 'SET', 'a', [[0, 0, 10, 8], [1.5, 2.25, 10, 8.1239]])
    keep(folder / 'SET', 'b', [[4, 5, 6, 7], [4, 5, 6, 7], [-1, 5, 6, 7]])
    return folder


def export(kind: str, passes: Path, out: Path) -> int:
    return main(['export', kind, '--passes', str(passes), '--out', str(out)])


def test_got10k_counts_from_one_and_has_times(passes: Path, tmp_path: Path) -> None:
    out = tmp_path / 'some.zip'
    assert export('got10k', passes, out) == 0
    with ZipFile(out) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert texts == {
        'a/a_001.txt': '1.000,1.000,10.000,8.000\n2.500,3.250,10.000,8.124\n',
        'a/a_time.txt': '0.00000000\n0.25000000\n',
        'b/b_001.txt': '5.000,6.000,6.000,7.000\n' * 2 + '0.000,6.000,6.000,7.000\n',
        'b/b_time.txt': '0.00000000\n0.25000000\n0.25000000\n',
    }


def test_trackingnet_counts_from_the_edge(passes: Path, tmp_path: Path) -> None:
    out = tmp_path / 'new' / 'some.zip'
    assert export('trackingnet', passes, out) == 0
    with ZipFile(out) as archive:
        assert archive.namelist() == ['a.txt', 'b.txt']
        assert archive.read('a.txt') == b'0.000,0.000,10.000,8.000\n1.500,2.250,10.000,8.124\n'


def test_lasot_is_a_folder_of_texts(passes: Path, tmp_path: Path) -> None:
    out = tmp_path / 'some_tracking_result'
    assert export('lasot', passes, out) == 0
    assert sorted(path.name for path in out.iterdir()) == ['a.txt', 'b.txt']
    np.testing.assert_allclose(
        np.loadtxt(out / 'a.txt', delimiter=','), [[1, 1, 10, 8], [2.5, 3.25, 10, 8.124]]
    )


def write_got10k(folder: Path, hidden: bool) -> None:
    """A white square that moves in two videos, of the test split if its truth is `hidden`."""
    split, title = ('test', 'Test') if hidden else ('val', 'Val')
    for number, (left, top) in enumerate([(1, 20), (5, 10)], 1):
        place = folder / split / f'GOT-10k_{title}_{number:06}'
        place.mkdir(parents=True)
        truth = np.array([[3 * t + left, top, 10, 8] for t in range(6)], float)
        for frame, box in enumerate(truth, 1):
            image = cv2.cvtColor(boxes.box_mask(box, 48, 64), cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(place / f'{frame:08}.jpg'), image)
        written = truth[:1] if hidden else truth
        np.savetxt(place / 'groundtruth.txt', written + ONE_ONE, '%.4f', ',')
        if not hidden:
            np.savetxt(place / 'cover.label', np.full(6, 8), '%d')
            np.savetxt(place / 'absence.label', np.zeros(6), '%d')
            np.savetxt(place / 'cut_by_image.label', np.zeros(6), '%d')
            (place / 'meta_info.ini').write_text('[METAINFO]\nresolution: (64, 48)')
    names = [path.name for path in sorted((folder / split).iterdir())]
    (folder / split / 'list.txt').write_text('\n'.join(names))


def run_bright(folder: Path, out: Path) -> None:
    compare([Entrant('bright', 'bright 1', BrightFollower)], folder, out, command='a test')


def test_the_got10k_toolkit_scores_what_was_exported(tmp_path: Path) -> None:
    experiments = pytest.importorskip('got10k.experiments', reason='needs the got10k toolkit')
    write_got10k(tmp_path / 'data', hidden=False)
    run_bright(tmp_path / 'data', tmp_path / 'out')
    assert export('got10k', tmp_path / 'out/passes/bright', tmp_path / 'bright.zip') == 0
    results = tmp_path / 'results'
    with ZipFile(tmp_path / 'bright.zip') as archive:
        archive.extractall(results / 'GOT-10k' / 'bright')
    data = str(tmp_path / 'data')
    experiment = experiments.ExperimentGOT10k(data, 'val', str(results), str(tmp_path / 'reports'))
    found = experiment.report(['bright'])['bright']['overall']
    # JPEG blurs the square's edge by a pixel at most.
    assert found['ao'] > 0.95
    assert found['sr'] == 1
    assert found['speed_fps'] > 0


def test_the_otb_toolkit_scores_what_was_exported(tmp_path: Path) -> None:
    experiments = pytest.importorskip('got10k.experiments', reason='needs the got10k toolkit')
    for name in ('David', 'Jogging.1'):
        folder = write_square(tmp_path / 'data' / 'OTB' / name.partition('.')[0])
        truth = np.loadtxt(folder / 'groundtruth.txt', delimiter=',') + ONE_ONE
        (folder / 'groundtruth.txt').unlink()
        suffix = name.removeprefix('David').removeprefix('Jogging')
        np.savetxt(folder / f'groundtruth_rect{suffix}.txt', truth, '%d', ',')
        for image in (folder / 'img').glob('*.png'):
            cv2.imwrite(str(image.with_suffix('.jpg')), cv2.imread(str(image)))
            image.unlink()
    run_bright(tmp_path / 'data', tmp_path / 'out')
    out = tmp_path / 'results' / 'OTB2015' / 'bright'
    assert export('otb', tmp_path / 'out/passes/bright', out) == 0
    for name in ('David', 'Jogging.1'):
        answers = np.loadtxt(out / f'{name}.txt', delimiter=',')
        assert answers.shape == (8, 4)
        assert np.loadtxt(out / 'times' / f'{name}_time.txt').shape == (8,)
    truth = np.loadtxt(tmp_path / 'data/OTB/David/groundtruth_rect.txt', delimiter=',')
    experiment = object.__new__(experiments.ExperimentOTB)
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    answers = np.loadtxt(out / 'David.txt', delimiter=',')
    ious, errors = experiment._calc_metrics(answers, truth)
    assert ious.mean() > 0.95
    assert errors.max() < 1


def test_a_test_split_is_run_and_not_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_got10k(tmp_path / 'data', hidden=True)
    run_bright(tmp_path / 'data', tmp_path / 'out')
    assert '2 sequences of a test split' in ' '.join(capsys.readouterr().out.split())
    assert not (tmp_path / 'out' / 'results.json').exists()
    assert export('got10k', tmp_path / 'out/passes/bright', tmp_path / 'bright.zip') == 0
    with ZipFile(tmp_path / 'bright.zip') as archive:
        text = archive.read('GOT-10k_Test_000002/GOT-10k_Test_000002_001.txt').decode()
    given = np.array([line.split(',') for line in text.splitlines()], float)
    assert given[0].tolist() == [6, 11, 10, 8]
    assert np.abs(given[:, 0] - (6 + 3 * np.arange(6))).max() <= 1
    with pytest.raises(SequenceError, match='a test split, which only its benchmark can score'):
        read_sequences(tmp_path / 'data')


def test_beside_a_test_split_the_rest_is_scored(tmp_path: Path) -> None:
    write_square(tmp_path / 'data' / 'SET' / 'square')
    write_got10k(tmp_path / 'data', hidden=True)
    assert run_counting(tmp_path / 'data', tmp_path / 'out', 100) == 7 + 2 * 5
    report = (tmp_path / 'out' / 'results.md').read_text()
    assert '| SET/square |' in report
    assert 'Test_000001' not in report


def refused(
    kind: str, passes: Path, out: Path, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    before = sorted(out.parent.rglob('*'))
    assert export(kind, passes, out) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.count('\n') == 1
    assert sorted(out.parent.rglob('*')) == before


@pytest.mark.parametrize('kind', ['got10k', 'lasot'])
def test_what_cannot_be_exported_is_said_and_nothing_written(
    kind: str, passes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'out.zip'
    refused(kind, tmp_path / 'nowhere', out, capsys, 'no passes in it')
    refused(kind, passes, passes, capsys, 'it is there already')
    keep(passes / 'OTHER', 'a', [[1, 2, 3, 4]])
    refused(kind, passes, out, capsys, 'two passes over a a; name the set of one')
    assert export(kind, passes / 'SET', tmp_path / 'one.zip') == 0
    keep(passes / 'SET', 'late', [NAN, [1, 2, 3, 4]])
    refused(kind, passes / 'SET', out, capsys, 'late: frame 1 has no answer')
    (passes / 'SET' / 'late.csv').write_text('damaged')
    refused(kind, passes / 'SET', out, capsys, 'late.csv is no pass of a run')
    refused(kind, passes / 'OTHER', passes / 'SET' / 'b.csv' / 'x', capsys, 'cannot be written')
