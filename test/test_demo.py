"""The demo and the replay, with the real nodes as processes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from processes import await_import
from rich.console import Console

from memtrack_ros.evaluation import __main__ as evaluation
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.tools import demo

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 180
FRAMES = 24
pytestmark = pytest.mark.usefixtures('domain')  # live nodes


@pytest.fixture(scope='module')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn scene as a sequence OTB/scene and as video.mp4, in one folder."""
    folder = tmp_path_factory.mktemp('drawn')
    images = folder / 'OTB' / 'scene' / 'img'
    images.mkdir(parents=True)
    scene = drawn_scene(seed=1, width=160, height=120, frames=FRAMES)
    fourcc = cv2.VideoWriter.fourcc(*'mp4v')
    writer = cv2.VideoWriter(str(folder / 'video.mp4'), fourcc, 12.0, (160, 120))
    truth = []
    for t in range(FRAMES):
        frame = scene.render(t)
        writer.write(frame.image)
        cv2.imwrite(str(images / f'{t + 1:06}.png'), frame.image)
        truth.append(','.join(f'{value:g}' for value in frame.box))
    writer.release()
    (images.parent / 'groundtruth.txt').write_text('\n'.join(truth))
    return folder


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    """python -m of the module, as a user would."""
    return subprocess.Popen(
        [sys.executable, '-m', f'memtrack_ros.tools.{module}', *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(process: subprocess.Popen[str]) -> list[int]:
    """The running processes that it started."""
    found = []
    for status in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, parent = status.read_text().rpartition(')')[2].split()[:2]
        except OSError:  # it has just ended
            continue
        if int(parent) == process.pid and state != 'Z':
            found.append(int(status.parent.name))
    return found


def test_demo_follows_a_video(drawn: Path, tmp_path: Path) -> None:
    box = (drawn / 'OTB' / 'scene' / 'groundtruth.txt').read_text().split()[0]
    process = start('demo', '--video', drawn / 'video.mp4', '--box', box, '--out', tmp_path)
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, output
    assert output.splitlines()[-1].startswith('written: ')
    capture = cv2.VideoCapture(str(tmp_path / 'overlay.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == 12
    shown = 0
    while (picture := capture.read()[1]) is not None:
        assert picture.shape == (120, 160, 3)
        shown += 1
    assert 1 <= shown <= FRAMES
    sheet = cv2.imread(str(tmp_path / 'contact_sheet.png'))
    assert sheet is not None and sheet.std() > 10


@pytest.mark.skipif(not Path('/proc').is_dir(), reason='without /proc children are not found')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_demo_ends_its_nodes_when_interrupted(number: int, tmp_path: Path) -> None:
    # A shell's background jobs ignore it, and so would the process that is started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start('demo', '--out', tmp_path)
    assert process.stdout
    assert process.stdout.readline() == 'starting the tracker\n'
    nodes = children(process)
    assert nodes
    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 128 + number
    assert 'Traceback' not in output
    for node in nodes:
        with pytest.raises(ProcessLookupError):
            os.kill(node, 0)


def test_demo_reports_a_refused_prompt(drawn: Path, tmp_path: Path) -> None:
    process = start(
        'demo', '--video', drawn / 'video.mp4', '--box', '500,0,20,20', '--out', tmp_path
    )
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert 'inside the 160 x 120 image' in output
    assert 'Traceback' not in output


def test_wrong_arguments_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (['--video', 'film.mp4'], ['--box', '1,2,3,4'], ['--box', '1,2,3']):
        with pytest.raises(SystemExit) as caught:
            demo.main(arguments)
        assert caught.value.code == 2
        assert '--box' in capsys.readouterr().err
    process = start('demo', '--video', tmp_path / 'film.mp4', '--box', '1,2,3,4')
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 2
    assert 'film.mp4 is not there' in output
    assert 'Traceback' not in output


@pytest.mark.parametrize('box', ['1,2,3', '1,2,3,4,5', 'a,b,c,d', '', '1,2,nan,4', '1,2,3,0'])
def test_a_wrong_box_is_explained(box: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        demo.main(['--video', 'film.mp4', f'--box={box}'])
    assert caught.value.code == 2
    assert f'{box!r} is no box: give x,y,w,h in pixels' in capsys.readouterr().err


def test_the_table_shows_every_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    take = demo.Take('[red]film[1].mp4', {}, box=np.array([1, 2, 3, 4.0]))
    for name, value in (('rate', 9.5), ('latency', 0.04)):
        monkeypatch.setattr(take, name, lambda value=value: value)
    console = Console(file=io.StringIO(), width=120, record=True)
    demo.show(console, [take])
    shown = console.export_text()
    assert 'latency [ms]' in shown
    assert '[red]film[1].mp4' in shown
    assert '40' in shown


@pytest.mark.parametrize('module', ['demo', 'replay'])
def test_an_interrupt_while_it_imports_is_quiet(module: str, tmp_path: Path) -> None:
    process = start(module, '--sequences' if module == 'replay' else '--out', tmp_path)
    await_import(process.pid)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (130, '')


def test_two_interrupts_end_the_nodes_too(tmp_path: Path) -> None:
    process = start('demo', '--out', tmp_path)
    assert process.stdout
    assert process.stdout.readline() == 'starting the tracker\n'
    nodes = children(process)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    output, _ = process.communicate(timeout=DEADLINE)
    assert (process.returncode, output) == (130, '')
    for node in nodes:
        with pytest.raises(ProcessLookupError):
            os.kill(node, 0)


def test_replay_through_the_node_scores_what_the_session_does(drawn: Path, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ('node', 'session')}
    process = start(
        'replay', '--sequences', drawn, '--trackers', 'stmtrack', '--out', folders['node']
    )
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, output
    run = ['run', '--sequences', str(drawn), '--trackers', 'stmtrack']
    assert evaluation.main([*run, '--out', str(folders['session'])]) == 0
    scores = {}
    for name, folder in folders.items():
        results = json.loads((folder / 'results.json').read_text())
        scores[name] = results['trackers']['stmtrack']['sequences']['OTB/scene']
    assert scores['node']['frames'] == FRAMES
    for metric in ('success_auc', 'ao', 'sr50'):
        assert np.isclose(scores['node'][metric], scores['session'][metric], atol=0.02)
