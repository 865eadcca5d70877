"""Several targets followed as one group: disjoint masks, one network, a memory each."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from memtrack_ros import trackers
from memtrack_ros.errors import ConfigurationError, ImageError, PromptError
from memtrack_ros.masks.disjoint import disjoint
from memtrack_ros.scenes import drawn_scene
from memtrack_ros.session import Group, Prompt, Session, Snapshot, State
from memtrack_ros.session.group import labels

SIZE = (320, 240)
SEED = 11
APART = np.array([[0.0, 0, 4, 4], [4, 0, 4, 4]])


@pytest.fixture(scope='module')
def frames() -> list[NDArray[np.uint8]]:
    scene = drawn_scene(SEED, *SIZE)
    return [scene.render(number).image for number in range(6)]


@pytest.fixture(scope='module')
def box() -> NDArray[np.float64]:
    return drawn_scene(SEED, *SIZE).render(0).box


def group_of(tracker: str, most: int) -> Group:
    return Group(trackers.create(tracker, device='cpu'), most=most)


def test_soft_aggregation_is_that_of_the_paper() -> None:
    # p = .6 and .8: odds 1.5 and 4; background .4 * .2 = .08: odds .087
    shares = np.array([[[153, 153, 0, 115]], [[204, 0, 0, 115]]], np.uint8)
    found = disjoint(shares, APART)
    assert found.labels.tolist() == [[2, 1, 0, 1]]
    odds = np.array([0.08 / 0.92, 1.5, 4])
    assert found.shares[:, 0, 0] == pytest.approx(255 * odds[1:] / odds.sum(), abs=1)
    assert found.shares[:, 0, 1].tolist() == [153, 0]  # one alone keeps what it has
    # In the last pixel neither is above a half (.451), but the background has less (.301); the
    # middle of the first target is nearer.


def test_which_target_has_a_pixel_is_not_a_matter_of_order() -> None:
    generator = np.random.default_rng(0)
    shares = generator.integers(0, 256, (3, 20, 30), np.uint8)
    shares[:, 5:15] = 255  # all are as sure
    rois = np.array([[0.0, 0, 10, 20], [8, 0, 10, 20], [20, 0, 10, 20]])
    found = disjoint(shares, rois).labels
    assert set(np.unique(found)) == {0, 1, 2, 3}
    for order in permutations(range(3)):
        other = disjoint(shares[list(order)], rois[list(order)]).labels
        renamed = np.array([0, *(1 + k for k in order)], np.uint8)[other]
        assert np.array_equal(renamed, found)


@pytest.mark.parametrize('name', trackers.NAMES)
def test_one_target_in_a_group_is_one_in_a_session(
    name: str, frames: list[NDArray[np.uint8]], box: NDArray[np.float64]
) -> None:
    group, alone = group_of(name, 2), Session(trackers.create(name, device='cpu'))
    alone.prompt(frames[0], Prompt('box', box))
    group.prompt(5, frames[0], Prompt('box', box))
    group.prompt(6, frames[0], Prompt('box', box))
    group.remove(6)
    for frame in frames[1:4]:
        expected, found = alone.step(frame), group.step(frame)[5]
        alone.remember()
        group.remember()
        assert np.array_equal(expected.roi, found.roi)
        assert np.array_equal(expected.mask, found.mask)


@pytest.mark.parametrize('name', trackers.NAMES)
def test_targets_are_seen_in_one_pass_and_followed_as_if_alone(
    name: str, frames: list[NDArray[np.uint8]], box: NDArray[np.float64]
) -> None:
    elsewhere = np.array([20.0, 20, 40, 40])
    elsewhere[:2] += np.where(box[:2] < 120, [220, 140], 0)
    group, passes = group_of(name, 2), []
    alone = {number: Session(trackers.create(name, device='cpu')) for number in (1, 2)}
    for number, given in ((1, box), (2, elsewhere)):
        group.prompt(number, frames[0], Prompt('box', given))
        alone[number].prompt(frames[0], Prompt('box', given))
    trunk = group.tracker.trunk
    assert trunk is not None
    trunk.body.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    for frame in frames[1:4]:
        passes.clear()
        found = group.step(frame)
        assert passes[0] == 2
        assert passes.count(2) == 1
        group.remember()
        for number, session in alone.items():
            expected = session.step(frame)
            session.remember()
            np.testing.assert_allclose(found[number].roi, expected.roi, atol=0.01)
            assert found[number].state is expected.state


@pytest.mark.parametrize('name', trackers.NAMES)
def test_masks_of_targets_that_overlap_are_disjoint(
    name: str, frames: list[NDArray[np.uint8]], box: NDArray[np.float64]
) -> None:
    group = group_of(name, 2)
    beside = box + np.array([0.5, 0, 0, 0]) * box[2]
    group.prompt(1, frames[0], Prompt('box', box))
    group.prompt(2, frames[0], Prompt('box', beside))
    for frame in frames[1:4]:
        found = group.step(frame)
        group.remember()
        masks = [estimate.mask > 0 for estimate in found.values() if estimate.mask is not None]
        assert masks
        assert np.sum(masks, 0).max() == 1
        image = labels(found, *frame.shape[:2])
        for number, estimate in found.items():
            if estimate.mask is not None:
                assert np.array_equal(image == number, estimate.mask > 0)


def test_the_network_is_there_once_and_memories_are_apart(
    frames: list[NDArray[np.uint8]], box: NDArray[np.float64]
) -> None:
    tracker = trackers.create('cmedfl', device='cpu')
    twin = tracker.twin()
    assert twin.appearance.net is tracker.appearance.net  # type: ignore[attr-defined]
    one, other = (
        {tensor.data_ptr() for tensor in vars(each.appearance.bank).values()  # type: ignore[attr-defined]
         if isinstance(tensor, torch.Tensor)}
        for each in (tracker, twin)
    )  # fmt: skip
    assert one
    assert not one & other


def test_what_a_group_may_hold_is_bounded(
    frames: list[NDArray[np.uint8]], box: NDArray[np.float64]
) -> None:
    tracker = trackers.create('memtrack', device='cpu')
    bytes_of_two = 2 * tracker.bank.bytes
    with pytest.raises(ConfigurationError, match=f'2 targets need {bytes_of_two} bytes'):
        Group(tracker, most=2, max_bytes=bytes_of_two - 1)
    group = Group(tracker, most=2, max_bytes=bytes_of_two)
    assert group.memory.bytes == bytes_of_two
    for number in (3, 9):
        group.prompt(number, frames[0], Prompt('box', box))
    with pytest.raises(PromptError, match='2 targets are followed'):
        group.prompt(10, frames[0], Prompt('box', box))
    assert list(group) == [3, 9]
    group.prompt(3, frames[0], Prompt('box', box))  # in place of what was 3
    with pytest.raises(PromptError, match='x 3 pixels'):
        group.prompt(9, frames[0], Prompt('box', np.array([0.0, 0, 1, 1])))
    assert group[9].state is State.TRACKING
    group.remove(3)
    with pytest.raises(PromptError, match='x 3 pixels'):
        group.prompt(4, frames[0], Prompt('box', np.array([0.0, 0, 1, 1])))
    assert list(group) == [9]
    group.reset()
    assert not group
    assert group.step(frames[1]) == {}
    with pytest.raises(ImageError):
        group.step(frames[1][..., 0])


def test_a_target_comes_back_from_its_snapshot(
    frames: list[NDArray[np.uint8]], box: NDArray[np.float64]
) -> None:
    group = group_of('dmv', 2)
    group.prompt(1, frames[0], Prompt('box', box))
    saved = Snapshot.of(group[1])
    expected = group.step(frames[1])[1]
    group.restore(2, saved)
    assert list(group) == [1, 2]
    group.remove(1)
    assert np.array_equal(group.step(frames[1])[2].roi, expected.roi)
    group.pause()
    before = group.memory.writes
    group.step(frames[2])
    group.remember()
    assert group.memory.writes == before
    assert group.memory.frozen
