"""The correlation filter's sample bank, and two banks as one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.memory import FilterSamples, JoinedBanks

EACH = (2 + 1) * 3 * 3 * 4  # bytes of a sample of two channels and 3 x 3 cells with its label


def bank(capacity: int = 5, rate: float = 0.1, max_bytes: int = 10**6) -> FilterSamples:
    return FilterSamples(
        capacity, 2, 3, learning_rate=rate, max_bytes=max_bytes, device=torch.device('cpu')
    )


def sample(number: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A feature and a label that tell their own number."""
    return torch.full((2, 3, 3), number), torch.full((3, 3), number)


def begun(memory: FilterSamples, count: int) -> FilterSamples:
    features, labels = zip(*(sample(-number) for number in range(1, count + 1)), strict=True)
    memory.begin(torch.stack(features), torch.stack(labels))
    return memory


def stored(memory: FilterSamples) -> list[float]:
    assert torch.equal(memory.features[:, 0, 0, 0], memory.labels[:, 0, 0])
    return [float(value) for value in memory.labels[:, 0, 0]]


def test_the_first_frames_samples_weigh_the_same() -> None:
    memory = begun(bank(), 2)
    assert memory.weights.tolist() == [0.5, 0.5, 0, 0, 0]
    assert stored(memory) == [-1, -2, 0, 0, 0]
    assert memory.entries == 2


def test_weights_by_hand() -> None:
    memory = begun(bank(rate=0.1), 2)
    # The first: the others / .9, itself .1, all / their sum.
    memory.write(*sample(1))
    total = 1 / 0.9 + 0.1
    first = np.array([0.5 / 0.9, 0.5 / 0.9, 0.1, 0, 0]) / total
    assert memory.weights.tolist() == pytest.approx(first.tolist(), rel=1e-5)
    # The next: the one before it / .9, all / their sum.
    memory.write(*sample(2))
    second = first + np.array([0, 0, 0, first[2] / 0.9, 0])
    assert memory.weights.tolist() == pytest.approx((second / second.sum()).tolist(), rel=1e-5)
    # At a rate of its own.
    memory.write(*sample(3), 0.5)
    third = memory.weights[4] / memory.weights[3]
    assert float(third) == pytest.approx(2.0, rel=1e-5)
    assert (memory.newest, memory.entries, memory.writes) == (4, 5, 5)


def test_when_full_the_lowest_weight_makes_room() -> None:
    memory = begun(bank(capacity=4, rate=0.5), 2)
    for number in (1, 2):
        memory.write(*sample(number))
    # Weights go 1/3 1/3 1/3 (halves doubled beside a half, hence 2 : 2 : 1) ...
    weights = memory.weights
    assert weights.tolist() == pytest.approx((torch.tensor([2, 2, 1, 2]) / 7).tolist(), rel=1e-5)
    memory.write(*sample(3))  # in place of the third, the lightest; twice the newest
    assert stored(memory) == [-1, -2, 3, 2]
    assert memory.weights.tolist() == pytest.approx(
        (torch.tensor([2, 2, 4, 2]) / 10).tolist(), rel=1e-5
    )
    memory.write(*sample(4))  # of equals the first in order
    assert stored(memory) == [4, -2, 3, 2]


def test_a_long_stream_neither_grows_nor_loses_its_measure() -> None:
    memory = begun(bank(capacity=20, rate=0.05), 7)
    before = memory.status()
    for number in range(1, 1001):
        memory.write(*sample(number))
    status = memory.status()
    assert status.bytes == before.bytes == 20 * EACH
    assert status.entries == status.capacity == 20
    assert float(memory.weights.sum()) == pytest.approx(1.0, abs=1e-5)
    # By then the 20 newest, each lighter than the next by the learning rate.
    assert sorted(stored(memory)) == list(range(981, 1001))
    order = np.argsort(stored(memory))
    weights = memory.weights.numpy()[order]
    assert weights[1:] / weights[:-1] == pytest.approx(np.full(19, 1 / 0.95), rel=1e-3)


def test_a_frozen_bank_refuses_and_a_cleared_one_is_empty() -> None:
    memory = begun(bank(), 2)
    memory.frozen = True
    memory.write(*sample(1))
    assert (memory.entries, memory.refused) == (2, 1)
    memory.frozen = False
    memory.clear()
    assert memory.status().entries == memory.status().writes == memory.status().refused == 0
    assert memory.weights.tolist() == [0] * 5
    assert stored(memory) == [0] * 5


def test_a_restored_bank_goes_on_alike() -> None:
    memory = begun(bank(), 2)
    memory.write(*sample(1))
    other = bank()
    other.restore(memory.state())
    for either in (memory, other):
        either.write(*sample(2))
    assert other.weights.tolist() == memory.weights.tolist()
    assert stored(other) == stored(memory)
    assert other.status() == memory.status()


def test_a_bank_over_its_limit_is_refused_with_the_figures() -> None:
    with pytest.raises(ConfigurationError, match=rf'{5 * EACH} bytes.*allows {5 * EACH - 1}'):
        bank(max_bytes=5 * EACH - 1)


def test_joined_banks_count_as_the_main_one_and_weigh_as_both() -> None:
    main, beside = bank(), begun(bank(capacity=9), 4)
    joined = JoinedBanks(main, beside, 14 * EACH)
    main.write(*sample(1))
    joined.refuse()
    status = joined.status()
    assert (status.entries, status.capacity, status.writes, status.refused) == (1, 5, 1, 1)
    assert status.bytes == 14 * EACH
    joined.frozen = True
    assert main.frozen and beside.frozen
    joined.clear()
    assert (main.entries, beside.entries) == (0, 0)
    assert set(joined.state()) == {f'main.{name}' for name in main.state()} | {
        f'beside.{name}' for name in beside.state()
    }
    with pytest.raises(ConfigurationError, match=rf'needs {14 * EACH} bytes'):
        JoinedBanks(main, beside, 14 * EACH - 1)
