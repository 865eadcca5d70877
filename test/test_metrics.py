"""The metrics, on cases worked by hand."""

import numpy as np
import pytest

from memtrack_ros.evaluation import metrics

ABSENT = [np.nan] * 4


@pytest.mark.parametrize(
    ('iou', 'expected'),
    [
        ([0.0], 0 / 21),  # not above 0
        ([1.0], 20 / 21),  # above all but 1 itself
        ([0.5], 10 / 21),  # above 0, .05 ... .45
        ([0.51], 11 / 21),  # and above .5
        ([0.15], 3 / 21),  # .15 is a threshold: above 0, .05, .1
        ([1.0, 0.0], 10 / 21),
        ([1.0, 0.5, 0.0, 0.0], 30 / 84),
    ],
)
def test_success_auc(iou: list[float], expected: float) -> None:
    assert metrics.success_auc(np.array(iou)) == pytest.approx(expected)


def test_precision_counts_the_limit_itself() -> None:
    assert metrics.precision(np.array([0, 19.9, 20, 20.1]), 20) == 0.75


def test_success_rate_does_not_count_the_threshold_itself() -> None:
    assert metrics.success_rate(np.array([0.4, 0.5, 0.6, 0.8]), 0.5) == 0.5


def test_the_first_truth_and_absent_ones_do_not_count() -> None:
    truth = np.array([ABSENT, [0, 0, 1, 1], [0, 0, 1, 1], ABSENT, [0, 0, 1, 1]])
    assert metrics.scored(truth).tolist() == [2, 4]


def test_scores_of_a_pass() -> None:
    truth = np.array([[0, 0, 100, 40], [0, 0, 100, 40], ABSENT, [0, 0, 100, 40], [0, 0, 100, 40]])
    answers = np.array(
        [
            [0, 0, 100, 40],  # the prompt
            [0, 0, 100, 40],  # IoU 1, no error
            [500, 500, 1, 1],  # the target is absent
            [20, 0, 100, 40],  # 80 of 120 columns shared: IoU 2/3; 20 px = .2 widths off
            [0, 20, 100, 40],  # 20 of 60 rows shared: IoU 1/3; 20 px = .5 heights off
        ],
        float,
    )
    seconds = np.array([np.nan, 0.25, 0.25, 0.25, 0.25])
    row = metrics.score(answers, truth, seconds)
    assert row == pytest.approx(
        {
            # above 0 ... .95: 20, 0 ... .65: 14, 0 ... .3: 7 thresholds
            'success_auc': (20 + 14 + 7) / (3 * 21),
            'precision_20': 1.0,
            'norm_precision': 2 / 3,
            'ao': (1 + 2 / 3 + 1 / 3) / 3,
            'sr50': 2 / 3,
            'sr75': 1 / 3,
            'j': None,
            'f': None,
            'jf': None,
            'fps': 4.0,
            'frames': 5,
        }
    )
    assert tuple(row) == metrics.METRICS


def test_a_pass_without_a_frame_to_score_has_no_metrics() -> None:
    row = metrics.score(np.zeros((1, 4)), np.array([[0, 0, 1, 1.0]]), np.array([np.nan]))
    assert row == dict.fromkeys(metrics.METRICS) | {'frames': 1}


def test_means_are_over_the_sequences_that_have_the_metric() -> None:
    empty = dict.fromkeys(metrics.METRICS)
    long = empty | {'success_auc': 0.2, 'fps': 10.0, 'frames': 900}
    short = empty | {'success_auc': 0.6, 'frames': 100}
    summary = metrics.mean([long, short])
    assert summary == pytest.approx(empty | {'success_auc': 0.4, 'fps': 10.0, 'frames': 1000})


def test_the_mean_of_nothing_is_nothing() -> None:
    assert metrics.mean([]) == dict.fromkeys(metrics.METRICS)
