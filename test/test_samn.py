"""SAMN: the paper's equations by hand, its checkpoint, and its trackers' promises."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.nets.cmedfl import distances
from memtrack_ros.nets.compact import Features
from memtrack_ros.nets.samn import CompactSAMN, Decoder, PaperSAMN, Query, aggregated
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.trackers import Estimate, Observation, Prior, State, Target, samn
from memtrack_ros.trackers.filter_tracker import FilterTracker
from memtrack_ros.trackers.samn import PAPER, create
from memtrack_ros.trackers.target_filter import PUBLISHED, Augmentation
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.convert.samn import translate
from memtrack_ros.weights.files import Calibration, Weights, load_weights, save_weights

CPU = torch.device('cpu')
VARIANTS = {'compact': CompactSAMN, 'paper': PaperSAMN}
AFTER = {'compact': 20, 'paper': 2}  # frames that must be found alike by a tracker restored
BOX = np.array([60.0, 40.0, 40.0, 30.0])


class Drawn(NamedTuple):
    """Weights of a variant before any training."""

    variant: str
    weights: Weights


@pytest.fixture(scope='module', params=VARIANTS)
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    torch.manual_seed(0)
    variant = str(request.param)
    path = tmp_path_factory.mktemp('weights') / 'drawn.safetensors'
    tensors = VARIANTS[variant]().state_dict()
    save_weights(path, 'samn', variant, tensors, Calibration(1.0, 0.0), 'nobody')
    return Drawn(variant, load_weights(path, 'samn', variant))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published filter learns from fewer samples, which a CPU has sooner."""
    few = PUBLISHED._replace(augmentation=Augmentation(shifts=((0.25, 0.25),), blurs=(), turns=()))
    monkeypatch.setattr(samn, 'PUBLISHED', few)


@pytest.fixture(scope='module')
def frames() -> list[Pixels]:
    scene = drawn_scene(9, width=160, height=120)
    return [scene.render(number).image for number in range(AFTER['compact'] + 12)]


def made(drawn: Drawn, max_bytes: int = 2**31) -> FilterTracker[Query]:
    return create(drawn.variant, drawn.weights, Path('drawn'), CPU, max_bytes)


def follow(tracker: FilterTracker[Query], frames: list[Pixels], box: Floats) -> list[Observation]:
    """Locate and remember in every frame, starting at `box`."""
    found: list[Observation] = []
    for frame in frames:
        found.append(tracker.locate(frame, Prior(box)))
        box = found[-1].box
        estimate = Estimate(State.TRACKING, 1.0, found[-1].score, None, box, None, False, 1)
        tracker.remember(frame, estimate, found[-1])
    return found


def same(one: Observation, other: Observation) -> bool:
    return (
        one.score == other.score
        and np.array_equal(one.box, other.box)
        and np.array_equal(one.mask, other.mask)
    )


def test_it_follows_with_a_constant_bank_and_looking_changes_nothing(
    drawn: Drawn, frames: list[Pixels]
) -> None:
    tracker = made(drawn)
    before = tracker.bank.status()
    first = tracker.initialise(frames[0], Target(BOX, None))
    assert 0 <= first.score <= 1
    assert first.mask.shape == frames[0].shape[:2]
    assert np.array_equal(first.box, BOX)
    state = tracker.state()
    assert same(tracker.locate(frames[1], Prior(BOX)), tracker.locate(frames[1], Prior(BOX)))
    assert all(torch.equal(value, state[name]) for name, value in tracker.state().items())
    count = AFTER[drawn.variant]
    for found in follow(tracker, frames[1 : 1 + count], BOX):
        assert 0 <= found.score <= 1
        assert np.isfinite(found.box).all() and found.box[2:].min() > 0
        assert found.mask.dtype == np.uint8
        assert set(np.unique(found.mask)) <= {0, 255}
    after = tracker.bank.status()
    assert after.bytes == before.bytes
    assert after.writes + after.refused == 1 + count
    tracker.bank.clear()
    assert tracker.bank.status().entries == 0


def test_after_restore_the_next_estimates_are_identical(drawn: Drawn, frames: list[Pixels]) -> None:
    count = AFTER[drawn.variant]
    tracker, other = made(drawn), made(drawn)
    tracker.initialise(frames[0], Target(BOX, None))
    box = follow(tracker, frames[1 : 2 + count // 2], BOX)[-1].box
    other.restore(tracker.state())
    later = frames[12 : 12 + count]
    ours, theirs = (follow(either, later, box) for either in (tracker, other))
    assert all(same(one, another) for one, another in zip(ours, theirs, strict=True))
    assert other.bank.status() == tracker.bank.status()


def test_a_bank_over_its_limit_is_refused(drawn: Drawn) -> None:
    need = made(drawn).bank.bytes
    with pytest.raises(ConfigurationError, match=f'needs {need} bytes'):
        made(drawn, need - 1)


def test_a_frozen_memory_stays_as_it_is(drawn: Drawn, frames: list[Pixels]) -> None:
    tracker = made(drawn)
    mask = boxes.box_mask(BOX, *frames[0].shape[:2])
    tracker.initialise(frames[0], Target(BOX, mask))
    tracker.bank.frozen = True
    before = tracker.bank.state(), tracker.filter.state()
    follow(tracker, frames[1:3], BOX)
    for was, now in zip(before, (tracker.bank.state(), tracker.filter.state()), strict=True):
        names = [name for name in was if not name.endswith('refused')]
        assert all(torch.equal(was[name], now[name]) for name in names)
    assert tracker.bank.refused == 2


def test_soft_aggregation_by_hand() -> None:
    # p of the target: softmax(0, log 3) = 3/4; then p^2 / (p^2 + (1 - p)^2) = 9 / 10.
    logits = torch.tensor([0.0, float(np.log(3))]).view(1, 2, 1, 1)
    again = aggregated(logits)
    assert again.flatten().tolist() == pytest.approx([-np.log(3), np.log(3)], abs=1e-5)
    assert float(again.softmax(1)[0, 1]) == pytest.approx(0.9)
    # A certain one stays finite.
    assert aggregated(1000 * logits).isfinite().all()


def test_the_distance_is_added_to_all_channels_in_sides_of_the_crop() -> None:
    torch.manual_seed(0)
    decoder = Decoder(4, width=8).eval()
    seen: list[torch.Tensor] = []
    decoder.eighth.register_forward_pre_hook(lambda _, given: seen.append(given[1]))
    crops = torch.zeros(1, 3, 64, 64)
    levels = (torch.zeros(1, width, side, side) for width, side in ((64, 32), (256, 16), (512, 8)))
    query = Query(crops, Features(*levels), torch.zeros(1, 1024, 4, 4))
    r = torch.randn(1, 4, 4, 4)
    decoder(r, query, torch.zeros(1, 1, 4, 4))
    decoder(r, query, distances(torch.tensor([[16.0, 16.0]]), 4, 16))
    added = seen[1] - seen[0]
    # Cells at 0, 16, 32, 48: the one at (0, 0) is sqrt(2) * 16 pixels away, a side is 64.
    assert added[0, :, 0, 0].tolist() == pytest.approx([2**0.5 / 4] * 8, abs=1e-6)
    assert added[0, :, 1, 3].tolist() == pytest.approx([0.5] * 8, abs=1e-6)


def test_the_published_distance_is_the_authors() -> None:
    # Pixels 1 .. S less S / 2, of which every sixteenth is taken.
    along = np.arange(1, PAPER.side + 1) - PAPER.side / 2
    theirs = torch.from_numpy(np.hypot(along[:, None], along)).float()
    cells = PAPER.side // 16
    ours = distances(torch.full((1, 2), PAPER.middle), cells, 16)
    assert torch.allclose(ours, F.interpolate(theirs[None, None], (cells, cells)))


def test_an_unsure_frame_gets_its_mask_but_is_not_remembered(
    drawn: Drawn, frames: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = made(drawn)
    tracker.initialise(frames[0], Target(BOX, boxes.box_mask(BOX, *frames[0].shape[:2])))
    monkeypatch.setattr(tracker.filter, 'uncertainty', lambda peak: 11.0)
    (found,) = follow(tracker, frames[1:2], BOX)
    assert found.mask.shape == frames[1].shape[:2]
    status = tracker.bank.status()
    assert (status.writes, status.refused) == (1, 1)


def test_the_compact_net_learns_end_to_end_from_crops_of_any_side() -> None:
    torch.manual_seed(0)
    net = CompactSAMN()
    crops, masks = 255 * torch.rand(2, 3, 64, 64), torch.rand(2, 1, 64, 64)
    cells = net.memorise(crops, masks)
    keys, values = (x.flatten(2) for x in cells)
    valid = torch.ones(2, keys.shape[2], dtype=torch.bool)
    distance = distances(torch.full((2, 2), 31.5), 8, net.stride)
    assert keys.shape == (2, net.keys, net.remembered(64) ** 2)
    logits = net.answer(keys, values, valid, net.query(crops), distance)
    assert logits.shape == (2, 1, 32, 32)
    logits.square().mean().backward()
    assert [name for name, weight in net.named_parameters() if weight.grad is None] == []
    assert sum(weight.numel() for weight in net.parameters()) * 2 < 8 * 2**20


def test_the_authors_checkpoint_is_converted_and_a_wrong_one_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        'Encoder_M.conv1_m.weight': 'encoder_m.foreground.weight',
        'Encoder_M.res2.0.bn1.weight': 'encoder_m.trunk.layer1.0.bn1.weight',
        'Encoder_Q.res4.5.conv3.weight': 'encoder_q.layer3.5.conv3.weight',
        'KV_Q_r4.Value.bias': 'cells_q.value.bias',
        'Decoder.RF3.ResFS.conv2.bias': 'decoder.eighth.features.second.bias',
        'Decoder.ResMM.conv1.weight': 'decoder.joined.first.weight',
        'Decoder.pred2.bias': 'decoder.answer.bias',
    }
    dead = {'Encoder_M.mean': torch.zeros(3), 'Encoder_Q.std': torch.zeros(3)}
    given = {name: torch.zeros(1) for name in names} | dead
    assert set(translate(given)) == set(names.values())
    wrong = tmp_path / 'wrong.pth'
    torch.save({'state_dict': {f'module.{name}': one for name, one in given.items()}}, wrong)
    assert convert(['convert', 'samn', str(wrong), str(tmp_path / 'out.safetensors')]) == 1
    told = capsys.readouterr().err
    assert 'cells_q.value.bias has shape (1,), not (512,)' in told
    assert 'cells_q.key.bias is missing' in told
    assert 'mean' not in told.replace('running_mean', '')
