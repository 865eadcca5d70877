"""The pictures of what trackers read show what the tensors say."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.evaluation import reads
from memtrack_ros.evaluation.__main__ import main
from memtrack_ros.evaluation.pictures import Heat, Panel
from memtrack_ros.nets.readers import soft_read, soft_weights
from memtrack_ros.trackers import Observation, Prior
from memtrack_ros.weights.files import shipped_file

SHIPPED = [name for name in trackers.NAMES if shipped_file(name, 'compact').is_file()]
GRID = reads.GRID


def moment() -> reads.Moment:
    """The target lies on cells (10, 10) and (10, 11) of the query, which shows all of the frame."""
    side = reads.CROP
    box = np.array([72.0, 72.0, 48.0, 48.0])
    mask = np.zeros((side, side), np.uint8)
    mask[80, [80, 88]] = 255
    frame = np.zeros((side, side, 3), np.uint8)
    return reads.Moment(1, frame, np.zeros(3), Prior(box), Observation(1.0, box, mask))


def heat(panel: Panel) -> Heat:
    assert panel.heat is not None
    return panel.heat


def test_weights_are_those_of_the_read_by_hand() -> None:
    # Four channels: products 2 ln 3, 0 and 2 over sqrt(4); the third cell is not in use.
    keys = torch.tensor([[2 * math.log(3), 0, 2], *[[0] * 3] * 3])[None]
    query = torch.tensor([1.0, 0, 0, 0])[None, :, None, None]
    used = torch.tensor([[True, True, False]])
    weights = soft_weights(keys, query, used)
    torch.testing.assert_close(weights[0, :, 0, 0], torch.tensor([0.75, 0.25, 0]))
    values = torch.tensor([[[4.0, 8, 100]]])
    assert soft_read(keys, values, query, used).item() == pytest.approx(5)


def test_heat_is_the_mean_over_the_cells_of_the_target() -> None:
    weights = torch.zeros(1, 3 * GRID**2, GRID, GRID)
    # In the second of the two frames; a third is not in use.
    memory = GRID**2 + 7 * GRID + 9
    weights[0, memory, 10, 10], weights[0, memory, 10, 11] = 0.5, 0.25
    weights[0, 0, 10, 10], weights[0, 0, 5, 5] = 0.5, 1.0
    now = moment()
    panels = [now.panel(now.searched, name) for name in ('one', 'other')]
    (one, other), links = reads.weighed(weights, panels, now, lines=1)
    assert heat(other).values[7, 9] == 0.375
    assert heat(one).values[0, 0] == 0.25
    assert heat(one).values.sum() + heat(other).values.sum() == 0.625
    assert heat(one).between == heat(other).between == (0, 0.375)
    assert other.caption == 'other: 38%'
    last = links[-1]
    assert (last.asking, last.panel, last.held) == ((88, 80), 1, (72, 56))


def test_cells_stored_of_the_middle_of_a_crop_are_drawn_there() -> None:
    weights = torch.zeros(1, 16**2, GRID, GRID)
    weights[0, 0] = 1
    now = moment()
    (panel,), links = reads.weighed(weights, [now.panel(now.searched)], now, lines=1, side=16)
    assert heat(panel).values.shape == (16, 16)
    # Four cells of eight pixels are left out on every side.
    assert heat(panel).first == 32
    assert links[0].held == (32, 32)


def test_a_stored_cell_is_shown_by_the_most_similar_one_seen() -> None:
    generator = torch.Generator().manual_seed(0)
    seen = [torch.randn(1, 8, GRID, GRID, generator=generator) for _ in range(2)]
    crops = [np.full((reads.CROP, reads.CROP, 3), value, np.uint8) for value in (50, 0)]
    # The pixels around the cell in row 2 and column 5.
    crops[1][12:20, 36:44] = 200
    stored = torch.stack([3 * seen[1][0, :, 2, 5], seen[0][0, :, 9, 9]], 1)
    shown = reads.cell_pictures(stored, seen, crops)
    np.testing.assert_array_equal(shown[0], 200)
    np.testing.assert_array_equal(shown[1], 50)


def test_slots_are_drawn_wherever_the_memory_lies() -> None:
    tracker = trackers.create('memtrack', device='cpu')
    # Nothing is computed there, but as on a GPU, nothing may meet what lies on the CPU.
    tracker.net.to('meta')
    memory = tracker.bank.read
    tracker.bank.writes = 1
    held = memory()._replace(initial=memory().initial.to('meta'))
    tracker.bank.read = lambda: held
    pictures = reads.slot_pictures(tracker, [moment()])
    assert pictures.device.type == 'meta'
    assert pictures.shape == (8, 3, reads.TEMPLATE_CROP, reads.TEMPLATE_CROP)


def test_a_mosaic_is_laid_row_by_row() -> None:
    number = np.arange(reads.TILES)
    tiles = np.broadcast_to((number // 4)[:, None, None, None], (reads.TILES, 8, 8, 3))
    panel = reads.mosaic(tiles.astype(np.uint8), np.where(number < 30, 0.9, 0.2), '')
    laid = panel.crop[4::8, 4::8, 0]
    np.testing.assert_array_equal(laid, (number // 4).reshape(GRID, GRID))
    assert panel.mask is not None
    assert panel.mask.shape == panel.crop.shape[:2]
    np.testing.assert_array_equal(panel.mask[4::8, 4::8] > 0, (number < 30).reshape(GRID, GRID))


@pytest.mark.parametrize('name', SHIPPED)
@torch.inference_mode()
def test_weights_drawn_sum_up_to_one(name: str) -> None:
    tracker = trackers.create(name, device='cpu')
    watched = reads.watch(tracker, 8)
    reading = reads.READINGS[name](tracker, watched.written, watched.now)
    drawn = {
        'stmtrack': reading.memory,
        'memtrack': reading.query[:1],
        'dmv': reading.memory,
        'samn': reading.memory,
        'cmedfl': reading.memory[1:],
    }
    total = sum(heat(panel).values.sum() for panel in drawn[name])
    # What finds no match in DMV's memory has no candidates there.
    assert 0 < total <= 1 + 1e-4 if name == 'dmv' else total == pytest.approx(1, abs=1e-4)
    for link in reading.links:
        assert 0 <= link.panel < len(reading.memory)
    if name == 'memtrack':
        assert reading.charts['read weights'].sum() == pytest.approx(1, abs=1e-4)


def test_a_picture_of_every_tracker_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reads, 'FRAMES', 4)
    chosen = ['--trackers', ','.join(SHIPPED), '--device', 'cpu']
    assert main(['reads', *chosen, '--out', str(tmp_path / 'reads')]) == 0
    files = [tmp_path / 'reads' / f'{name}.png' for name in SHIPPED]
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    for file in files:
        picture = cv2.imread(str(file))
        assert picture is not None
        assert picture.shape[1] == 800
        assert file.stat().st_size <= 150_000
