"""DMV: what its networks say and its bank is given, and ImageNet's backbone for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from tracking import Maker, Video, boxed, follow, remember

from memtrack_ros.memory.part_ring import INTERVAL
from memtrack_ros.nets.dmv import CompactDMV, PaperDMV
from memtrack_ros.nets.resnet import ResNet
from memtrack_ros.trackers import Prior
from memtrack_ros.trackers.dmv import DMVObservation, DMVTracker
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.files import load_weights


def test_frames_are_remembered_when_the_bank_is_due(make: Maker, video: Video) -> None:
    tracker = make('dmv')
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    *_, found = follow(tracker, video.frames[1:INTERVAL], video.box)
    assert tracker.bank.entries == 1
    # What was searched widely shows the parts smaller than they will be asked for.
    wide = tracker.locate(video.frames[INTERVAL], Prior(found.box, 1.5))
    remember(tracker, video.frames[INTERVAL], wide)
    assert tracker.bank.entries == 1
    *_, found = follow(tracker, video.frames[INTERVAL + 1 : 2 * INTERVAL + 2], found.box)
    assert tracker.bank.entries == 3  # frames 1, 32 and 62


def test_what_is_stored_is_the_search_crop_as_it_was_answered(make: Maker, video: Video) -> None:
    tracker = make('dmv')
    assert isinstance(tracker, DMVTracker)
    tracker.initialise(video.frames[0], boxed(video.frames[0], video.box))
    *_, found = follow(tracker, video.frames[1 : INTERVAL + 1], video.box)
    assert isinstance(found, DMVObservation)
    keys, values, used = tracker.bank.read()
    assert used.sum() == 2
    assert torch.equal(keys[:, 1], found.key)
    maps, mask = found.answer
    assert mask is not None
    with torch.inference_mode():
        value = tracker.net.value(found.key, maps.score, maps.displacements, torch.tanh(mask / 2))
    assert torch.equal(values[:, 1], value)


def test_the_paper_window_has_siamfcs_context(make: Maker, video: Video) -> None:
    tracker = make('dmv', 'paper')
    assert isinstance(tracker, DMVTracker)
    # 50 x 40: p = 45, sqrt(95 x 85) = 89.861; twice that in 256 pixels.
    window = tracker.window(video.frames[0], np.array([120.0, 90.0, 50.0, 40.0]), 1.0)
    assert window.pitch == pytest.approx(2 * 89.861 / 256, rel=1e-4)
    assert window.to_frame([127.5, 127.5]).tolist() == [144.5, 109.5]


@torch.no_grad()
def test_a_value_ignores_scores_below_one_half() -> None:
    net = CompactDMV().eval()
    key, displacements = torch.randn(1, 64, 4, 4), torch.randn(1, 3, 4, 4, 4)
    score = torch.full((1, 3, 4, 4), 0.49)
    mask = torch.rand(1, 1, 16, 16)
    nothing = net.value(key, torch.zeros_like(score), displacements, mask)
    assert torch.equal(net.value(key, score, displacements, mask), nothing)
    score[0, 0, 0, 0] = 0.5
    assert not torch.equal(net.value(key, score, displacements, mask), nothing)


@torch.no_grad()
def test_a_first_value_is_told_the_box_exactly() -> None:
    net = CompactDMV().eval()
    told = {}

    def note(key: Tensor, score: Tensor, displacements: Tensor, mask: Tensor | None) -> Tensor:
        told['score'], told['displacements'] = score, displacements
        return key

    net.value = note  # type: ignore[method-assign]
    # 48 x 48 around cell (column 3, row 2) of 8 pixels: the middle anchor there, undisplaced.
    net.first_value(torch.zeros(1, 64, 6, 6), torch.tensor([[0.0, -8.0, 48.0, 40.0]]), None)
    assert told['score'].nonzero().tolist() == [[0, 1, 2, 3]]
    assert told['displacements'][0, 1, :, 2, 3].tolist() == [0.0] * 4
    # One column on, it is 8 pixels to the left: -8 / 48.
    assert told['displacements'][0, 1, :, 2, 4].tolist() == pytest.approx([-1 / 6, 0, 0, 0])


@pytest.mark.parametrize(('depth', 'channels'), [(18, 256), (50, 1024)])
@torch.no_grad()
def test_both_published_backbones(depth: Literal[18, 50], channels: int) -> None:
    net = PaperDMV(depth).eval()
    assert net.trunk.channels[2] == channels
    crops = torch.rand(1, 3, 256, 256) * 255
    query = net.query(crops)
    assert query.key.shape == (1, 512, 16, 16)
    memory = query.key[:, None]
    maps, mask = net.answer(memory, memory, torch.ones(1, 1, dtype=torch.bool), query)
    assert maps.score.shape == (1, 5, 16, 16)
    assert maps.boxes.shape == (1, 5, 4, 16, 16)
    assert maps.boxes.isfinite().all()
    assert mask is None


def test_imagenets_backbone_is_converted_and_the_rest_is_said_to_be_untrained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = ResNet(50, last='layer4').state_dict()
    classifier = {'fc.weight': torch.zeros(1000, 2048), 'fc.bias': torch.zeros(1000)}
    torch.save(theirs | classifier, tmp_path / 'resnet50.pth')
    outs = [tmp_path / name for name in ('one.safetensors', 'two.safetensors')]
    for out in outs:
        assert convert(['convert', 'dmv', str(tmp_path / 'resnet50.pth'), str(out)]) == 0
        assert 'only the backbone is trained' in capsys.readouterr().out
    one, two = (load_weights(out, 'dmv', 'paper').tensors for out in outs)
    assert one.keys() == PaperDMV().state_dict().keys()
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
    assert torch.equal(one['trunk.layer4.2.conv3.weight'], theirs['layer4.2.conv3.weight'])
    del theirs['layer3.1.bn2.bias']
    torch.save(theirs, tmp_path / 'resnet50.pth')
    assert convert(['convert', 'dmv', str(tmp_path / 'resnet50.pth'), str(outs[0])]) == 1
    assert 'trunk.layer3.1.bn2.bias is missing' in capsys.readouterr().err
