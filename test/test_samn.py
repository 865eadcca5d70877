"""SAMN: the paper's equations by hand, and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from memtrack_ros.nets.cells import distances
from memtrack_ros.nets.compact import Features
from memtrack_ros.nets.samn import Decoder, SAMNQuery, aggregated
from memtrack_ros.trackers.samn import PAPER
from memtrack_ros.weights.__main__ import main as convert
from memtrack_ros.weights.convert.samn import translate


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
    query = SAMNQuery(crops, Features(*levels), torch.zeros(1, 1024, 4, 4))
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
