"""What a memory holds is seen: what of it was read, its thumbnails, the sheet of these."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from builtin_interfaces.msg import Time
from numpy.typing import NDArray

from memtrack_ros import memory_sheet, trackers
from memtrack_ros.geometry.windows import Pixels
from memtrack_ros.memory import Bank, Cells, PartRing, SampledFrames, TemplateSlots
from memtrack_ros.nets.memtrack import Signals, TemplateMemory
from memtrack_ros.nodes.roster import Roster
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Group, Prompt, Session
from memtrack_ros.session.thumbnails import MOST, SIDE, Thumbnails
from memtrack_ros.trackers import Prior, Target, Tracker
from memtrack_ros.trackers.dmv import PaperDMVTracker
from memtrack_ros.trackers.memtrack import MemTrackObservation, PaperMemTracker
from memtrack_ros.trackers.paper_filter_tracker import PaperFilterTracker
from memtrack_ros.trackers.stmtrack import PaperSTMTracker
from memtrack_ros.weights.files import shipped_file

SHIPPED = [name for name in trackers.NAMES if shipped_file(name, 'compact').is_file()]
CPU = torch.device('cpu')
BOX = np.array([10.0, 10.0, 20.0, 20.0])


def box_of(mask: Pixels) -> NDArray[np.float64]:
    return np.array(cv2.boundingRect(mask), float)


# What was read


@pytest.mark.parametrize('name', SHIPPED)
def test_most_of_a_read_is_of_the_frame_that_equals_the_query(name: str) -> None:
    scene = drawn_scene(2, 640, 480, 41)
    first, other = scene.render(0), scene.render(40)
    tracker = trackers.create(name, device='cpu')
    tracker.initialise(first.image, Target(box_of(first.mask), first.mask))
    for _ in range(30):  # frames, after which DMV stores one again
        tracker.bank.refuse()
    prior = Prior(box_of(other.mask))
    found = tracker.find(other.image, prior)
    alone = tracker.reads(found)
    assert sum(alone.values()) == pytest.approx(1)
    tracker.remember(other.image, replace(found, box=prior.box, mask=other.mask))
    assert tracker.bank.writes == 2

    again = tracker.find(other.image, prior)
    reads = tracker.reads(again)
    assert sum(reads.values()) == pytest.approx(1, abs=0.05 if name == 'dmv' else 1e-5)
    if isinstance(again, MemTrackObservation):  # it has slots, and may read any
        assert list(reads) == list(range(1, 9))
        assert list(reads.values()) == pytest.approx(again.signals.read[0].tolist())
        return
    assert alone.keys() == {1}
    assert list(reads) == [1, 2] == tracker.bank.held().tolist()
    assert reads[2] > 0.75
    back = tracker.reads(tracker.find(first.image, Prior(box_of(first.mask))))
    assert back[1] > 0.75


def test_paper_variants_say_nothing() -> None:
    for kind in (PaperSTMTracker, PaperMemTracker, PaperDMVTracker, PaperFilterTracker):
        assert kind.reads is Tracker.reads


def test_a_cell_is_of_the_frame_that_it_came_with() -> None:
    bank = Cells(8, 2, max_bytes=2**20, device=CPU)
    bank.write(torch.tensor([[1.0, 1.0], [0.0, 0.1]]), torch.ones(2))
    # One is merged, one is new.
    bank.write(torch.tensor([[1.0, 0.8], [0.05, 0.9]]), torch.ones(2))
    assert bank.numbers[:3].tolist() == [1, 1, 2]
    assert bank.held().tolist() == [1, 2]


# Thumbnails


def written(bank: Bank, write: object, count: int) -> Thumbnails:
    """Those of a bank that was written so often, the k-th time a frame of the grey value k."""
    thumbnails = Thumbnails()
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    for number in range(1, count + 1):
        write()  # type: ignore[operator]
        frame = np.full((40, 40, 3), number, np.uint8)
        thumbnails = thumbnails.after(bank, frame, BOX, mask)
    return thumbnails


def test_there_are_those_of_the_frames_that_a_full_bank_holds() -> None:
    ring = PartRing(3, 1, 1, max_bytes=2**20, device=CPU)
    maps = torch.zeros(1, 1, 1)
    tiles = written(ring, lambda: ring.write(maps, maps), 6).tiles
    assert ring.held().tolist() == [1, 6, 5]
    assert {number: tile[48, 48].tolist() for number, tile in tiles.items()} == {
        number: [number] * 3 + [255] for number in (1, 5, 6)
    }
    sampled = SampledFrames(4, 1, 1, confident=1.0, max_bytes=2**20, device=CPU)
    tiles = written(sampled, lambda: sampled.write(maps, 0.0), 10).tiles
    assert list(tiles) == sampled.held().tolist() == [1, 5, 9, 10]


def test_they_are_bounded() -> None:
    bank = SampledFrames(200, 1, 1, confident=1.0, max_bytes=2**20, device=CPU)
    tiles = written(bank, lambda: bank.write(torch.zeros(1, 1, 1), 0.0), 150).tiles
    assert bank.entries == 150
    assert list(tiles) == [1, *range(152 - MOST, 151)]
    assert all(tile.shape == (SIDE, SIDE, 4) and tile.dtype == np.uint8 for tile in tiles.values())


def test_a_slot_is_a_blend_of_what_was_written_into_it() -> None:
    bank = TemplateSlots(2, (1, 1, 1), 1, max_bytes=2**20, device=CPU)
    ones = torch.ones(1, 1)
    bank.start(
        TemplateMemory(
            ones[..., None, None], torch.zeros(1, 2, 1, 1, 1), ones.expand(1, 2), *[ones] * 2
        )
    )
    halves = torch.full((1, 2), 0.5)
    gates = iter([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])  # to a fresh slot, then where it was read

    def write() -> None:
        bank.write(
            Signals(ones, ones, halves, torch.tensor([next(gates)]), ones), ones[..., None, None]
        )

    tiles = written(bank, write, 2).tiles
    assert tiles[1][48, 48].tolist() == [1.5, 1.5, 1.5, 255]
    assert tiles[2][48, 48].tolist() == [1, 1, 1, 127.5]
    assert bank.renewed(bank.held()).tolist() == [0.5, 0.5]


def test_they_come_with_writes_and_go_with_the_target() -> None:
    scene = drawn_scene(2, 320, 240, 4)
    session = Session(trackers.create('stmtrack', device='cpu'))
    first = scene.render(0)
    session.prompt(first.image, Prompt('mask', first.mask), 0.0)
    session.step(scene.render(1).image, 0.1)
    assert session.reads() == {1: pytest.approx(1)}
    session.remember()
    assert session.reads() == {}
    assert list(session.thumbnails.tiles) == [1, 2]
    snapshot = session.snapshot()
    session.pause()
    session.step(scene.render(2).image, 0.2)
    session.remember()
    assert list(session.thumbnails.tiles) == [1, 2]
    session.resume()
    session.restore(snapshot)
    assert session.thumbnails.tiles == {}
    session.step(scene.render(3).image, 0.3)
    assert session.reads().keys() == {1, 2}
    session.remember()
    assert list(session.thumbnails.tiles) == [3]
    session.reset()
    assert session.thumbnails.tiles == {}


def test_a_correction_that_is_taken_back_takes_its_own_with_it() -> None:
    scene = drawn_scene(2, 320, 240, 1)
    first = scene.render(0)
    roster = Roster(Group(trackers.create('stmtrack', device='cpu')), lambda: 1, lambda: None)
    prompt = Prompt('mask', first.mask)
    roster.prompt(roster.group, first.image, prompt, Time(sec=1), add=False)
    roster.refine(first.image, prompt, Time(sec=2))
    assert list(roster.session.thumbnails.tiles) == [1, 2]
    roster.undo()
    assert list(roster.session.thumbnails.tiles) == [1]


# The sheet


def test_a_sheet_shows_what_was_read_most() -> None:
    tile = np.full((SIDE, SIDE, 4), 90, np.uint8)  # no mask, no outline
    sheet = memory_sheet.draw(Thumbnails({2: tile, 3: tile}), {1: 0.25, 2: 0.75})
    assert sheet.shape == (SIDE + 34, 3 * SIDE + 24, 3)
    row = 6 + SIDE // 2
    shown = [sheet[row, 6 + SIDE // 2 + place * (SIDE + 6)].tolist() for place in range(3)]
    assert shown[1:] == [[90] * 3, [30] * 3]  # as it is; dimmed, as it was not read
    assert len(set(shown[0])) > 1  # nobody saw it being written
    bars = (sheet[SIDE + 26] == (80, 220, 60)).all(1)
    assert [bars[6 + place * (SIDE + 6) :][:SIDE].sum() for place in range(3)] == [24, 72, 0]

    many = {number: number / 5050 for number in range(1, 101)}
    assert memory_sheet.draw(Thumbnails(), many).shape == (4 * (SIDE + 28) + 6, 3 * SIDE + 24, 3)
    held = Thumbnails(dict.fromkeys(range(1, 101), tile))
    assert memory_sheet.draw(held, {1: 1.0}).shape == (4 * (SIDE + 28) + 6, 3 * SIDE + 24, 3)
