"""CMEDFL's bank: merge, append, discard below capacity; who makes room beyond it."""

from __future__ import annotations

import math

import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.memory import Cells
from memtrack_ros.memory.cells import UPDATE, least_similar

EACH = 4 * (2 + 2) + 1 + 8 + 8  # bytes of a cell of two channels


def bank(capacity: int = 8, max_bytes: int = 10**6) -> Cells:
    return Cells(capacity, 2, max_bytes=max_bytes, device=torch.device('cpu'))


def at(*degrees: float, length: float = 1.0) -> torch.Tensor:
    """Keys (2, n) in these directions."""
    angles = torch.tensor(degrees) * math.pi / 180
    return length * torch.stack([angles.cos(), angles.sin()])


def directions(memory: Cells) -> list[float]:
    """Of the stored keys, in the order of their places, in degrees."""
    keys, _, filled = memory.read()
    x, y = keys[0][:, filled[0]]
    return [round(float(a), 3) for a in torch.atan2(y, x) * 180 / math.pi]


def test_the_first_frame_is_stored_as_it_is() -> None:
    memory = bank()
    memory.write(at(0, 90, length=3.0), torch.tensor([1.0, 0.25]))
    keys, values, filled = memory.read()
    assert keys.shape == (1, 2, 8)
    assert filled[0].tolist() == [True, True] + [False] * 6
    assert keys[0, :, :2].flatten().tolist() == pytest.approx([3, 0, 0, 3], abs=1e-6)
    assert values[0, :, :2].tolist() == [[1.0, 0.25], [0.0, 0.75]]


def test_cells_are_merged_appended_or_discarded_by_their_nearest_similarity() -> None:
    memory = bank()
    memory.write(at(0, 90), torch.tensor([1.0, 0.0]))
    # Cosines with the nearest of 0 and 90 degrees: 10 -> .985 (merged), 40 -> .766, 45 -> .707
    # (both appended, in their order), 200 -> -.342 (to 90; discarded): the mean is .529, times
    # 2 / e .389.
    seen = at(10, 40, 200, 50.0)
    nearest = memory.nearest(seen)
    assert nearest.cell.tolist() == [0, 0, 1, 1]
    cosines = [math.cos(math.radians(a)) for a in (10, 40, 110, 40)]
    assert nearest.similarity.tolist() == pytest.approx(cosines, abs=1e-6)
    floor = sum(cosines) / 4 * 2 / math.e
    assert float(least_similar(nearest.similarity)) == pytest.approx(floor)
    memory.write(seen, torch.tensor([0.9, 0.6, 0.0, 0.7]))
    assert directions(memory)[1:] == [90, 40, 50]
    _, values, _ = memory.read()
    assert values[0, 0, 2:4].tolist() == pytest.approx([0.6, 0.7])
    assert values[0, 1, 2:4].tolist() == pytest.approx([0.4, 0.3])


def test_a_merge_turns_the_key_and_keeps_its_length() -> None:
    memory = bank()
    memory.write(at(0, 90, length=2.0), torch.tensor([0.5, 0.0]))
    # Two cells go to the first, the mean of their directions is (cos 10 + cos 20, sin 10 + sin 20)
    # / 2; none is far enough to be appended.
    memory.write(at(10, 20, length=7.0), torch.tensor([0.25, 0.75]))
    x = (math.cos(math.radians(10)) + math.cos(math.radians(20))) / 2
    y = (math.sin(math.radians(10)) + math.sin(math.radians(20))) / 2
    keys, values, _ = memory.read()
    expected = [2 * ((1 - UPDATE) + UPDATE * x), 2 * UPDATE * y]
    assert keys[0, :, 0].tolist() == pytest.approx(expected, abs=1e-6)
    assert memory.entries == 2
    # A value's direction is its sign: 0.5 stays 0.5, 0 stays 0, whatever is merged into it.
    assert values[0, 0, :2].tolist() == pytest.approx([0.5, 0.0])
    memory.write(at(5, 95), torch.tensor([0.0, 1.0]))
    _, values, _ = memory.read()
    assert values[0, 0, :2].tolist() == pytest.approx([0.5 * (1 - UPDATE), 0.0])
    assert values[0, 1, :2].tolist() == pytest.approx([0.5, 1 - UPDATE])


def test_the_least_used_cells_make_room_and_the_first_frame_stays() -> None:
    memory = bank(capacity=4)
    memory.write(at(0, 90), torch.zeros(2))
    memory.write(at(40, 50), torch.zeros(2))
    assert directions(memory) == [0, 90, 40, 50]
    # 41 is asked for and merged, 50 is not: -35, appended, takes its place.
    memory.write(at(41, -35), torch.zeros(2))
    assert [round(d) for d in directions(memory)] == [0, 90, 40, -35]
    # Uses over writes since: of 40 two in two (arrival and 41), of -35 one in one. Both are asked
    # for again by 39 and -36; then 125 comes: 40 has three in three, -35 two in two, the first
    # place of the two goes.
    memory.write(at(39, -36), torch.zeros(2))
    memory.write(at(125, 0), torch.zeros(2))
    assert [round(d) for d in directions(memory)] == [0, 90, 125, -35]


def test_a_long_stream_neither_grows_nor_forgets_the_first_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    memory = Cells(64, 16, max_bytes=10**6, device=torch.device('cpu'))
    first = torch.randn(16, 20, generator=generator)
    before = memory.status()
    memory.write(first, torch.ones(20))
    for _ in range(300):
        memory.write(torch.randn(16, 20, generator=generator), torch.zeros(20))
    status = memory.status()
    assert status.bytes == before.bytes
    assert status.entries == status.capacity == 64
    assert status.writes == 301
    keys, values, _ = memory.read()
    unit = torch.nn.functional.normalize
    kept = (unit(keys[0, :, :20], dim=0) * unit(first, dim=0)).sum(0)
    assert kept.min() > 0.99  # merged into, perhaps
    assert values[0, 0].tolist() == pytest.approx([1.0] * 20 + [0.0] * 44, abs=0.1)


def test_a_restored_bank_goes_on_as_the_one_it_was_taken_from() -> None:
    generator = torch.Generator().manual_seed(0)
    memory, other = bank(), bank()
    for _ in range(5):
        memory.write(torch.randn(2, 4, generator=generator), torch.rand(4, generator=generator))
    other.restore(memory.state())
    for _ in range(20):
        keys, mask = torch.randn(2, 4, generator=generator), torch.rand(4, generator=generator)
        memory.write(keys, mask)
        other.write(keys, mask)
        assert all(torch.equal(a, b) for a, b in zip(memory.read(), other.read(), strict=True))
    assert memory.status() == other.status()


def test_a_frozen_bank_refuses_and_counts() -> None:
    memory = bank()
    memory.write(at(0, 90), torch.zeros(2))
    memory.frozen = True
    memory.write(at(40, 50), torch.zeros(2))
    assert memory.status().entries == 2
    assert memory.status().refused == 1
    memory.frozen = False
    memory.clear()
    assert memory.status().entries == memory.status().writes == memory.status().refused == 0
    with pytest.raises(ValueError, match='empty'):
        memory.read()


def test_a_bank_must_hold_two_frames() -> None:
    with pytest.raises(ValueError, match='too few'):
        bank(capacity=4).write(at(0, 30, 60), torch.zeros(3))


def test_a_bank_over_its_limit_is_refused_with_the_figures() -> None:
    needed = 8 * EACH
    with pytest.raises(ConfigurationError, match=rf'{needed} bytes.*max_bytes allows {needed - 1}'):
        bank(max_bytes=needed - 1)
    assert bank(max_bytes=needed).status().bytes == needed


def test_a_second_target_has_a_state_of_its_own() -> None:
    """What was written late of the first would else have been written after the newest."""
    memory = bank()
    for degrees in (0, 45, 90, 135):
        memory.write(at(degrees), torch.tensor([1.0]))
    memory.clear()
    memory.write(at(10), torch.tensor([1.0]))
    assert memory.mismatch(memory.state()) == ''
    fresh = bank()
    fresh.restore(memory.state())
    for one in (memory, fresh):
        one.write(at(100), torch.tensor([1.0]))
    assert directions(fresh) == directions(memory)
