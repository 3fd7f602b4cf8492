"""Baselines: unbiased where they claim to be, better where they should be, chosen on validation only."""

import numpy as np
import pytest
from scipy import ndimage

from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.baselines import (
    AnscombeBm3d,
    Gaussian,
    Identity,
    anscombe,
    choose_gaussian,
    inverse_anscombe,
)
from scintiflow.evaluation.cases import load_case


@pytest.mark.parametrize("mean", [0.05, 0.5, 3.0, 40.0, 390.0, 900.0])
def test_the_inverse_is_unbiased(mean):
    counts = np.random.default_rng(5).poisson(mean, 400_000)
    recovered = float(inverse_anscombe(np.array(anscombe(counts).mean())))
    assert recovered == pytest.approx(mean, rel=0.02, abs=0.002)


def test_the_inverse_agrees_with_the_published_closed_form():
    d = anscombe(np.linspace(5, 300, 50))
    root = np.sqrt(1.5)
    closed = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    assert np.allclose(inverse_anscombe(d), closed, rtol=0.002)


def test_all_baselines_keep_counts_shape_and_type(cohort):
    row = next(cohort.dataset.rows("test"))
    case = load_case(cohort.dataset, row, cohort.truth, None)
    for restorer in (Identity(), Gaussian(1.2), AnscombeBm3d()):
        for views in (1, 2):
            rapid = case.pair.rapid[:views]
            estimate = restorer(rapid, case.ratio)
            assert estimate.shape == rapid.shape
            assert estimate.dtype == np.float32
            assert estimate.sum() == pytest.approx(rapid.sum() * case.ratio, rel=0.02)


def test_bm3d_beats_the_gaussian_and_repeats_itself(cohort):
    row = next(cohort.dataset.rows("test"))
    case = load_case(cohort.dataset, row, cohort.truth, None)

    def error(restorer):
        return np.mean((restorer(case.pair.rapid, case.ratio) - case.expected)[case.body] ** 2)

    assert error(AnscombeBm3d()) < error(Gaussian(1.2)) < error(Identity())
    once, again = (AnscombeBm3d()(case.pair.rapid[:1], 2.0) for _ in range(2))
    assert np.array_equal(once, again)


@pytest.mark.parametrize("kind", ["cohort", "real_cohort"])
def test_the_gaussian_is_the_best_on_validation(kind, request, params):
    cohort = request.getfixturevalue(kind)
    chosen, scores = choose_gaussian(cohort.dataset, cohort.truth, None, params)
    assert set(scores) == set(params.gaussian_sigmas_pixels)
    assert scores[chosen.sigma_pixels] == max(scores.values())
    assert chosen.sigma_pixels == 1.2  # with and without truth


def test_no_validation_patients_is_an_error(cohort, params):
    lonely = type(cohort.dataset)(cohort.dataset.folder, cohort.dataset.table.query("split == 'test'"))
    with pytest.raises(ScintiflowError, match="no validation patients"):
        choose_gaussian(lonely, cohort.truth, None, params)


def test_gaussian_blurs_within_views_only():
    counts = np.zeros((2, 20, 20), dtype=np.uint16)
    counts[0, 10, 10] = 100
    estimate = Gaussian(1.5)(counts, 2.0)
    assert estimate[1].max() == 0
    assert np.allclose(estimate[0], ndimage.gaussian_filter(200.0 * (counts[0] > 0), 1.5), atol=1e-5)
