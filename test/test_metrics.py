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


def test_j_and_f_are_means_over_the_frames_of_davis() -> None:
    truth = np.tile([0, 0, 10, 10.0], (5, 1))
    truth[2] = np.nan
    seconds = np.array([np.nan, 1, 1, 1, 1])
    # the prompt has none; the last does not count, a frame without the target does
    j = np.array([np.nan, 0.2, 1, 0.6, 0])
    f = np.array([np.nan, 0.4, 1, 0.4, 0])
    row = metrics.score(np.nan_to_num(truth), truth, seconds, j, f)
    assert (row['j'], row['f'], row['jf']) == pytest.approx((0.6, 0.6, 0.6))
    f[3] = 1
    row = metrics.score(np.nan_to_num(truth), truth, seconds, j, f)
    assert (row['j'], row['f'], row['jf']) == pytest.approx((0.6, 0.8, 0.7))


def test_without_masks_there_is_no_j() -> None:
    truth = np.tile([0, 0, 10, 10.0], (5, 1))
    none = np.full(5, np.nan)
    row = metrics.score(truth, truth, none, none, none)
    assert row['j'] is row['f'] is row['jf'] is None
    assert row['ao'] == 1


def test_the_curves() -> None:
    truth = np.array([[0, 0, 100, 40], [0, 0, 100, 40], ABSENT, [0, 0, 100, 40]])
    # after the prompt: 20 px to the right, IoU 80 / 120 = 2/3, .2 widths off;
    # 4.5 px down, IoU 35.5 / 44.5 = .798, .1125 heights off
    answers = np.array([[0, 0, 1, 1], [20, 0, 100, 40], [0, 0, 1, 1], [0, 4.5, 100, 40]])
    success = metrics.success_curve(answers, truth)
    assert len(success) == len(metrics.SUCCESS_THRESHOLDS) == 21
    # both above 0 ... .65 (14), one above .7, .75
    assert success.tolist() == [1] * 14 + [0.5] * 2 + [0] * 5
    precision = metrics.precision_curve(answers, truth)
    assert len(precision) == len(metrics.PRECISION_THRESHOLDS) == 51
    # one within 5 ... 19 px, both within 20 ... 50
    assert precision.tolist() == [0] * 5 + [0.5] * 15 + [1] * 31
    relative = metrics.norm_precision_curve(answers, truth)
    assert len(relative) == len(metrics.NORM_PRECISION_THRESHOLDS) == 51
    # one within .12 ... .19, both within .2 ... .5
    assert relative.tolist() == [0] * 12 + [0.5] * 8 + [1] * 31


def test_the_scores_are_read_off_the_curves() -> None:
    random = np.random.default_rng(0)
    truth = random.uniform(10, 60, (50, 4))
    answers = truth + random.normal(0, 8, (50, 4))
    row = metrics.score(answers, truth, np.full(50, np.nan))
    assert row['success_auc'] == pytest.approx(metrics.success_curve(answers, truth).mean())
    assert row['sr50'] == pytest.approx(metrics.success_curve(answers, truth)[10])
    assert row['precision_20'] == pytest.approx(metrics.precision_curve(answers, truth)[20])
    # LaSOT ranks by the 21st of its thresholds 0, .01 ... .5
    relative = metrics.norm_precision_curve(answers, truth)
    assert row['norm_precision'] == pytest.approx(relative[20])
    assert metrics.NORM_PRECISION_THRESHOLDS[20] == 0.2


def test_curves_without_a_frame_to_score_are_nan() -> None:
    box = np.array([[0, 0, 1, 1.0]])
    for curve in (metrics.success_curve, metrics.precision_curve, metrics.norm_precision_curve):
        assert np.isnan(curve(box, box)).all()


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
