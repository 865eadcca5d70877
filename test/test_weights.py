"""Weight files: verified when loaded, refused with a reason; the authors' names become ours."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.stmtrack import PaperSTMTrack
from memtrack_ros.training.beginning import begin_with
from memtrack_ros.weights import files
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.checkpoints import opened_checkpoint
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


@pytest.mark.parametrize(
    'calibration',
    [None, '', '1', '[1]', '[1, 2, 3]', '"ab"', '[1, "b"]', '[NaN, 0]', '[0, NaN]', '[1e400, 0]',
     '[[1], 2]', '{"a": 1, "b": 2}', '[1000, 0]', 'x' * 10_000, '[' * 100_000],
)  # fmt: skip
def test_a_file_without_its_calibration_is_refused_in_a_sentence(
    saved: Path, calibration: str | None
) -> None:
    with safe_open(saved, 'pt') as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata['calibration'] = calibration
    if calibration is None:
        del metadata['calibration']
    save_file(tensors, saved, metadata)
    with pytest.raises(ConfigurationError, match=r'damaged: its calibration .*; name a') as caught:
        load_weights(saved, 'stmtrack', 'compact')
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ('changed', 'words'),
    [
        ({'weight': torch.full((3, 2), torch.nan)}, 'weight has numbers that are not finite'),
        ({'bias': torch.tensor([0.0, torch.inf, 0.0])}, 'bias has numbers that are not finite'),
        ({'bias': torch.zeros(3, dtype=torch.long)}, 'bias has type torch.int64, not'),
        ({'bias': torch.zeros(3, dtype=torch.bool)}, 'bias has type torch.bool, not'),
    ],
)
def test_numbers_that_no_network_has_are_refused(
    saved: Path, changed: dict[str, torch.Tensor], words: str
) -> None:
    net = torch.nn.Linear(2, 3)
    tensors = net.state_dict() | changed
    save_weights(saved, 'stmtrack', 'compact', tensors, Calibration(1.0, 0.0), 'nobody')
    before = net.weight.clone()
    with pytest.raises(ConfigurationError, match=words):
        load_into(net, load_weights(saved, 'stmtrack', 'compact'), saved)
    assert torch.equal(net.weight, before)


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
    assert convert(['convert', 'stmtrack', str(tmp_path / 'evil.pkl'), str(out)]) == 1
    assert 'no PyTorch checkpoint of tensors' in capsys.readouterr().err
    assert not out.exists()


def damaged_checkpoints(folder: Path) -> Iterator[Path]:
    """Files that are no checkpoint of tensors any more, or never were."""
    whole = folder / 'whole.pt'
    torch.save({'weight': torch.ones(64, 64)}, whole)
    content = whole.read_bytes()
    torch.save({'weight': torch.ones(64, 64)}, whole, _use_new_zipfile_serialization=False)
    old = whole.read_bytes()
    for name, data in {
        'empty': b'',
        'text': b'not weights',
        'truncated': content[: len(content) // 2],
        'headless': content[10:],
        'old-truncated': old[: len(old) // 2],
        'evil': b"cos\nsystem\n(S'touch evil'\ntR.",
        'pickle': pickle.dumps({'weight': Path('x')}),
    }.items():
        (folder / f'{name}.pt').write_bytes(data)
        yield folder / f'{name}.pt'
    for name, thing in {
        'list': [torch.ones(2)],
        'tensor': torch.ones(2),
        'number': 3,
        'nested': {'model': 3},
        'keys': {1: torch.ones(2)},
        'sparse': {'weight': torch.eye(2).to_sparse()},
    }.items():
        torch.save(thing, folder / f'{name}.pt')
        yield folder / f'{name}.pt'
    for name, data in {'empty': b'', 'text': b'text', 'cut': content[:99]}.items():
        (folder / f'{name}.npz').write_bytes(data)
        yield folder / f'{name}.npz'
    np.savez(folder / 'objects.npz', weight=np.array([None, {}], object))
    yield folder / 'objects.npz'
    np.savez(folder / 'words.npz', weight=np.array(['a', 'b']))
    yield folder / 'words.npz'
    yield folder / 'nowhere.pt'
    yield folder


def test_a_damaged_checkpoint_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'ours.safetensors'
    for path in damaged_checkpoints(tmp_path):
        assert convert(['convert', 'stmtrack', str(path), str(out)]) == 1, path
        told = capsys.readouterr().err
        assert told.startswith(f'{path} is damaged or no '), told
        assert told.endswith('; name the file that the authors of the tracker published.\n'), told
        assert told.count('\n') == 1, told
        assert len(told) < 350 + len(str(path)), told
        with pytest.raises(
            ConfigurationError, match='no checkpoint of EfficientNet-Lite0 .*; set --begin'
        ) as caught:
            begin_with(str(path))
        assert '\n' not in str(caught.value)
    assert not out.exists()
    assert not Path('evil').exists()


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'net': {}}, 'Missing key'),
        ({'net': {'weight': torch.ones(2, 2), 'bias': torch.ones(3)}}, 'size mismatch'),
        ({'step': None}, 'TypeError'),
        (None, 'KeyError'),
    ],
)
def test_a_checkpoint_to_go_on_from_that_does_not_fit_is_refused_in_a_sentence(
    tmp_path: Path, change: dict[str, Any] | None, words: str
) -> None:
    path, net = tmp_path / 'checkpoint.pt', torch.nn.Linear(2, 3)
    whole = {'net': net.state_dict(), 'step': 7}
    torch.save({} if change is None else whole | change, path)
    with (
        pytest.raises(ConfigurationError, match=words) as caught,
        opened_checkpoint(path, 'checkpoint of this training', 'remove it to begin anew') as state,
    ):
        net.load_state_dict(state['net'])
        int(state['step'])
    assert str(caught.value).startswith(f'{path} is damaged or no checkpoint of this training (')
    assert str(caught.value).endswith('; remove it to begin anew.')
    assert '\n' not in str(caught.value)


def test_a_place_that_cannot_be_written_is_said_by_convert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        'memtrack_ros.weights.__main__.convert', lambda *_: {'weight': torch.zeros(1)}
    )
    for out in (tmp_path / 'nowhere' / 'x.safetensors', tmp_path):
        assert convert(['convert', 'memtrack', 'theirs.pt', str(out)]) == 1
        told = capsys.readouterr().err
        assert told.startswith(f'{out} cannot be written (')
        assert told.count('\n') == 1
