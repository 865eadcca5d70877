"""CMEDFL: the paper's equations by hand, its checkpoint, and its trackers' promises."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError
from memtrack_ros.evaluation.parity.cmedfl import checks
from memtrack_ros.evaluation.parity.reference import Reference
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.nets.cmedfl import (
    CompactCMEDFL,
    Deformation,
    First,
    Memory,
    PaperCMEDFL,
    Query,
    at_cells,
    distances,
    moved,
)
from memtrack_ros.nets.inception import InceptionTrunk
from memtrack_ros.nets.readers import GROUPS, best_read
from memtrack_ros.nets.resnet import ResNet
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.trackers import Estimate, Observation, Prior, State, Target
from memtrack_ros.trackers.cmedfl import COMPACT, PAPER, CompactMemory
from memtrack_ros.trackers.filter_tracker import FilterTracker, PublishedFilterTracker
from memtrack_ros.trackers.target_filter import COMPACT_FILTER, PUBLISHED, Augmentation
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.convert.imagenet import backbone
from memtrack_ros.weights.files import Calibration, load_weights, save_weights

REFERENCE = Path(os.environ.get('MEMTRACK_REFERENCE', 'none'))
needs_reference = pytest.mark.skipif(
    not (REFERENCE / 'cmedfl_ref.npz').is_file(),
    reason='needs the numeric references: set MEMTRACK_REFERENCE to their folder',
)
CPU = torch.device('cpu')
VARIANTS = ('compact', 'paper')
AFTER = {'compact': 20, 'paper': 4}  # frames that must be found alike by a tracker restored
BOX = np.array([60.0, 40.0, 40.0, 30.0])


def made(variant: str, max_bytes: int = 2**30) -> FilterTracker[Query]:
    """A tracker before any training, the same in every call; its filter begins with two samples."""
    torch.manual_seed(0)
    net, settings, filtered, kind = {
        'compact': (CompactCMEDFL, COMPACT, COMPACT_FILTER, FilterTracker),
        'paper': (PaperCMEDFL, PAPER, PUBLISHED, PublishedFilterTracker),
    }[variant]
    memory = CompactMemory(net(), settings, CPU, max_bytes)
    filtered = filtered._replace(augmentation=Augmentation((), (), ()))
    return kind('cmedfl', memory, filtered, Calibration(1.0, 0.0), CPU, max_bytes)


@pytest.fixture(scope='module')
def frames() -> list[Pixels]:
    scene = drawn_scene(9, width=160, height=120)
    return [scene.render(number).image for number in range(AFTER['compact'] + 5)]


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


@needs_reference
def test_the_published_network_and_bank_compute_the_authors_numbers() -> None:
    found = list(checks(Reference(REFERENCE)))
    assert [check.array for check in found if not check.holds] == []
    expected = set(np.load(REFERENCE / 'cmedfl_ref.npz').files)
    given = {name for name in expected if name.endswith('_in')}
    given |= {'conv1', 'layer1', 'layer2', 'layer3', 'train_layer3', 'mask', 'dist'}
    assert {check.array for check in found} == expected - given


@needs_reference
def test_the_read_is_d3s_matching() -> None:
    reference = {
        name: torch.from_numpy(array).float()
        for name, array in np.load(REFERENCE / 'd3s_ref.npz').items()
    }
    mask = reference['mask_small'].flatten(2)
    keys, valid = reference['f_train'].flatten(2), torch.ones_like(mask[:, 0], dtype=torch.bool)
    read = best_read(keys, torch.cat([mask, 1 - mask], 1), reference['f_test'], valid, 3)
    assert torch.allclose(read[:, 0], reference['pos'], atol=1e-5)
    assert torch.allclose(read[:, 1], reference['neg'], atol=1e-5)


def test_the_top_k_mean_read_by_hand() -> None:
    # Cosines with the query (1, 0): 1, 0.6, 0.8, -1 and, not read, 1.
    keys = torch.tensor([[[5.0, 3.0, 4.0, -2.0, 1.0], [0.0, 4.0, 3.0, 0.0, 0.0]]])
    values = torch.tensor([[[0.5, 1.0, 0.0, 1.0, 1.0], [0.5, 0.0, 1.0, 0.0, 0.0]]])
    valid = torch.tensor([[True, True, True, True, False]])
    query = torch.tensor([7.0, 0.0]).view(1, 2, 1, 1)
    read = best_read(keys, values, query, valid, 3).flatten().tolist()
    # Foreground products .5, .6, 0, -1; background products .5, 0, .8, 0.
    assert read == pytest.approx([1.1 / 3, 1.3 / 3])


def test_the_top_k_mean_read_is_that_of_a_full_sort() -> None:
    generator = torch.Generator().manual_seed(0)
    for count in (3, 2 * GROUPS, 5 * GROUPS + 7):
        keys = torch.randn(2, 8, count, generator=generator)
        values = torch.rand(2, 2, count, generator=generator)
        query = torch.randn(2, 8, 4, 5, generator=generator)
        valid = torch.rand(2, count, generator=generator) > 0.5
        valid[:, :3] = True
        cosine = F.normalize(query.flatten(2), dim=1).mT @ F.normalize(keys, dim=1)
        products = cosine[:, None] * values[:, :, None]
        products = products.masked_fill(~valid[:, None, None], -torch.inf)
        expected = products.sort(descending=True).values[..., :3].mean(-1).unflatten(2, (4, 5))
        assert torch.allclose(best_read(keys, values, query, valid, 3), expected, atol=1e-6)


@torch.no_grad()
def test_the_deformable_feature_by_hand() -> None:
    # With identities for all transformations: v = softmax over r of <f, r>, of ReLU(r); then
    # ReLU(v_c + ReLU(f)_c) in every one of the first channels.
    deformation = Deformation().eval()
    unit = torch.eye(64)[:, :, None, None]
    deformation.support.load_state_dict({'weight': unit, 'bias': torch.zeros(64)})
    deformation.query.load_state_dict({'weight': unit, 'bias': torch.zeros(64)})
    for module, weight in (
        (deformation.feature, unit),
        (deformation.join, torch.cat([unit, unit], 1)[:32]),
    ):
        torch.nn.init.zeros_(module[0].bias)
        module[0].weight.copy_(weight)
        module[1].eps = 0.0
    first, query = torch.zeros(1, 64, 1, 2), torch.zeros(1, 64, 1, 1)
    first[0, 0, 0], first[0, 1, 0] = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 3.0])
    query[0, :2, 0, 0] = torch.tensor([1.0, 0.5])
    # <f, r> = 2 - 0.5 and 1.5: both weigh 1/2; v = (1, 1.5).
    assert deformation(first, query)[0, :3, 0, 0].tolist() == pytest.approx([2.0, 2.0, 0.0])


def test_distances_and_masks_are_taken_where_the_cells_stand() -> None:
    # Cells at pixels 0, 8 and 16 of both axes; the peak at x 8, y 3.
    distance = distances(torch.tensor([[8.0, 3.0]]), 3, 8)[0, 0]
    assert distance[0].tolist() == pytest.approx([73**0.5, 3.0, 73**0.5])
    assert distance[2, 1] == 13.0
    mask = torch.zeros(1, 1, 24, 24)
    mask[0, 0, 8, 16] = 1
    assert at_cells(mask, 3)[0, 0].nonzero().tolist() == [[1, 2]]
    shifted = moved(mask, torch.tensor([[-8.0, 3.0]]))
    assert shifted[0, 0].nonzero().tolist() == [[11, 8]]
    assert moved(mask, torch.tensor([[9.0, 0.0]])).sum() == 0  # beyond the crop
    assert torch.equal(moved(mask, torch.zeros(1, 2)), mask)


@pytest.mark.parametrize('variant', VARIANTS)
def test_the_network_is_told_the_peak_and_the_first_mask_there(
    variant: str, frames: list[Pixels]
) -> None:
    tracker = made(variant)
    tracker.initialise(frames[0], Target(BOX, None))
    memory = tracker.appearance
    assert isinstance(memory, CompactMemory)
    net, told = memory.net, []

    def answer(memory: Memory, first: First, query: Query, distance: torch.Tensor) -> torch.Tensor:
        told.append((first.mask, distance))
        return distance

    net.answer = answer  # type: ignore[method-assign, assignment]
    with torch.inference_mode():
        side = memory.settings.side
        label = torch.zeros(1, 1, side, side)
        label[0, 0, side // 3 : side // 2, side // 3 : side // 2] = 1
        seen = memory.see(torch.zeros(1, 3, side, side))
        memory.begin(seen, label)
        memory.segment(seen, np.zeros(2))
        memory.segment(seen, np.array([2.0 * net.stride, -net.stride]))
    (mask, distance), (shifted, farther) = told
    assert torch.equal(mask, at_cells(label, side // net.stride))
    assert torch.equal(shifted[..., :-1, 2:], mask[..., 1:, :-2])
    assert torch.allclose(farther[..., :-1, 2:], distance[..., 1:, :-2], atol=1e-4)


@pytest.mark.parametrize('variant', VARIANTS)
def test_it_follows_with_a_constant_bank_and_looking_changes_nothing(
    variant: str, frames: list[Pixels]
) -> None:
    tracker = made(variant)
    before = tracker.bank.status()
    first = tracker.initialise(frames[0], Target(BOX, None))
    assert 0 <= first.score <= 1
    assert first.mask.any()
    assert np.array_equal(first.box, BOX)
    state = tracker.state()
    once, wide = (tracker.locate(frames[1], Prior(BOX, search)) for search in (1.0, 1.5))
    assert same(tracker.locate(frames[1], Prior(BOX)), once)
    assert same(tracker.locate(frames[1], Prior(BOX, 1.5)), wide)
    after = tracker.state()
    assert all(torch.equal(state[name], after[name]) for name in state | after)
    count = AFTER[variant]
    for found in follow(tracker, frames[1 : 1 + count], BOX):
        assert 0 <= found.score <= 1
        assert np.isfinite(found.box).all()
        assert found.box[2:].min() > 0
        assert found.mask.shape == frames[0].shape[:2]
    status = tracker.bank.status()
    assert status.bytes == before.bytes
    assert status.capacity == {'compact': 4096, 'paper': 16384}[variant]
    assert status.entries >= 576
    assert status.writes + status.refused == 1 + count


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_restored_tracker_goes_on_as_the_first_would(variant: str, frames: list[Pixels]) -> None:
    tracker, other = made(variant), made(variant)
    tracker.initialise(frames[0], Target(BOX, None))
    box = follow(tracker, frames[1:4], BOX)[-1].box
    other.restore(tracker.state())
    later = frames[4 : 4 + AFTER[variant]]
    ours, theirs = (follow(either, later, box) for either in (tracker, other))
    assert all(same(one, another) for one, another in zip(ours, theirs, strict=True))
    assert other.bank.status() == tracker.bank.status()


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_frozen_memory_stays_as_it_is(variant: str, frames: list[Pixels]) -> None:
    tracker = made(variant)
    tracker.initialise(frames[0], Target(BOX, boxes.box_mask(BOX, 120, 160)))
    tracker.bank.frozen = True
    state = tracker.bank.state()
    follow(tracker, frames[1:3], BOX)
    now = tracker.bank.state()
    assert all(torch.equal(state[name], now[name]) for name in state if 'refused' not in name)
    assert tracker.bank.status().refused == 2


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_bank_over_its_limit_is_refused(variant: str) -> None:
    needed = made(variant).bank.bytes
    with pytest.raises(ConfigurationError, match=f'needs {needed} bytes'):
        made(variant, needed - 1)


def test_the_registry_makes_it(tmp_path: Path) -> None:
    path = tmp_path / 'weights.safetensors'
    net = CompactCMEDFL().state_dict()
    save_weights(path, 'cmedfl', 'compact', net, Calibration(1.0, 0.0), 'nobody')
    tracker = trackers.create('cmedfl', 'compact', path, 'cpu')
    assert (tracker.name, tracker.variant, tracker.segments) == ('cmedfl', 'compact', True)
    assert sum(tensor.numel() for tensor in net.values()) * 2 <= 8 * 2**20


def test_the_authors_checkpoint_and_imagenets_backbone_are_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = PaperCMEDFL().state_dict()
    theirs = {}
    for name, tensor in net.items():
        for ours, authors in (
            ('adjust.0', 'feat_adjust.segment0'),
            ('adjust.1', 'feat_adjust.segment1'),
            ('segmenter.deformation.feature', 'segm_predictor.attention.wfeature'),
            ('segmenter.deformation.join', 'segm_predictor.attention.rrfeature'),
            ('segmenter.deformation', 'segm_predictor.attention'),
            ('segmenter.upscaling', 'segm_predictor'),
        ):
            if name.startswith(f'{ours}.'):
                theirs[name.replace(ours, authors, 1)] = tensor
                break
    theirs['segm_predictor.segment0.0.weight'] = torch.zeros(64, 1024, 1, 1)  # of no use
    imagenet = ResNet(50, last='layer4').state_dict() | {'fc.weight': torch.zeros(1000, 2048)}
    files = [str(tmp_path / name) for name in ('authors.pth', 'resnet50.pth', 'out.safetensors')]
    torch.save({'net': theirs}, files[0])
    torch.save(imagenet, files[1])
    assert convert(['convert', 'cmedfl', *files]) == 0
    tensors = load_weights(Path(files[2]), 'cmedfl', 'paper').tensors
    own = {f'backbone.{name}': tensor for name, tensor in imagenet.items()}
    assert all(torch.equal(tensor, (net | own)[name]) for name, tensor in tensors.items())
    assert tensors.keys() == net.keys()

    capsys.readouterr()
    assert convert(['convert', 'cmedfl', files[0], files[2]]) == 1
    assert 'backbone.conv1.weight is missing' in capsys.readouterr().err
    torch.save({'net': theirs | {'segm_predictor.mixer.7.bias': torch.zeros(1)}}, files[0])
    assert convert(['convert', 'cmedfl', *files]) == 1
    assert 'segmenter.upscaling.mixer.7.bias is unknown' in capsys.readouterr().err


def test_imagenets_inception_is_a_backbone_too() -> None:
    own = InceptionTrunk(labelled=False).state_dict()
    others = dict.fromkeys(
        ('Mixed_7a.branch.conv.weight', 'AuxLogits.fc.bias', 'fc.bias'), torch.zeros(1)
    )
    assert backbone(own | others, '', beyond=('Mixed_7',)).keys() == own.keys()
    assert backbone({'odd.weight': torch.zeros(1)}, 'trunk.').keys() == {'odd.weight'}


def test_every_parameter_learns_from_a_batch_of_any_side() -> None:
    torch.manual_seed(0)
    net = CompactCMEDFL()
    seen = net.query(torch.rand(4, 3, 72, 72) * 255)
    label = torch.zeros(4, 1, 72, 72)
    label[..., 20:50, 20:50] = 1
    target = at_cells(label, 9)
    values = torch.cat([target, 1 - target], 1).flatten(2)
    memory = Memory(seen.cells.flatten(2), values, torch.rand(4, 81) > 0.2)
    peak = torch.full((4, 2), 30.0)
    logits = net.answer(memory, First(seen.cells.flip(0), target), seen, distances(peak, 9, 8))
    assert logits.shape == (4, 1, 36, 36)
    F.binary_cross_entropy_with_logits(logits, label[..., ::2, ::2]).backward()
    still = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert still == ['trunk.label.weight']  # shared with trackers that label what they remember
