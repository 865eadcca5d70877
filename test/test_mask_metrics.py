"""J and F, on masks worked by hand, and F against its definition pixel by pixel."""

from math import ceil, hypot

import numpy as np
import pytest
from numpy.typing import NDArray

from memtrack_ros.evaluation.mask_metrics import boundary_f, region_j, scored, statistics

Mask = NDArray[np.uint8]


def blocks(*corners: tuple[int, int], size: tuple[int, int] = (8, 16)) -> Mask:
    """Blocks of 2 x 2 pixels, given by row and column of the upper left one.

    The boundary of each is the eight pixels around that one: of the block itself the three that
    have an outer neighbour to the right, below or right below, and outside of it the five that
    have an inner one there.
    """
    mask = np.zeros(size, np.uint8)
    for row, column in corners:
        mask[row : row + 2, column : column + 2] = 255
    return mask


def left_of(column: int, size: tuple[int, int]) -> Mask:
    """All left of a column: the boundary is the column before it."""
    mask = np.zeros(size, np.uint8)
    mask[:, :column] = 1
    return mask


@pytest.mark.parametrize(
    ('values', 'expected'),
    [
        # Ends at 1, 3, 5, 7, 9 of nine: the first quarter is frames 1 to 3, the last 7 to 9.
        ([1.0, 0.9, 0.8, 0.5, 0.5, 0.5, 0.4, 0.3, 0.2], (5.1 / 9, 3 / 9, 0.9 - 0.3)),
        # Ends at 1, 2 (1.75), 3 (2.5, to even 2), 3 (3.25), 4 of four: 1 to 2 and 3 to 4.
        ([1.0, 0.6, 0.2, 0.4], (0.55, 0.5, 0.8 - 0.3)),
        ([0.75], (0.75, 1.0, 0.0)),
        ([0.5] * 300, (0.5, 0.0, 0.0)),
    ],
)
def test_statistics_of_davis_by_hand(
    values: list[float], expected: tuple[float, float, float]
) -> None:
    assert tuple(statistics(np.array(values))) == pytest.approx(expected)


NOTHING = blocks()
ALL = np.ones_like(NOTHING)


@pytest.mark.parametrize(
    ('answer', 'truth', 'expected'),
    [
        (blocks((2, 2)), blocks((2, 2)), 1),
        (blocks((2, 2)), blocks((2, 3)), 2 / 6),  # one of two columns shared
        (blocks((2, 2)), blocks((3, 3)), 1 / 7),
        (blocks((2, 2)), blocks((2, 2), (2, 8)), 4 / 8),
        (blocks((2, 2)), blocks((2, 8)), 0),
        (NOTHING, blocks((2, 2)), 0),
        (blocks((2, 2)), NOTHING, 0),
        (NOTHING, NOTHING, 1),
        (ALL, NOTHING, 0),
    ],
)
def test_region(answer: Mask, truth: Mask, expected: float) -> None:
    assert region_j(answer, truth) == pytest.approx(expected)


# The diagonal of 8 x 16 is 18, .8 % of it below 1: boundaries match within one pixel.
@pytest.mark.parametrize(
    ('answer', 'truth', 'expected'),
    [
        (blocks((2, 2)), blocks((2, 2)), 1),
        # Moved by one pixel each boundary pixel has one of the other beside it, but for the
        # corners: of columns 1 to 3 against 2 to 4 all in columns 2 and 3 do, 1 has 2 beside it.
        (blocks((2, 2)), blocks((2, 3)), 1),
        # By three: column 4 of one lies beside column 3 of the other: 3 of 8 both ways.
        (blocks((2, 2)), blocks((2, 5)), 3 / 8),
        # One lower, too: only two of the three are beside one; diagonal neighbours are too far.
        (blocks((2, 2)), blocks((3, 5)), 2 / 8),
        (blocks((2, 2)), blocks((2, 6)), 0),
        # Half of the answer's boundary is right, all of the true one is found: 2 / (2 + 1).
        (blocks((2, 2), (2, 10)), blocks((2, 2)), 2 / 3),
        (blocks((2, 2)), blocks((2, 2), (2, 10)), 2 / 3),
        (NOTHING, blocks((2, 2)), 0),
        (blocks((2, 2)), NOTHING, 0),
        (NOTHING, NOTHING, 1),
        # The image's edge is no boundary.
        (ALL, NOTHING, 1),
        (ALL, blocks((2, 2)), 0),
    ],
)
def test_boundary(answer: Mask, truth: Mask, expected: float) -> None:
    assert boundary_f(answer, truth) == pytest.approx(expected)


@pytest.mark.parametrize(
    ('size', 'tolerance'),
    [
        ((480, 854), 8),  # .008 x 979.7 = 7.8: DAVIS at 480p
        ((100, 100), 2),  # .008 x 141.4 = 1.1
        ((75, 100), 1),  # .008 x 125 = 1, exactly
        ((76, 100), 2),
    ],
)
def test_the_tolerance_grows_with_the_image(size: tuple[int, int], tolerance: int) -> None:
    truth = left_of(40, size)
    assert boundary_f(left_of(40 + tolerance, size), truth) == 1
    assert boundary_f(left_of(40 - tolerance, size), truth) == 1
    assert boundary_f(left_of(40 + tolerance + 1, size), truth) == 0


def edge_pixels(mask: Mask) -> list[tuple[int, int]]:
    height, width = mask.shape
    return [
        (y, x)
        for y in range(height)
        for x in range(width)
        if any(
            y + dy < height and x + dx < width and mask[y, x] != mask[y + dy, x + dx]
            for dy, dx in ((0, 1), (1, 0), (1, 1))
        )
    ]


def near(pixels: list[tuple[int, int]], others: list[tuple[int, int]], radius: int) -> float:
    matched = [any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in pixels]
    return sum(matched) / len(matched)


@pytest.mark.parametrize('seed', range(20))
def test_boundary_of_random_masks_is_that_of_the_definition(seed: int) -> None:
    random = np.random.default_rng(seed)
    # radius 1 and, as the diagonal of 9 x 150 is 150, radius 2
    size = ((20, 30), (9, 150))[seed % 2]
    answer, truth = (random.random((2, *size)) < 0.03).astype(np.uint8)
    radius = ceil(0.008 * hypot(*size))
    a, b = edge_pixels(answer), edge_pixels(truth)
    precision, recall = near(a, b, radius), near(b, a, radius)
    assert 0 < precision < 1
    assert 0 < recall < 1
    expected = 2 * precision * recall / (precision + recall)
    assert boundary_f(answer, truth) == pytest.approx(expected, abs=1e-12)


def test_masks_must_be_of_one_size() -> None:
    for metric in (region_j, boundary_f):
        with pytest.raises(ValueError, match=r'an answer of \(2, 3\) for a truth of \(3, 2\)'):
            metric(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


def test_the_frame_of_the_prompt_and_the_last_do_not_count() -> None:
    truth = np.tile([0, 0, 1, 1.0], (6, 1))
    assert scored(truth).tolist() == [1, 2, 3, 4]
    truth[3] = np.nan  # a frame without the object counts
    assert scored(truth).tolist() == [1, 2, 3, 4]
    truth[:2] = np.nan  # the prompt is in the first frame with it
    assert scored(truth).tolist() == [3, 4]
    assert scored(truth[2:4]).tolist() == []
