"""Consistency with the counts: calibrated where the truth is shown, alarmed where it is not."""

import math

import numpy as np
import pytest
from scipy import stats

from scintiflow.evaluation.consistency import (
    consistency,
    deviance_moments,
    local_scores,
    unit_deviance,
    window_pixels,
)

K = 2.03
EVERYWHERE = np.ones((60, 50), dtype=bool)


@pytest.mark.parametrize("mean", [0.011, 0.05, 0.3, 1.0, 4.7, 30.0, 299.0, 301.0, 2000.0])
def test_moments_are_those_of_the_poisson_distribution(mean):
    counts = np.arange(0, int(mean + 15 * math.sqrt(mean) + 20))
    probability = stats.poisson(mean).pmf(counts)
    deviance = 2 * (np.where(counts > 0, counts * np.log(np.maximum(counts, 1) / mean), 0) - counts + mean)
    expected = (probability * deviance).sum()
    found = deviance_moments(np.array([mean]))
    assert found[0][0] == pytest.approx(expected, rel=2e-4)
    assert found[1][0] == pytest.approx((probability * (deviance - expected) ** 2).sum(), rel=1e-3)


def test_the_chi_square_limit_would_be_wrong_at_low_counts():
    expected, _ = deviance_moments(np.array([0.05, 1.0, 300.0]))
    assert expected[0] < 0.4
    assert expected[1] > 1.1
    assert expected[2] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("level", [0.05, 0.5, 4.0])
def test_the_truth_scores_zero_with_unit_spread(level):
    generator = np.random.default_rng(1)
    mean = level * (0.5 + generator.random(EVERYWHERE.shape))
    found = [consistency(generator.poisson(mean), mean * K, K, EVERYWHERE) for _ in range(400)]
    scores = np.array([one.z for one in found])
    assert scores.mean() == pytest.approx(0, abs=4 / math.sqrt(400))
    assert scores.std() == pytest.approx(1, abs=0.15)
    assert np.mean([one.deviance for one in found]) == pytest.approx(1, abs=0.02)


def test_copied_noise_lies_below_and_a_wrong_picture_above():
    generator = np.random.default_rng(2)
    mean = 1.0 + 3 * generator.random(EVERYWHERE.shape)
    rapid = generator.poisson(mean)
    copied = consistency(rapid, rapid * K, K, EVERYWHERE)
    wrong = consistency(rapid, mean * K * 1.2, K, EVERYWHERE)
    assert copied.deviance < 0.05
    assert copied.z < -20
    assert wrong.z > 5
    assert consistency(rapid, mean * K, K, EVERYWHERE & False).pixels == 0
    assert math.isnan(consistency(rapid, mean * K, K, EVERYWHERE & False).z)


def test_a_region_sees_only_its_own_pixels():
    generator = np.random.default_rng(3)
    mean = np.full(EVERYWHERE.shape, 2.0)
    rapid = generator.poisson(mean)
    restored = mean * K
    restored[:20] *= 1.5
    upper, lower = np.zeros_like(EVERYWHERE), np.zeros_like(EVERYWHERE)
    upper[:20], lower[20:] = True, True
    assert consistency(rapid, restored, K, upper).z > 5
    assert abs(consistency(rapid, restored, K, lower).z) < 4


@pytest.mark.parametrize("level", [0.1, 1.0, 8.0])
def test_local_scores_are_normal_where_the_truth_is_shown(level):
    generator = np.random.default_rng(4)
    mean = np.full((200, 200), level)
    scores = local_scores(generator.poisson(mean), mean * K, K, spacing_mm=2.4)[3:-3, 3:-3]
    assert scores.mean() == pytest.approx(0, abs=0.06)
    assert scores.std() == pytest.approx(1, abs=0.08)
    assert np.mean(abs(scores) > 4) < 1e-3


def test_local_scores_show_where_a_spot_was_invented_and_where_one_was_lost():
    generator = np.random.default_rng(5)
    rows, columns = np.mgrid[:80, :60]

    def spot(row, column):
        return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 2.0**2))

    mean = 3.0 + 9 * spot(20, 20)
    scores = local_scores(generator.poisson(mean), K * (3.0 + 9 * spot(60, 40)), K, spacing_mm=2.4)
    assert scores[60, 40] > 5
    assert scores[20, 20] < -5
    assert abs(scores[40, 10]) < 4


def test_local_scores_stay_finite_at_the_extremes():
    rapid = np.zeros((20, 20), dtype=np.uint16)
    rapid[10, 10] = 60_000
    for restored in (np.zeros((20, 20)), np.full((20, 20), 1e5)):
        assert np.isfinite(local_scores(rapid, restored, K, 2.4)).all()


def test_unit_deviance_is_zero_only_at_the_mean():
    assert unit_deviance(np.array([3.0]), np.array([3.0]))[0] == 0
    assert (unit_deviance(np.array([0.0, 2.0, 4.0]), np.array([3.0, 3.0, 3.0])) > 0).all()


@pytest.mark.parametrize(("spacing", "side"), [(1.0, 11), (2.0, 5), (2.4, 5), (4.0, 3), (9.0, 3)])
def test_the_window_is_odd(spacing, side):
    assert window_pixels(spacing) in (side, side - 2)
    assert window_pixels(spacing) % 2 == 1
