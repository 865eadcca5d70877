"""Weight files: verified when loaded, refused with a reason; the authors' names become ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.stmtrack import PaperSTMTrack
from memtrack_ros.weights import files
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.files import Calibration, load_into, load_weights, save_weights


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / 'some.safetensors'
    tensors = torch.nn.Linear(2, 3).half().state_dict()
    save_weights(path, 'stmtrack', 'compact', tensors, Calibration(2.0, -1.0), 'nobody')
    return path


def test_weights_come_back_in_full_precision_with_their_calibration(saved: Path) -> None:
    weights = load_weights(saved, 'stmtrack', 'compact')
    net = torch.nn.Linear(2, 3)
    load_into(net, weights, saved)
    assert net.weight.dtype == torch.float32
    # sigmoid(2 logit(0.5) - 1) = sigmoid(-1)
    assert weights.calibration.confidence(0.5) == pytest.approx(0.268941, abs=1e-6)
    assert 0 <= weights.calibration.confidence(0.0) < weights.calibration.confidence(1.0) <= 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r'no weight file .*gone\.safetensors'):
        load_weights(tmp_path / 'gone.safetensors', 'stmtrack', 'compact')


@pytest.mark.parametrize('damage', ['cut', 'flip', 'text'])
def test_a_damaged_file_is_refused(saved: Path, damage: str) -> None:
    content = bytearray(saved.read_bytes())
    if damage == 'cut':
        content = content[:-3]
    elif damage == 'flip':
        content[-1] ^= 1
    else:
        content = bytearray(b'not weights')
    saved.write_bytes(content)
    with pytest.raises(ConfigurationError, match='damaged'):
        load_weights(saved, 'stmtrack', 'compact')


def test_a_file_for_something_else_is_refused(saved: Path) -> None:
    with pytest.raises(ConfigurationError, match="variant 'compact', but 'paper' is needed"):
        load_weights(saved, 'stmtrack', 'paper')
    weights = load_weights(saved, 'stmtrack', 'compact')
    with pytest.raises(ConfigurationError, match=r'bias has shape \(3,\), not \(4,\)'):
        load_into(torch.nn.Linear(2, 4), weights, saved)
    with pytest.raises(ConfigurationError, match=r'weight is unknown'):
        load_into(torch.nn.Sequential(), weights, saved)


def test_the_shipped_file_is_small_and_makes_a_tracker() -> None:
    path = files.shipped_file('stmtrack', 'compact')
    assert path.stat().st_size <= 8 * 2**20
    tracker = trackers.create('stmtrack', device='cpu')
    assert tracker.bank.status().capacity == 128


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ({'tracker': 'nonesuch'}, "no tracker 'nonesuch'.*stmtrack"),
        ({'tracker': 'stmtrack', 'variant': 'huge'}, "no variant 'huge'.*compact, paper"),
        ({'tracker': 'stmtrack', 'variant': 'paper'}, r'No weights of stmtrack \(paper\) come'),
        ({'tracker': 'stmtrack', 'device': 'cuda:77'}, "'cuda:77' is not there.*cpu"),
        ({'tracker': 'stmtrack', 'device': 'toaster'}, "'toaster' is not there"),
        (
            {'tracker': 'stmtrack', 'device': 'cpu', 'max_bytes': 1000},
            'memory.max_bytes allows 1000',
        ),
    ],
)
def test_what_cannot_be_had_is_said(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        trackers.create(**arguments)  # type: ignore[arg-type]


def test_a_checkpoint_is_converted_without_running_what_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = PaperSTMTrack().state_dict()
    theirs = {name: own[name].clone() for name in own if name.startswith('head.s')}
    # Three renamed entries, one that no computation uses, one too many, one misshapen.
    theirs |= {
        'basemodel_m.Conv2d_1a_3x3.bn.running_var': torch.ones(32),
        'head.cls_ctr.conv1.bias': torch.zeros(256),
        'head.reg.conv_layers.11.bias': torch.zeros(256),
        'r_z_k.conv.bias': torch.zeros(256),
        'neck_q.adjustor.bias': torch.zeros(7),
        'stray': torch.zeros(1),
    }
    out = tmp_path / 'ours.safetensors'
    torch.save({'model_state_dict': theirs, 'epoch': 19}, tmp_path / 'theirs.pkl')
    assert convert(['convert', 'stmtrack', str(tmp_path / 'theirs.pkl'), str(out)]) == 1
    told = capsys.readouterr().err
    assert 'stray is unknown' in told
    assert 'neck_q.bias has shape (7,), not (512,)' in told
    assert 'trunk_q.Conv2d_1a_3x3.bn.running_var is missing' in told
    for found in (
        'trunk_m.Conv2d_1a_3x3.bn.running_var',
        'head.cls_ctr.0.bias',
        'head.reg.12.bias',
    ):
        assert found not in told
    assert 'r_z_k' not in told
    (tmp_path / 'evil.pkl').write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")
    assert convert(['convert', 'stmtrack', str(tmp_path / 'evil.pkl'), str(out)]) == 1
    assert 'no PyTorch checkpoint of tensors' in capsys.readouterr().err
    assert not out.exists()
