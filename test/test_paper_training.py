"""The published networks learn, go on bit for bit, and what they write is loaded; in small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.nets.dmv import PaperDMV
from memtrack_ros.training import __main__ as command
from memtrack_ros.training import paper_loop
from memtrack_ros.training.paper_recipes import (
    PAPER_RECIPES,
    PaperRecipe,
    balanced,
    trunk_later,
    warm_cosine,
)
from memtrack_ros.training.real_clips import RealClips
from memtrack_ros.training.workers import Workers

CPU = torch.device('cpu')
# Crops that leave few cells; rates by which so few steps show something.
SMALL = {
    'stmtrack': {'side': 161, 'rate': lambda step, steps: 1e-2},
    'memtrack': {'side': 255, 'length': lambda done: 3, 'rate': lambda step, steps: 1e-3},
    'dmv': {'side': 64, 'net': lambda: PaperDMV(18), 'length': lambda done: 2},
    'samn': {'side': 64, 'length': lambda done: 2, 'rate': lambda step, steps: 1e-4},
    'cmedfl': {'side': 64, 'rate': lambda step, steps: 1e-2},
}


def first(*quick: str) -> list[Any]:
    """All trackers; those that are not `quick` are for --long."""
    return [
        pytest.param(name, marks=[] if name in quick else [pytest.mark.long])
        for name in PAPER_RECIPES
    ]


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GOT-10k-like folder of one short video of a red box on noise."""
    folder = tmp_path_factory.mktemp('data') / 'GOT-10k_Train_000001'
    folder.mkdir()
    noise = np.random.default_rng(0).integers(80, 140, (120, 160, 3), np.uint8)
    boxes = []
    for number in range(1, 9):
        frame = noise.copy()
        x = 50 + 2 * number
        frame[45:75, x : x + 40] = (40, 40, 220)
        cv2.imwrite(str(folder / f'{number:08}.jpg'), frame)
        boxes.append(f'{x + 1}.0,46.0,40.0,30.0')
    (folder / 'groundtruth.txt').write_text('\n'.join(boxes) + '\n')
    return folder.parent


def trained(recipe: PaperRecipe, data: Path, out: Path, steps: int, until: int) -> Path:
    """Train up to a step of so many, then save."""
    out.mkdir(exist_ok=True)
    run = paper_loop.PaperRun(recipe, out, {}, steps=steps, seed=1, device=CPU, workers=Workers())
    source = RealClips(data)
    while run.step < until:
        losses = run.learn(source, 2)
        assert all(np.isfinite(list(losses.values())))
        with (out / 'log.jsonl').open('a') as log:
            log.write(json.dumps(sum(losses.values())) + '\n')
    run.save()
    return out


@pytest.mark.parametrize('tracker', PAPER_RECIPES)
def test_a_published_network_learns(tracker: str, data: Path, tmp_path: Path) -> None:
    recipe = PAPER_RECIPES[tracker]._replace(**SMALL[tracker])
    run = paper_loop.PaperRun(recipe, tmp_path, {}, steps=2, seed=1, device=CPU, workers=Workers())
    before = {name: tensor.clone() for name, tensor in run.net.named_parameters()}
    losses = run.learn(RealClips(data), 2)
    assert all(np.isfinite(list(losses.values())))
    moved = {name for name, tensor in run.net.named_parameters() if tensor.ne(before[name]).any()}
    still = {name for name in before if recipe.share(name, 0.0) == 0}
    assert moved
    assert not moved & still


@pytest.mark.parametrize('tracker', first('memtrack', 'cmedfl'))
def test_a_training_goes_on_bit_for_bit(tracker: str, data: Path, tmp_path: Path) -> None:
    recipe = PAPER_RECIPES[tracker]._replace(**SMALL[tracker])
    whole = trained(recipe, data, tmp_path / 'whole', 2, 2)
    for until in (1, 2):
        parts = trained(recipe, data, tmp_path / 'parts', 2, until)
    one, other = (
        torch.load(folder / 'checkpoint.pt', weights_only=True)['net'] for folder in (whole, parts)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole / 'log.jsonl').read_text() == (parts / 'log.jsonl').read_text()


@pytest.mark.parametrize('tracker', first('cmedfl'))
def test_the_loss_falls(tracker: str, data: Path, tmp_path: Path) -> None:
    recipe = PAPER_RECIPES[tracker]._replace(**SMALL[tracker])
    out = trained(recipe, data, tmp_path / 'out', 20, 20)
    losses = [float(line) for line in (out / 'log.jsonl').read_text().splitlines()]
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])


@pytest.mark.parametrize('tracker', first('cmedfl'))
def test_the_command_trains_and_its_weights_load(
    tracker: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = PAPER_RECIPES[tracker]._replace(**SMALL[tracker])
    monkeypatch.setitem(command.PAPER_RECIPES, tracker, small)
    chosen = [tracker, '--variant', 'paper', '--data', str(data), '--steps', '2', '--batch', '2']
    monkeypatch.setattr(
        'sys.argv', ['training', *chosen, '--device', 'cpu', '--out', str(tmp_path)]
    )
    assert command.main() == 0
    weights = tmp_path / f'{tracker}-paper.safetensors'
    made = trackers.create(tracker, 'paper', weights, 'cpu')
    assert (made.variant, made.gated) == ('paper', False)


def test_what_cannot_be_trained_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, told in (
        (['dmv', 'samn', '--variant', 'paper'], 'trains one tracker, not 2'),
        (['dmv', '--variant', 'paper'], 'name a folder of them with --data'),
        (['dmv', '--scenes', 'off'], '--scenes off leaves nothing'),
    ):
        monkeypatch.setattr('sys.argv', ['training', *given, '--out', str(tmp_path)])
        assert command.main() == 2
        assert told in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match='--steps is 0'):
        paper_loop.PaperRun(
            PAPER_RECIPES['cmedfl'], tmp_path, {}, steps=0, seed=1, device=CPU, workers=Workers()
        )


def test_schedules_are_the_papers() -> None:
    steps = PAPER_RECIPES['stmtrack'].steps
    assert warm_cosine(0, steps) == pytest.approx(1e-2)
    assert warm_cosine(steps // 20, steps) == pytest.approx(8e-2)
    assert warm_cosine(steps, steps) == pytest.approx(1e-6)
    assert trunk_later('trunk_m.Conv2d_2a_3x3.conv.weight', 1.0) == 0
    assert trunk_later('trunk_m.Mixed_6a.conv.weight', 0.49) == 0
    assert trunk_later('trunk_m.Mixed_6a.conv.weight', 0.5) == 0.1
    assert trunk_later('head.cls_score.0.weight', 0.0) == 1
    dmv = PAPER_RECIPES['dmv']
    assert [dmv.length(step / 32_000) for step in (0, 6399, 6400, 12_800, 19_200, 31_999)] == [
        2, 2, 3, 4, 5, 5,
    ]  # fmt: skip
    assert dmv.rate(6400, 32_000) == pytest.approx(1e-3 * 0.05)
    memtrack = PAPER_RECIPES['memtrack']
    assert memtrack.rate(10_000, 100_000) == pytest.approx(0.8e-4)
    samn = PAPER_RECIPES['samn'].share
    assert [samn('encoder_q.conv1.weight', done) for done in (0.0, 0.5)] == [1, 0]
    # Half of the loss is the positive cells', however few: log 2 where nothing is known.
    labels = torch.zeros(1, 3, 3)
    labels[0, 1, 1] = 1
    assert float(balanced(torch.zeros(1, 3, 3), labels)) == pytest.approx(np.log(2))
