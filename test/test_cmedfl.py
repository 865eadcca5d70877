"""CMEDFL: the paper's equations by hand, and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tracking import REFERENCE, Maker, Video, boxed, needs_reference

from memtrack_ros.evaluation.parity.cmedfl import checks
from memtrack_ros.evaluation.parity.reference import Reference
from memtrack_ros.nets.cells import at_cells, distances, moved
from memtrack_ros.nets.cmedfl import CellMemory, CMEDFLQuery, Deformation, FirstFrame, PaperCMEDFL
from memtrack_ros.nets.inception import InceptionTrunk
from memtrack_ros.nets.readers import GROUPS, best_read
from memtrack_ros.nets.resnet import ResNet
from memtrack_ros.trackers import VARIANTS
from memtrack_ros.trackers.cmedfl import CompactMemory
from memtrack_ros.trackers.filter_tracker import FilterTracker
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.convert.imagenet import backbone
from memtrack_ros.weights.files import load_weights


@needs_reference
def test_the_published_network_and_bank_compute_the_authors_numbers() -> None:
    found = list(checks(Reference(REFERENCE)))
    assert [check.array for check in found if not check.holds] == []
    expected = set(np.load(REFERENCE / 'cmedfl_ref.npz').files)
    given = {name for name in expected if name.endswith('_in')}
    given |= {'conv1', 'layer1', 'layer2', 'layer3', 'train_layer3', 'mask', 'dist'}
    networks = {check.array for check in found if not check.array.startswith('loop ')}
    assert networks == expected - given


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
    variant: str, make: Maker, video: Video
) -> None:
    tracker = make('cmedfl', variant)
    assert isinstance(tracker, FilterTracker)
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    memory = tracker.appearance
    assert isinstance(memory, CompactMemory)
    net, told = memory.net, []

    def answer(
        memory: CellMemory, first: FirstFrame, query: CMEDFLQuery, distance: torch.Tensor
    ) -> torch.Tensor:
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
