"""STMTrack's bank: which frames are read, and what happens on streams longer than its capacity."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.memory import SampledFrames
from memtrack_ros.memory.sampled_frames import SEGMENTS, representative_frames

CHANNELS, CELLS = 3, 4


def bank(capacity: int = 8, max_bytes: int = 10**6) -> SampledFrames:
    return SampledFrames(
        capacity, CHANNELS, CELLS, confident=0.6, max_bytes=max_bytes, device=torch.device('cpu')
    )


def frame(number: int) -> torch.Tensor:
    """A feature that tells its own number."""
    return torch.full((CHANNELS, 2, 2), float(number))


# Worked by hand from the authors' rule: segments of count // 4 frames, their middles, the first.
@pytest.mark.parametrize(
    ('count', 'frames'),
    [
        (1, [1]),
        (4, [1, 2, 3, 4]),
        (5, [1, 2, 3, 4]),
        (8, [1, 2, 4, 6, 8]),
        (9, [1, 2, 4, 6, 8]),
        (40, [1, 6, 16, 26, 36]),
    ],
)
def test_representative_frames(count: int, frames: list[int]) -> None:
    assert representative_frames(count) == frames


def test_a_read_has_one_shape_and_marks_what_is_in_use() -> None:
    memory = bank()
    for number in (1, 2):
        memory.write(frame(number), 1.0)
        cells, used = memory.read()
        assert cells.shape == (1, CHANNELS, (SEGMENTS + 2) * CELLS)
        assert used.sum() == number * CELLS
    assert cells[0, 0, used[0]].tolist() == [1.0] * CELLS + [2.0] * CELLS


def test_the_last_frame_is_read_only_when_it_was_confident() -> None:
    memory = bank(capacity=32)
    for number in range(1, 9):
        memory.write(frame(number), 1.0)
    assert memory.selected().tolist() == [1, 2, 4, 6, 8, 8]
    memory.write(frame(9), 1.0)
    assert memory.selected().tolist() == [1, 2, 4, 6, 8, 9]
    memory.write(frame(10), 0.5)
    assert memory.selected().tolist() == [1, 2, 4, 6, 8]


def test_a_full_bank_thins_out_every_second_frame_and_keeps_the_first_and_the_newest() -> None:
    memory = bank(capacity=8)
    for number in range(1, 10):
        memory.write(frame(number), 1.0)
    # Eight were held; 1, 3, 5, 7 stayed; 9 came.
    assert memory.entries == 5
    # Of the wanted 1, 2, 4, 6, 8 the missing are stood in for by the nearest before; 9 is last.
    assert memory.selected().tolist() == [1, 3, 5, 7, 9]
    memory.write(frame(10), 1.0)
    assert memory.selected().tolist() == [1, 3, 5, 7, 10]  # wanted: 1, 2, 4, 6, 8 and the last
    memory.write(frame(11), 1.0)
    assert memory.entries == 6  # 10 was kept only while it was the newest


def test_a_long_stream_neither_grows_nor_forgets_the_first_frame() -> None:
    memory = bank(capacity=16)
    before = memory.status()
    for number in range(1, 1001):
        memory.write(frame(number), 1.0)
    status = memory.status()
    assert status.bytes == before.bytes == 16 * CHANNELS * CELLS * 4
    assert status.entries <= status.capacity == 16
    assert status.writes == 1000
    selected = memory.selected()
    assert selected[0] == 1
    assert selected[-1] == 1000
    # The representatives stay spread over the whole stream: segments of 250, middles 126, 376, ...
    assert np.abs(selected[1:5] - np.array([126, 376, 626, 876])).max() <= 1000 / 16


def test_a_restored_bank_goes_on_alike() -> None:
    memory, other = bank(capacity=8), bank(capacity=8)
    for number in range(1, 13):  # by then every second one stays
        memory.write(frame(number), 1.0)
    other.restore(memory.state())
    for number in range(13, 60):
        assert other.selected().tolist() == memory.selected().tolist()
        assert all(map(torch.equal, other.read(), memory.read()))
        assert other.status() == memory.status()
        for either in (memory, other):
            either.write(frame(number), number / 60)


def test_a_frozen_bank_refuses_and_counts() -> None:
    memory = bank()
    memory.write(frame(1), 1.0)
    memory.frozen = True
    memory.write(frame(2), 1.0)
    assert memory.status().entries == 1
    assert memory.status().refused == 1
    memory.frozen = False
    memory.clear()
    assert memory.status().entries == memory.status().writes == memory.status().refused == 0
    with pytest.raises(ValueError, match='empty'):
        memory.read()


def test_a_bank_over_its_limit_is_refused_with_the_figures() -> None:
    with pytest.raises(ConfigurationError, match=r'384 bytes.*memory\.max_bytes allows 383'):
        bank(max_bytes=383)
