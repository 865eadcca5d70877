"""DMV's bank: which frames are stored, and which one goes when it is full."""

from __future__ import annotations

import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.memory import PartRing

CHANNELS, SIDE = 3, 2


def ring(capacity: int = 4, max_bytes: int = 10**6) -> PartRing:
    return PartRing(capacity, CHANNELS, SIDE, max_bytes=max_bytes, device=torch.device('cpu'))


def tell(memory: PartRing, number: int) -> None:
    """Store maps that tell their frame's number."""
    key = torch.full((CHANNELS, SIDE, SIDE), float(number))
    memory.write(key, -key)


def offer(memory: PartRing, number: int, *, sure: bool = True) -> None:
    """What becomes of the frame `number`."""
    if sure and memory.due:
        tell(memory, number)
    else:
        memory.refuse()


def held(memory: PartRing) -> list[int]:
    """The stored frames' numbers, in the order of their slots."""
    keys, values, used = memory.read()
    assert torch.equal(keys, -values)
    return [int(key[0, 0, 0]) for key in keys[used]]


def test_frames_are_stored_thirty_apart() -> None:
    memory = ring()
    tell(memory, 1)
    for number in range(2, 100):
        offer(memory, number)
    assert held(memory) == [1, 31, 61, 91]
    assert (memory.writes, memory.refused) == (4, 95)


def test_a_doubtful_frame_is_not_stored_and_the_next_sure_one_is() -> None:
    memory = ring()
    tell(memory, 1)
    for number in range(2, 64):
        offer(memory, number, sure=number not in (31, 32))
    assert held(memory) == [1, 33, 63]


def test_frames_in_which_nothing_was_remembered_count_as_seen() -> None:
    memory = ring()
    tell(memory, 1)
    for _ in range(2, 31):
        memory.refuse()  # as for a target out of sight
    offer(memory, 31)
    assert held(memory) == [1, 31]


def test_when_full_the_oldest_goes_but_never_the_first() -> None:
    memory = ring(capacity=4)
    for number in range(1, 5):
        tell(memory, number)
    assert held(memory) == [1, 2, 3, 4]
    tell(memory, 5)
    assert held(memory) == [1, 5, 3, 4]
    for number in (6, 7, 8):
        tell(memory, number)
    assert held(memory) == [1, 8, 6, 7]


def test_a_long_stream_neither_grows_nor_forgets_the_first_frame() -> None:
    memory = ring(capacity=8)
    before = memory.status()
    tell(memory, 1)
    for number in range(2, 3001):
        offer(memory, number)
    status = memory.status()
    assert status.bytes == before.bytes == 8 * 2 * CHANNELS * SIDE**2 * 4
    assert status.entries == status.capacity == 8
    # Frames 1, 31, ..., 2971; the first, and the last seven.
    assert sorted(held(memory)) == [1, *range(2791, 2972, 30)]


def test_a_read_has_one_shape_and_marks_what_is_in_use() -> None:
    memory = ring()
    for number in (1, 2):
        tell(memory, number)
        keys, values, used = memory.read()
        assert keys.shape == values.shape == (1, 4, CHANNELS, SIDE, SIDE)
        assert used.tolist() == [[True] * number + [False] * (4 - number)]


def test_a_frozen_ring_refuses_and_counts() -> None:
    memory = ring()
    tell(memory, 1)
    memory.frozen = True
    for number in range(2, 40):
        assert not memory.due
        offer(memory, number)
    tell(memory, 40)
    assert (memory.entries, memory.refused) == (1, 39)
    memory.frozen = False
    memory.clear()
    assert memory.entries == memory.writes == memory.refused == 0
    with pytest.raises(ValueError, match='empty'):
        memory.read()


def test_a_restored_ring_goes_on_where_the_other_was() -> None:
    memory, other = ring(), ring()
    tell(memory, 1)
    for number in range(2, 50):
        offer(memory, number)
    other.restore(memory.state())
    for number in range(50, 200):
        offer(memory, number)
        offer(other, number)
    assert held(other) == held(memory)
    assert other.status() == memory.status()


def test_a_ring_over_its_limit_is_refused_with_the_figures() -> None:
    with pytest.raises(ConfigurationError, match=r'384 bytes.*memory\.max_bytes allows 383'):
        ring(max_bytes=383)
