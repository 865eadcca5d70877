"""STMTrack against the authors' numbers, and against its own promises."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memtrack_ros import trackers
from memtrack_ros.geometry import boxes
from memtrack_ros.geometry.windows import Window
from memtrack_ros.nets.readers import soft_read
from memtrack_ros.nets.stmtrack import PaperSTMTrack
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.trackers import Estimate, Prior, State, Target
from memtrack_ros.trackers.search import change_penalty, pseudo_mask
from memtrack_ros.trackers.stmtrack import PAPER, PublishedSTMTrack, label_corners
from memtrack_ros.weights.convert import convert_stmtrack
from memtrack_ros.weights.files import Calibration

REFERENCE = Path(os.environ.get('MEMTRACK_REFERENCE', 'none'))
needs_reference = pytest.mark.skipif(
    not (REFERENCE / 'stmtrack_ref.npz').is_file(),
    reason='needs the numeric references: set MEMTRACK_REFERENCE to their folder',
)


@pytest.fixture(scope='module')
def published() -> PaperSTMTrack:
    """The published network with the weights the references were computed with."""
    spec = importlib.util.spec_from_file_location('fill', REFERENCE / 'fill.py')
    assert spec is not None
    assert spec.loader is not None
    fill: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    arrays = fill.state(REFERENCE / 'keys_stmtrack.txt')
    net = PaperSTMTrack().eval()
    net.load_state_dict(convert_stmtrack({k: torch.from_numpy(v) for k, v in arrays.items()}))
    return net


def largest_error(ours: torch.Tensor, theirs: np.ndarray) -> float:
    """Largest difference relative to the largest value, as the references state tolerances."""
    theirs = theirs.astype(np.float32)
    assert ours.shape == theirs.shape
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


@needs_reference
@torch.inference_mode()
def test_the_published_network_computes_the_authors_numbers(published: PaperSTMTrack) -> None:
    reference = np.load(REFERENCE / 'stmtrack_ref.npz')
    memory, query = (torch.from_numpy(reference[k]).float().flip(1) for k in ('mem', 'query'))
    labels = torch.from_numpy(reference['masks']).float()
    cells = published.memorise(memory, labels)
    f_q = published.query(query)
    flat = cells.permute(1, 0, 2, 3).flatten(1)[None]
    used = torch.ones(1, flat.shape[2], dtype=torch.bool)
    maps = published.answer(flat, used, f_q).maps
    errors = {
        'base_m0': largest_error(published.trunk_m(memory[:1], labels[:1]), reference['base_m0']),
        'base_q': largest_error(published.trunk_q(query), reference['base_q']),
        'fm': largest_error(cells.permute(1, 0, 2, 3)[None], reference['fm']),
        'fq': largest_error(f_q, reference['fq']),
        'y': largest_error(published.join(flat, used, f_q), reference['y']),
        'cls_map': largest_error(maps.classification, reference['cls_map']),
        'ctr_map': largest_error(maps.centreness, reference['ctr_map']),
        'box': largest_error(maps.boxes.flatten(2).mT, reference['box']),
        'score': largest_error(maps.score.flatten(2).mT, reference['score']),
    }
    halves = {'base_m0', 'base_q', 'fm', 'fq', 'y'}
    assert {k: e for k, e in errors.items() if e > (2e-3 if k in halves else 1e-3)} == {}


@needs_reference
def test_the_published_tracker_follows_the_authors_clip(published: PaperSTMTrack) -> None:
    clip = np.load(REFERENCE / 'stmtrack_clip_ref.npz')
    frames, box = clip['frames'], clip['init_box'].astype(float)
    settings = PAPER._replace(confident=0.3)  # as the clip was run
    tracker = PublishedSTMTrack(
        published, settings, Calibration(1.0, 0.0), torch.device('cpu'), 2**30
    )
    tracker.initialise(frames[0], Target(box, None))
    selections = {}
    for step, frame in enumerate(frames[1:]):
        window, crop = tracker._crop(frame, box, 1.0)
        centre_x, centre_y, _, scale = clip['crop_args'][2 * step + 1]
        assert [window.center_x, window.center_y, 1 / window.pitch] == pytest.approx(
            [centre_x, centre_y, scale], rel=1e-3
        )
        if 2 * step + 1 < len(clip['crops']):
            assert np.abs(crop.astype(int) - clip['crops'][2 * step + 1]).max() <= 1
        assert label_corners(box, tracker._crop(frames[step], box, 1.0)[0]) == tuple(
            clip['label_xyxy'][step]
        )
        assert len(tracker.bank.selected()) == clip['mem_count'][step]
        selections[step + 1] = sorted(tracker.bank.selected())
        found = tracker.locate(frame, Prior(box))
        assert found.preferred == pytest.approx(clip['pscore_best'][step], rel=1e-3)
        assert found.box == pytest.approx(clip['rects'][step], abs=1e-3 * clip['rects'].max())
        box = found.box
        tracker.remember(frame, estimate_of(box), found)
    for entry in clip['sel']:
        # The authors list frames from 1 on, and the last one as 0.
        count, frames_read = (int(entry[1 : entry.index(',')]), entry[entry.index('[') + 1 : -2])
        theirs = [int(n) or count for n in frames_read.split(',')]
        if clip['pscore_best'][count - 2] > 0.3:
            assert selections[count] == sorted(theirs)


def estimate_of(box: np.ndarray) -> Estimate:
    return Estimate(State.TRACKING, 1.0, 1.0, None, box, None, True, 1)


def test_soft_read_is_the_weighted_mean_of_the_cells() -> None:
    # Two memory cells of two channels, one query cell; weights by hand:
    # <k1, q> / sqrt(2) = 2 / sqrt 2, <k2, q> / sqrt(2) = 0: e^1.41421 : 1 = 0.80443 : 0.19557.
    keys = torch.tensor([[[1.0, -1.0], [1.0, 1.0]]])
    query = torch.ones(1, 2, 1, 1)
    both = torch.ones(1, 2, dtype=torch.bool)
    read = soft_read(keys, keys, query, both)
    assert read.flatten().tolist() == pytest.approx([0.80443 - 0.19557, 1.0], abs=1e-5)
    second = torch.tensor([[False, True]])
    assert soft_read(keys, keys, query, second).flatten().tolist() == [-1.0, 1.0]


def test_change_penalty_by_hand() -> None:
    before = np.array([10.0, 20.0])
    # Twice as large: sqrt((w + p)(h + p)) doubles, the aspect stays: exp(-0.1 (2 - 1)).
    assert change_penalty(np.array([20.0, 40.0]), before, 0.1) == pytest.approx(np.exp(-0.1))
    # Turned: the same padded size, the aspect 4 times as large: exp(-0.1 (4 - 1)).
    assert change_penalty(np.array([20.0, 10.0]), before, 0.1) == pytest.approx(np.exp(-0.3))
    assert change_penalty(before, before, 0.1) == 1.0


def test_the_authors_label_box_is_clipped_to_the_crop() -> None:
    # 289 pixels, middle 144; 61 x 41 target pixels at pitch 1: 144 -+ 30 and 144 -+ 20.
    window = Window.around([0.0, 0.0], 1.0, 289)
    assert label_corners(np.array([0.0, 0.0, 61.0, 41.0]), window) == (114, 124, 174, 164)
    assert label_corners(np.array([0.0, 0.0, 900.0, 41.0]), window) == (0, 124, 288, 164)


def test_a_pseudo_mask_stays_near_its_box_or_is_the_box() -> None:
    box = np.array([10.0, 10.0, 20.0, 20.0])
    filled = boxes.box_mask(box, 50, 50)
    everything = np.full((50, 50), 255, np.uint8)
    assert np.count_nonzero(pseudo_mask(everything, box, filled)) == 24 * 24
    nothing = np.zeros((50, 50), np.uint8)
    assert np.array_equal(pseudo_mask(nothing, box, filled), filled)


@pytest.fixture(scope='module')
def compact() -> trackers.Tracker:
    return trackers.create('stmtrack', device='cpu')


def test_locating_changes_nothing(compact: trackers.Tracker) -> None:
    scene = drawn_scene(9, width=320, height=240)
    first, second = scene.render(0), scene.render(3)
    compact.initialise(first.image, Target(first.box, None))
    status = compact.bank.status()
    once = compact.locate(second.image, Prior(first.box))
    again = compact.locate(second.image, Prior(first.box))
    assert once.score == again.score
    assert np.array_equal(once.box, again.box)
    assert np.array_equal(once.mask, again.mask)
    assert compact.bank.status() == status


def test_the_compact_tracker_finds_and_segments_a_drawn_target(compact: trackers.Tracker) -> None:
    scene = drawn_scene(9, width=320, height=240)
    first, second = scene.render(0), scene.render(3)
    compact.initialise(first.image, Target(first.box, first.mask))
    found = compact.locate(second.image, Prior(first.box))
    assert boxes.iou(found.box, second.box) > 0.6
    both = np.count_nonzero(found.mask & second.mask)
    assert both / np.count_nonzero(found.mask | second.mask) > 0.6
