"""MemTrack's bank: the paper's equations 11 to 16 by hand, and streams longer than its slots."""

from __future__ import annotations

import pytest
import torch

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.memory import TemplateSlots
from memtrack_ros.nets.memtrack import Signals, TemplateMemory, addresses, allocation, written

HIDDEN = 2
NOTHING, REFRESH, ALLOCATE = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]


def bank(slots: int = 4, max_bytes: int = 10**6) -> TemplateSlots:
    device = torch.device('cpu')
    return TemplateSlots(slots, (1, 1, 1), HIDDEN, max_bytes=max_bytes, device=device)


def template(value: float) -> torch.Tensor:
    """A template of one cell and one channel."""
    return torch.full((1, 1, 1, 1), value)


def signals(
    read: list[float], gates: list[float], decay: float = 0.0, state: float = 0.0
) -> Signals:
    held = torch.full((1, HIDDEN), state)
    return Signals(
        held, -held, torch.tensor([read]), torch.tensor([gates]), torch.tensor([[decay]])
    )


def memory(templates: list[float], usage: list[float]) -> TemplateMemory:
    state = torch.zeros(1, HIDDEN)
    slots = torch.tensor(templates).reshape(1, -1, 1, 1, 1)
    return TemplateMemory(template(7.0), slots, torch.tensor([usage]), state, state)


def started(slots: int = 4) -> TemplateSlots:
    """A bank that holds the first template, 1."""
    memorised = bank(slots)
    memorised.start(memory([0.0] * slots, [0.0] * slots))
    memorised.write(signals([0.0] * slots, ALLOCATE), template(1.0))
    return memorised


def held(memorised: TemplateSlots) -> list[float]:
    return memorised.read().templates.flatten().tolist()


def test_the_least_used_slot_is_allocated_the_first_of_several() -> None:
    usage = torch.tensor([[0.5, 0.1, 0.1], [0.0, 0.0, 0.0], [3.0, 2.0, 1.0]])
    assert allocation(usage).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_a_write_by_hand() -> None:
    before = memory([1.0, 3.0], [1.0, 0.2])
    said = signals([0.75, 0.25], [0.2, 0.5, 0.3], decay=0.4, state=0.6)
    # w^a = (0, 1); w^w = 0.5 (0.75, 0.25) + 0.3 (0, 1)
    # w^u = 0.99 (1, 0.2) + (0.75, 0.25) + w^w
    write, usage = addresses(before.usage, said)
    assert write[0].tolist() == pytest.approx([0.375, 0.425])
    assert usage[0].tolist() == pytest.approx([2.115, 0.873])
    # e^w = 0.4 * 0.5 + 0.3 = 0.5, so that shares of 0.1875 and 0.2125 become the new template.
    after = written(before, said, template(2.0))
    assert after.templates.flatten().tolist() == pytest.approx([1.1875, 2.7875])
    assert torch.equal(after.usage, usage)
    assert after.initial.item() == 7.0
    assert after.hidden.tolist() == [[pytest.approx(0.6)] * 2]
    assert after.cell.tolist() == [[pytest.approx(-0.6)] * 2]


def test_the_three_cases_of_the_paper() -> None:
    before = memory([1.0, 3.0], [1.0, 0.2])
    read = [0.75, 0.25]
    unreliable = written(before, signals(read, NOTHING, decay=0.5), template(2.0))
    assert unreliable.templates.flatten().tolist() == [1.0, 3.0]
    # Little changed: the slots that were read move by w^r d^r towards it.
    alike = written(before, signals(read, REFRESH, decay=0.5), template(2.0))
    assert alike.templates.flatten().tolist() == pytest.approx([1.375, 2.875])
    # Much changed: the slot of least use is overwritten, whatever the decay.
    changed = written(before, signals(read, ALLOCATE, decay=0.5), template(2.0))
    assert changed.templates.flatten().tolist() == [1.0, 2.0]


def test_a_batch_is_written_as_its_parts_are_and_passes_gradients_on() -> None:
    parts = [memory([1.0, 3.0], [1.0, 0.2]), memory([5.0, 2.0], [0.1, 0.9])]
    said = [signals([0.75, 0.25], [0.2, 0.5, 0.3], 0.4), signals([0.5, 0.5], [0.1, 0.1, 0.8], 0.9)]
    new = torch.tensor([2.0, -1.0]).reshape(2, 1, 1, 1).requires_grad_()
    both = written(
        TemplateMemory(*(torch.cat(pair) for pair in zip(*parts, strict=True))),
        Signals(*(torch.cat(pair) for pair in zip(*said, strict=True))),
        new,
    )
    for n in range(2):
        alone = written(parts[n], said[n], new[n, None])
        for whole, part in zip(both, alone, strict=True):
            assert torch.equal(whole[n, None], part)
    both.templates.sum().backward()
    assert new.grad is not None
    # d M / d T^new is the share written in all: sum of w^w e^w.
    assert new.grad[0].item() == pytest.approx((0.375 + 0.425) * 0.5)


def test_the_first_template_takes_the_first_slot() -> None:
    memorised = started()
    assert held(memorised) == [1.0, 0.0, 0.0, 0.0]
    assert memorised.read().usage.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert memorised.read().initial.item() == 7.0
    assert (memorised.entries, memorised.writes) == (1, 1)


def test_a_long_stream_of_new_looks_keeps_the_latest_and_what_is_read() -> None:
    memorised = started()
    before = memorised.status()
    for number in range(2, 1001):
        memorised.write(signals([0.25] * 4, ALLOCATE), template(float(number)))
    assert sorted(held(memorised)) == [997.0, 998.0, 999.0, 1000.0]
    status = memorised.status()
    assert (status.entries, status.capacity, status.writes) == (4, 4, 1000)
    assert status.bytes == before.bytes

    memorised = started()
    for number in range(2, 1001):
        # Only the first is ever read, so it is always of more use than the others.
        memorised.write(signals([1.0, 0.0, 0.0, 0.0], ALLOCATE), template(float(number)))
    assert held(memorised)[0] == 1.0
    assert sorted(held(memorised)[1:]) == [998.0, 999.0, 1000.0]


def test_a_refreshed_slot_is_a_running_mean_and_the_others_stay_empty() -> None:
    memorised = started()
    for _ in range(1000):
        memorised.write(signals([1.0, 0.0, 0.0, 0.0], REFRESH, decay=0.1), template(2.0))
    assert held(memorised) == pytest.approx([2.0, 0.0, 0.0, 0.0])
    assert memorised.entries == 1
    # lambda^t + 2 (1 - lambda^t) / (1 - lambda): read and written by 1 in each of t steps.
    decayed = 0.99**1000
    used = memorised.read().usage[0, 0].item()
    assert used == pytest.approx(decayed + 2 * (1 - decayed) / 0.01, rel=1e-4)


def test_a_frozen_bank_refuses_and_counts_and_the_controller_stays() -> None:
    memorised = started()
    memorised.frozen = True
    memorised.write(signals([1.0, 0.0, 0.0, 0.0], ALLOCATE, state=0.5), template(2.0))
    assert held(memorised) == [1.0, 0.0, 0.0, 0.0]
    assert memorised.read().hidden.tolist() == [[0.0, 0.0]]
    assert memorised.status().refused == 1
    memorised.frozen = False
    memorised.clear()
    assert (memorised.entries, memorised.writes, memorised.refused) == (0, 0, 0)
    with pytest.raises(ValueError, match='empty'):
        memorised.read()


def test_a_bank_becomes_what_another_was() -> None:
    one, other = started(), bank()
    one.write(signals([0.4, 0.3, 0.2, 0.1], [0.2, 0.3, 0.5], 0.5, state=0.5), template(2.0))
    other.restore(one.state())
    for ours, theirs in zip(other.read(), one.read(), strict=True):
        assert torch.equal(ours, theirs)
    assert other.status() == one.status()


def test_a_bank_over_its_limit_is_refused_with_the_figures() -> None:
    # Four slots and the first template of one float each, usage of 4, state of 2 * 2.
    assert bank().bytes == 4 * (4 + 1 + 4 + 4)
    with pytest.raises(ConfigurationError, match=r'52 bytes.*memory\.max_bytes allows 51'):
        bank(max_bytes=51)
