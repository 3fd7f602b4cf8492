"""The two paired tests say yes by chance no more often than they promise."""

import numpy as np
import pytest
from scipy import stats

from scintiflow.registry.paired import superiority_p, upper_bound_of_mean

TRIALS = 200


def draw(kind: str, generator: np.random.Generator, patients: int) -> np.ndarray:
    """Differences of mean zero."""
    if kind == "normal":
        return generator.normal(0, 1, patients)
    if kind == "skewed":  # a few patients lose much
        return generator.exponential(1.0, patients) - 1.0
    return generator.binomial(2, 0.3, patients) - 0.6  # lesions: whole numbers


@pytest.mark.parametrize(("kind", "patients"), [("normal", 8), ("normal", 20), ("counts", 12), ("skewed", 20)])
def test_a_loss_of_exactly_the_margin_seldom_passes_as_no_loss(kind, patients):
    generator = np.random.default_rng(4)
    passed = [upper_bound_of_mean(draw(kind, generator, patients), 0.05, 300, 1)[1] < 0 for _ in range(TRIALS)]
    allowed = stats.binom.ppf(0.999, TRIALS, 0.10 if kind == "skewed" else 0.06)  # skew costs every bootstrap some
    assert sum(passed) <= allowed


def test_the_plain_percentile_interval_would_be_too_hopeful():
    """Why the interval is expanded: with eight patients the plain one errs about twice as often as it promises."""
    generator = np.random.default_rng(4)
    plain = 0
    for _ in range(TRIALS):
        losses = generator.normal(0, 1, 8)
        means = generator.choice(losses, (500, 8)).mean(axis=1)
        plain += np.quantile(means, 0.95) < 0
    assert plain > 0.07 * TRIALS


def test_the_interval_agrees_with_students_for_many_normal_patients():
    losses = np.random.default_rng(1).normal(0.3, 1.0, 200)
    low, high = upper_bound_of_mean(losses, 0.05, 20_000, 1)
    expected = stats.t.interval(0.90, 199, losses.mean(), stats.sem(losses))
    assert (low, high) == pytest.approx(expected, abs=0.01)


def test_wilcoxon_is_exact_for_few_patients():
    assert superiority_p(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(1 / 16)
    assert superiority_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(1 / 32)
    assert superiority_p(-np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(1.0)


def test_what_cannot_be_tested_is_no_yes():
    assert superiority_p(np.zeros(10)) == 1.0
    for losses in (np.array([-1.0]), np.array([]), np.array([-1.0, np.nan, -2.0]), np.array([-1.0, -np.inf])):
        assert np.isnan(superiority_p(-losses))
        assert np.isnan(upper_bound_of_mean(losses, 0.05, 100, 1)).all()
    assert upper_bound_of_mean(np.full(5, 0.25), 0.05, 100, 1) == (0.25, 0.25)


def test_the_same_seed_gives_the_same_interval():
    losses = np.random.default_rng(2).normal(size=9)
    assert upper_bound_of_mean(losses, 0.05, 300, 7) == upper_bound_of_mean(losses, 0.05, 300, 7)
