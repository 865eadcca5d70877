"""DMV's voted read and its anchors, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memtrack_ros.nets.anchors import AnchorHead, Anchors
from memtrack_ros.nets.voting import CANDIDATES, HEADS, VotedRead, most_similar


def test_the_most_similar_cells_and_no_match_by_hand() -> None:
    # Two frames of 4 x 2 cells of one channel; the query's two cells are 1 and -1.
    keys = torch.tensor(
        [
            [[5.0, -1.0], [0.5, 3.0], [-2.0, -3.0], [2.0, -4.0]],
            [[-6.0, 9.0], [-7.0, -8.0], [-5.0, -6.5], [-9.0, -1.5]],
        ]
    )[None, :, None]
    query = torch.tensor([1.0, -1.0]).view(1, 1, 1, 2)
    both = torch.tensor([[True, True]])
    # Scores exp(k): 9 is cell 9, 5 cell 0, 3 cell 3, 2 cell 6; numbered from 1. exp(-k): -9 is cell
    # 14, -8 cell 11, -7 cell 10, -6.5 cell 13.
    assert most_similar(keys, query, both).tolist() == [[[10, 1, 4, 7], [15, 12, 11, 14]]]
    # Without the second frame: 5, 3, 2, 0.5 and -4, -3, -2, -1: all above no match.
    first = torch.tensor([[True, False]])
    assert most_similar(keys, query, first).tolist() == [[[1, 4, 7, 3], [8, 6, 5, 2]]]
    # Without the first: 9 alone is above 'no match', which comes before -1.5 and -5.
    second = torch.tensor([[False, True]])
    assert most_similar(keys, query, second)[0, 0].tolist() == [10, 0, 16, 13]


def test_the_most_similar_are_those_of_a_plain_sort() -> None:
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(2, 5, 6, 7, 9, generator=generator)
    query = torch.randn(2, 6, 4, 3, generator=generator)
    valid = torch.tensor([[True, True, False, True, False], [True] * 5])
    similarity = (keys.flatten(3).mT @ query.flatten(2)[:, None]).masked_fill(
        ~valid[:, :, None, None], -torch.inf
    )
    columns = torch.cat([torch.zeros(2, 1, 12), similarity.flatten(1, 2)], 1)
    expected = columns.topk(CANDIDATES, 1).indices.mT
    assert torch.equal(most_similar(keys, query, valid), expected)


def mean_of_others() -> VotedRead:
    """A reader of 4 channels that adds to each value the mean of the other candidates' values."""
    reader = VotedRead(4)
    for linear in (reader.narrow, reader.asked, reader.held, reader.answer):
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    with torch.no_grad():
        reader.narrow.weight[:, :4] = torch.eye(4)  # of value and query, the value
        reader.answer.weight[:] = torch.eye(4).repeat(1, HEADS) / HEADS
    return reader


@torch.no_grad()
def test_a_vote_by_hand() -> None:
    reader = mean_of_others()
    one, other = [6.0, 0.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0]
    values = torch.tensor([one, other, other, other])
    candidates = torch.cat([values, torch.randn(4, 4)], 1)[None]
    # The first hears (0, 3, 0, 0) and becomes (6, 3, 0, 0): mean 2.25, variance 6.1875, so
    # (1.50756, 0.30151, -0.90453, -0.90453). The others hear (2, 2, 0, 0) and become (2, 5, 0, 0):
    # mean 1.75, variance 4.1875, so (0.12217, 1.58820, -0.85519, -0.85519).
    verdict = reader.vote(candidates)
    assert verdict[0].tolist() == pytest.approx([1.50756, 1.58820, -0.85519, -0.85519], abs=1e-4)
    assert torch.allclose(reader.vote(candidates[:, [2, 0, 3, 1]]), verdict, atol=1e-6)


@torch.no_grad()
def test_a_vote_is_what_figure_7_draws() -> None:
    reader = VotedRead(8)
    candidates = torch.randn(CANDIDATES, 16)
    x = candidates.numpy() @ reader.narrow.weight.numpy().T + reader.narrow.bias.numpy()
    asked, held = (
        (x @ linear.weight.numpy().T + linear.bias.numpy()).reshape(CANDIDATES, HEADS, 2)
        for linear in (reader.asked, reader.held)
    )
    answers = []
    for head in range(HEADS):
        weight = np.exp(asked[:, head] @ held[:, head].T / np.sqrt(2))
        np.fill_diagonal(weight, 0.0)
        answers.append(weight / weight.sum(1, keepdims=True) @ x)
    heard = np.concatenate(answers, 1) @ reader.answer.weight.numpy().T
    x = x + heard + reader.answer.bias.numpy()
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    assert reader.vote(candidates).numpy() == pytest.approx(x.max(0), abs=1e-5)


@torch.no_grad()
def test_a_read_gathers_the_values_of_the_chosen_cells() -> None:
    reader = mean_of_others()
    generator = torch.Generator().manual_seed(1)
    keys, values = torch.randn(2, 1, 3, 4, 4, 5, generator=generator)
    query = torch.randn(1, 4, 4, 5, generator=generator)
    valid = torch.ones(1, 3, dtype=torch.bool)
    read = reader(keys, values, query, valid)
    chosen = most_similar(keys, query, valid)[0]
    flat_keys, flat = (
        torch.cat([torch.zeros(4, 1), memory[0].transpose(0, 1).flatten(1)], 1)
        for memory in (keys, values)
    )
    for cell in range(20):
        # A value counts as far as f = exp(<query, key>) is more than the 1 of no match.
        f = (query[0].flatten(1)[:, cell] @ flat_keys[:, chosen[cell]]).exp()
        found = flat[:, chosen[cell]] * (f - 1) / (f + 1)
        candidates = torch.cat([found.mT, torch.zeros(4, 4)], 1)
        expected = reader.vote(candidates)
        assert torch.allclose(read[0].flatten(1)[:, cell], expected, atol=1e-5)


def test_similarity_learns_though_choosing_has_no_gradient() -> None:
    reader = VotedRead(8)
    keys = torch.randn(1, 2, 8, 5, 5, requires_grad=True)
    values = torch.randn(1, 2, 8, 5, 5, requires_grad=True)
    query = torch.randn(1, 8, 5, 5, requires_grad=True)
    reader(keys, values, query, torch.ones(1, 2, dtype=torch.bool)).square().sum().backward()
    for tensor in (keys, values, query):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


ANCHORS = Anchors(stride=8, size=40.0, ratios=(0.25, 1.0))


def test_anchors_by_hand() -> None:
    grid = ANCHORS.grid(3, 4, torch.device('cpu'))
    assert grid.shape == (2, 4, 3, 4)
    # Height over width 1/4 at an area of 1600: 80 x 20. Row 2, column 1: y 16, x 8.
    assert grid[0, :, 2, 1].tolist() == [8.0, 16.0, 80.0, 20.0]
    assert grid[1, :, 2, 1].tolist() == [8.0, 16.0, 40.0, 40.0]


def test_displacements_by_hand_and_back() -> None:
    # Centre (18, 6), 20 x 80, seen from 40 x 40 at (8, 16): 10 / 40, -10 / 40, log(1/2), log 2.
    box = torch.tensor([[8.0, -34.0, 28.0, 46.0]])
    displacements = ANCHORS.displacements(box, 3, 4)
    assert displacements.shape == (1, 2, 4, 3, 4)
    assert displacements[0, 1, :, 2, 1].tolist() == pytest.approx(
        [0.25, -0.25, -0.693147, 0.693147]
    )
    back = ANCHORS.boxes(displacements)
    assert torch.allclose(back, box[:, None, :, None, None].expand_as(back), atol=1e-4)


def test_the_anchor_that_matches_best_by_hand() -> None:
    # 40 x 40 around (9, 15): the square anchor at column 1, row 2 is off by one pixel each way:
    # common 39 x 39 of 3200 - 1521.
    box = torch.tensor([[-11.0, -5.0, 29.0, 35.0]])
    overlap = ANCHORS.overlap(box, 3, 4)
    assert float(overlap[0, 1, 2, 1]) == pytest.approx(1521 / 1679)
    best = ANCHORS.best(box, 3, 4)
    assert best.shape == (1, 2, 3, 4)
    assert best.sum() == best[0, 1, 2, 1] == 1
    # As large and lying: the other ratio.
    assert ANCHORS.best(torch.tensor([[-32.0, 6.0, 48.0, 26.0]]), 3, 4)[0, 0, 2, 1] == 1


def test_the_head_answers_for_every_anchor() -> None:
    head = AnchorHead(6, 8, ANCHORS)
    maps = head(torch.randn(2, 6, 5, 7))
    assert maps.score.shape == maps.logits.shape == (2, 2, 5, 7)
    assert maps.boxes.shape == maps.displacements.shape == (2, 2, 4, 5, 7)
    wild = torch.full((1, 2, 4, 5, 7), 1000.0)
    assert ANCHORS.boxes(wild).isfinite().all()
