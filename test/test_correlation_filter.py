"""The correlation filter: its parts by hand, and that it learns where a target is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from memtrack_ros.geometry.boxes import Floats
from memtrack_ros.memory import FilterSamples
from memtrack_ros.nets.correlation_filter import (
    BEND,
    Regularisation,
    activation,
    conjugate_gradients,
    fit_filter,
    fit_jointly,
    gaussian_labels,
    loss,
    normalised_power,
    principal_components,
    project,
    respond,
    slope,
    upsampled,
    windowed,
)
from memtrack_ros.trackers.target_filter import (
    COMPACT_FILTER,
    HARD_RATE,
    PAPER_FILTER,
    Peak,
    TargetFilter,
    augmented,
    find_peak,
)

CPU = torch.device('cpu')
REG = Regularisation()


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize('kernel', [3, 4])
def test_the_response_is_a_same_convolution(kernel: int) -> None:
    z, filt = torch.randn(2, 3, 8, 7), torch.randn(3, kernel, kernel)
    whole = F.conv2d(z, filt[None], padding=kernel // 2)[:, 0, :8, :7]
    assert torch.allclose(respond(z, filt), whole, atol=1e-5)


def test_a_response_below_zero_is_bent() -> None:
    s = torch.tensor([2.0, 0.0, -BEND, -100.0], requires_grad=True)
    bent = activation(s)
    assert bent.tolist() == pytest.approx([2, 0, BEND * (math.exp(-1) - 1), -BEND])
    bent.sum().backward()
    assert s.grad is not None
    assert slope(s.detach()).tolist() == pytest.approx(s.grad.tolist())
    # ATOM writes it as ELU after a leaky ReLU.
    t = torch.linspace(-0.2, 0.2, 9)
    assert torch.allclose(activation(t), F.elu(F.leaky_relu(t, 1 / BEND), BEND), atol=1e-7)


def test_each_sample_has_unit_power() -> None:
    x = normalised_power(torch.stack([torch.full((2, 2, 2), 3.0), torch.full((2, 2, 2), -0.1)]))
    assert x[0].flatten().tolist() == pytest.approx([1.0] * 8)
    assert x[1].flatten().tolist() == pytest.approx([-1.0] * 8)


def test_the_projection_is_on_the_directions_of_largest_variance() -> None:
    # Channel 1 varies most, then channel 0; channel 2 is constant but large.
    x = torch.stack([torch.randn(4, 6, 6), 5 * torch.randn(4, 6, 6), torch.full((4, 6, 6), 9)], 1)
    axes = principal_components(x, 2).abs()
    assert axes.tolist() == [
        pytest.approx([0, 1, 0], abs=0.05),
        pytest.approx([1, 0, 0], abs=0.05),
    ]


def test_conjugate_gradients_solve_a_small_system_in_as_many_steps_as_unknowns() -> None:
    a = torch.tensor([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
    b = torch.tensor([1.0, 2.0, 3.0])
    found = conjugate_gradients(lambda v: a @ v, b, a.diagonal(), 3)
    assert found.tolist() == pytest.approx(torch.linalg.solve(a, b).tolist(), abs=1e-5)
    # One step from nothing goes along b / diagonal, as far as is best: rho / (p, A p).
    p = b / a.diagonal()
    first = (b @ p) / (p @ a @ p) * p
    assert conjugate_gradients(lambda v: a @ v, b, a.diagonal(), 1).tolist() == pytest.approx(
        first.tolist()
    )
    nothing = conjugate_gradients(lambda v: a @ v, 0 * b, a.diagonal(), 3)
    assert nothing.tolist() == [0, 0, 0]


def test_the_gradients_written_out_are_those_of_autograd() -> None:
    """One iteration from f, P moves along the preconditioned gradient of half the loss."""
    x, y = torch.randn(2, 5, 6, 6), torch.rand(2, 6, 6)
    weights = torch.tensor([0.3, 0.7])
    projection = torch.randn(3, 5, requires_grad=True)
    filt = (0.1 * torch.randn(3, 4, 4)).requires_grad_()
    loss(x, y, weights, projection, filt, REG).backward()
    assert projection.grad is not None and filt.grad is not None
    with torch.inference_mode():
        new_projection, new_filter = fit_jointly(
            x, y, weights, projection, filt, reg=REG, steps=1, iterations=1
        )
        moved = torch.cat(
            [
                ((new_filter - filt) * REG.filt).flatten(),
                ((new_projection - projection) * REG.projection).flatten(),
            ]
        )
        gradient = torch.cat([filt.grad.flatten(), projection.grad.flatten()])
    along = F.cosine_similarity(moved, -gradient, dim=0)
    assert float(along) == pytest.approx(1.0, abs=1e-5)


def test_a_label_stands_half_a_cell_further_on_for_an_even_kernel() -> None:
    offsets = torch.tensor([[1.0, -2.0]])
    odd = gaussian_labels(offsets, 1.0, 9, 9, 3)[0]
    assert odd[4 - 2, 4 + 1] == 1  # the middle of nine cells is cell 4; rows are y
    assert float(odd[4 - 2, 4 + 2]) == pytest.approx(math.exp(-1 / 2))
    even = gaussian_labels(offsets - 0.5, 1.0, 9, 9, 4)[0]
    assert torch.equal(even, odd)


def test_upsampled_scores_pass_through_the_cells() -> None:
    scores = gaussian_labels(torch.tensor([[2.0, -1.0]]), 1.5, 16, 16, 4)[0]
    fine = windowed(upsampled(scores, 4, 128), central=False)
    assert torch.allclose(fine[::8, ::8], scores, atol=1e-3)
    # 2 and -1 cells of 8 pixels right and below the middle (64, 64).
    assert divmod(int(fine.argmax()), 128) == (64 - 8, 64 + 16)


def test_a_central_target_is_expected_under_a_window() -> None:
    fine = upsampled(torch.ones(8, 8), 4, 32)
    assert torch.allclose(windowed(fine, central=False), torch.ones(32, 32), atol=1e-5)
    found = windowed(fine, central=True)
    assert float(found[16, 16]) == pytest.approx(1.0, abs=1e-5)
    assert float(found[16, 0]) == pytest.approx(
        0.5 * (1 + math.cos(2 * math.pi * 16 / 34)), abs=1e-5
    )


def blob(x: float, y: float) -> torch.Tensor:
    """Features (1, 8, 24, 24) of clutter with a target `x`, `y` crop pixels from the middle."""
    clutter = 0.3 * torch.randn(8, 24, 24, generator=torch.Generator().manual_seed(5))
    spot = gaussian_labels(torch.tensor([[x, y]]).float() / 8, 1.2, 24, 24, 3)
    return (clutter + torch.tensor([3, -2, 1, 0, 0, 2, 0, 1.0])[:, None, None] * spot)[None]


SIZE = np.array([48.0, 48.0])


def taught() -> TargetFilter:
    settings = COMPACT_FILTER._replace(channels=4, capacity=6)
    samples = FilterSamples(
        6, 4, 24, learning_rate=settings.learning_rate, max_bytes=10**9, device=CPU
    )
    found = TargetFilter(8, settings, samples)
    places = np.array([[0.0, 0.0], [24, 0], [0, -24]])
    found.begin(torch.cat([blob(*place) for place in places]), places)
    return found


def test_a_taught_filter_finds_the_target_and_says_so() -> None:
    found = taught()
    peak = found.locate(blob(32, -16), SIZE)
    assert np.abs(peak.offset - [32, -16]).max() <= 3
    assert not peak.contested
    assert found.locate(blob(32, -16), SIZE).value == peak.value  # looking changes nothing
    absent = found.locate(blob(500, 500), SIZE)
    assert absent.value < 0.5 * peak.value


def test_a_second_target_far_away_is_a_hard_negative() -> None:
    both = torch.maximum(blob(-40, 0), blob(60, 0))
    assert taught().locate(both, SIZE / 2).contested


def test_the_peak_by_hand() -> None:
    scores = np.zeros((32, 32), np.float32)
    scores[10, 20], scores[12, 24] = 1.0, 0.9
    sample = torch.zeros(1)
    # 2.2 times the size around the peak: 4.4 columns and rows either side belong to a target of 4.
    peak = find_peak(scores, np.array([4.0, 4.0]), sample)
    assert (peak.value, peak.offset.tolist(), peak.contested) == (1.0, [4, -6], False)
    assert find_peak(scores, np.array([2.0, 4.0]), sample).contested  # 2.2 columns: 24 is beyond
    scores[12, 24] = 0.3
    assert not find_peak(scores, np.array([2.0, 4.0]), sample).contested


def test_uncertainty_compares_with_the_peaks_accepted_once_there_were_five_frames() -> None:
    found = taught()
    sample = torch.zeros(4, 24, 24)

    def peak(value: float) -> Peak:
        return Peak(value, np.zeros(2), False, sample)

    assert found.uncertainty(peak(0.01)) == 0
    for _ in range(4):  # frames 2 to 5; the queue starts with a 1
        found.remember(peak(0.5), np.zeros(2))
    assert found.uncertainty(peak(0.2)) == pytest.approx((1 + 4 * 0.5) / 5 / 0.2)
    assert found.uncertainty(peak(0.15)) > 3
    writes = found.samples.writes
    found.remember(peak(0.15), np.zeros(2))  # too uncertain to learn from
    assert (found.samples.writes, found.samples.refused) == (writes, 1)


def test_the_filter_learns_on_every_tenth_frame_and_at_a_hard_negative() -> None:
    found = taught()
    state = found.state()

    def changed(contested: bool) -> bool:
        before = found.state()['_filter']
        peak = found.locate(blob(8, 8), SIZE)
        found.remember(Peak(peak.value, peak.offset, contested, peak.sample), np.array([8.0, 8.0]))
        return not torch.equal(before, found.state()['_filter'])

    # Frames 2 to 10 do not, frame 11 does; a hard negative does at once.
    assert [changed(False) for _ in range(10)] == [False] * 9 + [True]
    assert changed(True)
    assert found.samples.status().writes == 3 + 11
    found.restore(state)
    assert found._frames == 1


def test_a_hard_negative_weighs_more() -> None:
    found = taught()
    peak = found.locate(blob(0, 0), SIZE)
    found.remember(Peak(peak.value, peak.offset, True, peak.sample), np.zeros(2))
    weight = HARD_RATE / (1 / (1 - HARD_RATE) + HARD_RATE)
    assert float(found.samples.weights[3]) == pytest.approx(weight)


def test_frozen_samples_keep_the_filter_as_it_is() -> None:
    found = taught()
    found.samples.frozen = True
    before = found.state()
    found.remember(found.locate(blob(0, 0), SIZE), np.zeros(2))
    assert all(torch.equal(value, before[name]) for name, value in found.state().items())
    assert found.samples.refused == 1


def test_online_learning_takes_the_filter_to_a_lower_loss() -> None:
    x = torch.cat([blob(0, 0), blob(16, 8)])
    y = gaussian_labels(torch.tensor([[0.0, 0.0], [2.0, 1.0]]), 1.0, 24, 24, 4)
    weights = torch.tensor([0.5, 0.5])
    identity = torch.eye(8)
    filt = torch.zeros(8, 4, 4)
    losses = [float(loss(x, y, weights, identity, filt, REG))]
    for _ in range(3):
        filt = fit_filter(project(x, identity), y, weights, filt, reg=REG, iterations=5)
        losses.append(float(loss(x, y, weights, identity, filt, REG)))
    assert losses[3] < losses[1] < 0.5 * losses[0]


def test_the_published_augmentation_makes_27_samples() -> None:
    crop = np.zeros((512, 512, 3), np.uint8)
    crop[250:262, 250:262] = 255  # the target, in the middle
    crops, offsets = augmented(crop, PAPER_FILTER.augmentation)
    assert len(crops) == len(offsets) == 27
    assert all(image.shape == (256, 256, 3) for image in crops)

    def middle_of(image: np.ndarray) -> Floats:
        rows, columns = np.nonzero(image[..., 0] > 100)
        return np.array([columns.mean(), rows.mean()]) - 127.5

    for image, offset in zip(crops, offsets, strict=True):
        assert middle_of(image) == pytest.approx(offset, abs=0.6)
    shifted = {tuple(offset) for offset in offsets[1:9].tolist()}
    assert shifted == {(sx * d, sy * d) for d in (32, 96) for sx in (1, -1) for sy in (1, -1)}
