"""SAMN's appearance memory: which frames are stored, below capacity and when full."""

from __future__ import annotations

import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.memory import AppearanceMemory
from memtrack_ros.memory.appearance import EVERY

EACH = (2 + 3) * 4 * 4  # bytes of a frame of four cells, keys of two channels, values of three


def bank(capacity: int = 6, max_bytes: int = 10**6, every: int = EVERY) -> AppearanceMemory:
    return AppearanceMemory(
        capacity, 2, 3, 4, max_bytes=max_bytes, device=torch.device('cpu'), every=every
    )


def write(memory: AppearanceMemory, number: float) -> None:
    """A frame that tells its own number."""
    memory.write(torch.full((2, 2, 2), number), torch.full((3, 2, 2), -number))


def numbers(memory: AppearanceMemory) -> list[int]:
    """Of the frames that a read finds, in the order of their time."""
    keys, values, valid = memory.read()
    assert keys.shape == (1, 2, memory.capacity * 4)
    assert values.shape == (1, 3, memory.capacity * 4)
    found = keys[0, 0, valid[0]]
    assert torch.equal(values[0, 2, valid[0]], -found)
    assert len(found) == 4 * memory.entries
    return sorted({int(number) for number in found})


# The first, every fifth, and the newest.
STORED = {
    1: [1],
    2: [1, 2],
    3: [1, 3],
    5: [1, 5],
    6: [1, 5, 6],
    10: [1, 5, 10],
    11: [1, 5, 10, 11],
    14: [1, 5, 10, 14],
}


def test_the_first_the_newest_and_every_fifth_are_stored() -> None:
    memory = bank()
    for number in range(1, 15):
        write(memory, number)
        if number in STORED:
            assert numbers(memory) == list(memory.stored()) == STORED[number]


def test_as_the_authors_run_it_the_first_frame_goes_with_the_third() -> None:
    memory = AppearanceMemory(
        3, 2, 3, 4, max_bytes=10**6, device=torch.device('cpu'), keeps_first=False
    )
    stored = {1: [1], 2: [2], 5: [5], 6: [5, 6], 9: [5, 9], 11: [5, 10, 11], 16: [10, 15, 16]}
    for number in range(1, 17):
        write(memory, number)
        if number in stored:
            assert numbers(memory) == stored[number]
    again = AppearanceMemory(
        3, 2, 3, 4, max_bytes=10**6, device=torch.device('cpu'), keeps_first=False
    )
    again.restore(memory.state())
    assert numbers(again) == stored[16]


def test_another_sampling_interval_keeps_other_frames() -> None:
    memory = bank(every=1)
    for number in range(1, 5):
        write(memory, number)
    assert numbers(memory) == [1, 2, 3, 4]


def test_when_full_the_oldest_but_the_first_makes_room() -> None:
    memory = bank(capacity=4)
    for number in range(1, 11):
        write(memory, number)
    assert numbers(memory) == [1, 5, 10]
    write(memory, 11)
    assert numbers(memory) == [1, 5, 10, 11]
    for number in range(12, 16):
        write(memory, number)
    assert numbers(memory) == [1, 5, 10, 15]
    write(memory, 16)
    assert numbers(memory) == [1, 10, 15, 16]


def test_a_long_stream_neither_grows_nor_forgets_the_first_frame() -> None:
    memory = bank(capacity=8)
    before = memory.status()
    for number in range(1, 1003):
        write(memory, number)
    status = memory.status()
    assert status.bytes == before.bytes == 8 * EACH
    assert (status.entries, status.writes) == (8, 1002)
    assert numbers(memory) == [1, 975, 980, 985, 990, 995, 1000, 1002]


def test_a_frozen_bank_refuses_and_a_cleared_one_is_empty() -> None:
    memory = bank()
    write(memory, 1)
    memory.frozen = True
    write(memory, 2)
    assert numbers(memory) == [1]
    assert memory.status().refused == 1
    memory.frozen = False
    memory.clear()
    assert memory.status().entries == memory.status().writes == memory.status().refused == 0
    with pytest.raises(ValueError, match='empty'):
        memory.read()
    write(memory, 1)
    assert numbers(memory) == [1]


def test_a_restored_bank_goes_on_alike() -> None:
    memory, other = bank(capacity=3), bank(capacity=3)
    for number in range(1, 12):
        write(memory, number)
    other.restore(memory.state())
    for number in range(12, 17):
        write(memory, number)
        write(other, number)
        assert numbers(other) == numbers(memory)


def test_a_bank_over_its_limit_is_refused_with_the_figures() -> None:
    with pytest.raises(ConfigurationError, match=rf'{6 * EACH} bytes.*allows {6 * EACH - 1}'):
        bank(max_bytes=6 * EACH - 1)
