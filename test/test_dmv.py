"""DMV: what its networks promise, and its tracker's promises."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory.part_ring import INTERVAL
from memtrack_ros.nets.dmv import CompactDMV, DMVNet, PaperDMV
from memtrack_ros.nets.resnet import ResNet
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.trackers import Estimate, Prior, State, Target
from memtrack_ros.trackers.dmv import DMV, Found, create
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.files import Calibration, load_weights, save_weights

CPU = torch.device('cpu')
NETS: dict[str, type[CompactDMV] | type[PaperDMV]] = {'compact': CompactDMV, 'paper': PaperDMV}
FRAMES = 62


@pytest.fixture(scope='module')
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of untrained weights, the same in every run."""
    paths = {}
    for variant, net in NETS.items():
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp('weights') / f'{variant}.safetensors'
        save_weights(path, 'dmv', variant, net().state_dict(), Calibration(1.0, 0.0), 'nobody')
        paths[variant] = path
    return paths


def tracker(files: dict[str, Path], variant: str, max_bytes: int = 2**30) -> DMV:
    path = files[variant]
    return create(variant, load_weights(path, 'dmv', variant), path, CPU, max_bytes)


@pytest.fixture(scope='module')
def frames() -> list[Pixels]:
    """The frames of a drawn scene."""
    scene = drawn_scene(9, width=320, height=240, frames=FRAMES)
    return [scene.render(number).image for number in range(FRAMES)]


TARGET = Target(np.array([120.0, 90.0, 50.0, 40.0]), None)


def follow(follower: DMV, frames: list[Pixels], sure: float | None = None) -> list[Found]:
    """Every frame located where the target was last, and remembered (with the score `sure`)."""
    box, found = TARGET.box, []
    for frame in frames:
        answer = follower.locate(frame, Prior(box))
        found.append(answer)
        box = answer.box
        if sure is not None:
            answer = Found(sure, box, answer.mask, answer.key, answer.maps, answer.usual)
        follower.remember(frame, estimate_of(answer), answer)
    return found


def estimate_of(found: Found) -> Estimate:
    return Estimate(State.TRACKING, 1.0, 1.0, None, found.box, None, True, 1)


def same(first: Found, second: Found) -> bool:
    return (
        first.score == second.score
        and np.array_equal(first.box, second.box)
        and np.array_equal(first.mask, second.mask)
    )


@pytest.mark.parametrize('variant', ['compact', 'paper'])
def test_locating_changes_nothing(
    files: dict[str, Path], frames: list[Pixels], variant: str
) -> None:
    follower = tracker(files, variant)
    follower.initialise(frames[0], TARGET)
    before = follower.state()
    once, again = (follower.locate(frames[1], Prior(TARGET.box)) for _ in range(2))
    assert same(once, again)
    after = follower.state()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


@pytest.mark.parametrize('variant', ['compact', 'paper'])
def test_a_restored_tracker_goes_on_as_the_other(
    files: dict[str, Path], frames: list[Pixels], variant: str
) -> None:
    follower, other = tracker(files, variant), tracker(files, variant)
    follower.initialise(frames[0], TARGET)
    length = 40 if variant == 'compact' else 5
    follow(follower, frames[1:length], sure=0.9)
    other.restore(follower.state())
    further = frames[length : length + 20]
    assert all(map(same, follow(follower, further, sure=0.9), follow(other, further, sure=0.9)))
    assert other.bank.status() == follower.bank.status()


def test_frames_are_remembered_as_the_bank_admits(
    files: dict[str, Path], frames: list[Pixels]
) -> None:
    follower = tracker(files, 'compact')
    follower.initialise(frames[0], TARGET)
    size = follower.bank.status().bytes
    follow(follower, frames[1:INTERVAL], sure=0.9)
    assert follower.bank.entries == 1
    # What was searched widely shows the parts smaller than they will be asked for.
    wide = follower.locate(frames[INTERVAL], Prior(TARGET.box, 1.5))
    wide = Found(0.9, wide.box, wide.mask, wide.key, wide.maps, wide.usual)
    follower.remember(frames[INTERVAL], estimate_of(wide), wide)
    assert follower.bank.entries == 1
    follow(follower, frames[INTERVAL + 1 :], sure=0.9)
    assert follower.bank.entries == 3  # frames 1, 32 and 62
    assert follower.bank.status().writes + follower.bank.status().refused == FRAMES
    assert follower.bank.status().bytes == size == 2 * 16 * 64 * 24 * 24 * 4


def test_what_is_stored_is_the_search_crop_as_it_was_answered(
    files: dict[str, Path], frames: list[Pixels]
) -> None:
    follower = tracker(files, 'compact')
    follower.initialise(frames[0], TARGET)
    found = follow(follower, frames[1 : INTERVAL + 1], sure=0.9)[-1]
    keys, values, used = follower.bank.read()
    assert used.sum() == 2
    assert torch.equal(keys[:, 1], found.key)
    maps = found.maps
    with torch.inference_mode():
        value = follower.net.value(found.key, maps.score, maps.displacements)
    assert torch.equal(values[:, 1], value)


@pytest.mark.parametrize('variant', ['compact', 'paper'])
def test_the_mask_is_segmented_or_the_box(
    files: dict[str, Path], frames: list[Pixels], variant: str
) -> None:
    follower = tracker(files, variant)
    mask = np.zeros(frames[0].shape[:2], np.uint8)
    mask[95:125, 125:160] = 255
    given = follower.initialise(frames[0], Target(TARGET.box, mask))
    filled = np.zeros_like(mask)
    filled[90:130, 120:170] = 255
    assert np.array_equal(given.mask, mask if follower.segments else filled)
    assert np.array_equal(given.box, TARGET.box)
    assert follower.initialise(frames[0], TARGET).mask.any()


@pytest.mark.parametrize('variant', ['compact', 'paper'])
def test_a_bank_over_its_limit_is_refused(files: dict[str, Path], variant: str) -> None:
    needed = {'compact': 2 * 16 * 64 * 576 * 4, 'paper': 2 * 32 * 512 * 256 * 4}[variant]
    tracker(files, variant, needed)
    with pytest.raises(ConfigurationError, match=f'{needed} bytes'):
        tracker(files, variant, needed - 1)


def test_the_paper_window_has_siamfcs_context(files: dict[str, Path], frames: list[Pixels]) -> None:
    # 50 x 40: p = 45, sqrt(95 x 85) = 89.861; twice that in 256 pixels.
    window = tracker(files, 'paper').window(frames[0], TARGET.box, 1.0)
    assert window.pitch == pytest.approx(2 * 89.861 / 256, rel=1e-4)
    assert window.to_frame([127.5, 127.5]).tolist() == [144.5, 109.5]


@torch.no_grad()
def test_a_value_ignores_scores_below_one_half() -> None:
    net = CompactDMV().eval()
    key, displacements = torch.randn(1, 64, 4, 4), torch.randn(1, 3, 4, 4, 4)
    score = torch.full((1, 3, 4, 4), 0.49)
    nothing = net.value(key, torch.zeros_like(score), displacements)
    assert torch.equal(net.value(key, score, displacements), nothing)
    score[0, 0, 0, 0] = 0.5
    assert not torch.equal(net.value(key, score, displacements), nothing)


@torch.no_grad()
def test_a_first_value_is_told_the_box_exactly() -> None:
    net = CompactDMV().eval()
    told = {}

    def note(key: torch.Tensor, score: torch.Tensor, displacements: torch.Tensor) -> torch.Tensor:
        told['score'], told['displacements'] = score, displacements
        return key

    net.value = note  # type: ignore[method-assign]
    # 48 x 48 around cell (column 3, row 2) of 8 pixels: the middle anchor there, undisplaced.
    net.first_value(torch.zeros(1, 64, 6, 6), torch.tensor([[0.0, -8.0, 48.0, 40.0]]))
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


def remembered_clip(net: DMVNet, crops: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """A clip (B, T, 3, S, S) answered frame by frame from what was answered before: a loss."""
    first = net.query(crops[:, 0])
    keys, values = [first.key], [net.first_value(first.key, boxes)]
    loss = torch.zeros(())
    for number in range(1, crops.shape[1]):
        query = net.query(crops[:, number])
        valid = torch.ones(len(crops), number, dtype=torch.bool)
        maps, mask = net.answer(torch.stack(keys, 1), torch.stack(values, 1), valid, query)
        assert mask is not None
        loss = loss + maps.logits.square().mean() + maps.displacements.abs().mean()
        loss = loss + mask.square().mean()
        keys.append(query.key)
        values.append(net.value(query.key, maps.score, maps.displacements))
    return loss


def test_every_parameter_learns_from_a_clip_of_any_side() -> None:
    torch.manual_seed(0)
    net = CompactDMV()
    crops = torch.rand(2, 3, 3, 72, 72) * 255
    boxes = torch.tensor([[10.0, 12.0, 50.0, 60.0], [20.0, 5.0, 60.0, 40.0]])
    remembered_clip(net, crops, boxes).backward()
    still = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert still == ['trunk.label.weight']  # shared with trackers that label what they remember


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


def test_the_compact_network_is_small() -> None:
    assert sum(p.numel() for p in CompactDMV().state_dict().values()) * 2 <= 8 * 2**20
