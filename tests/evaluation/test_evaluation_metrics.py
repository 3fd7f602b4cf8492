"""Metrics against scikit-image, scipy and simulation."""

import math

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from scintiflow.evaluation import metrics

L = 40.0


@pytest.fixture
def images():
    generator = np.random.default_rng(1)
    return generator.gamma(2, 4, (60, 44)), generator.gamma(2, 4, (60, 44)), generator.random((60, 44)) < 0.5


def test_psnr_agrees_with_scikit_image(images):
    estimate, reference, inside = images
    assert metrics.psnr(estimate, reference, L) == pytest.approx(
        peak_signal_noise_ratio(reference, estimate, data_range=L), abs=1e-6
    )
    assert metrics.psnr(estimate, reference, L, inside) == pytest.approx(
        peak_signal_noise_ratio(reference[inside], estimate[inside], data_range=L), abs=1e-6
    )


def test_ssim_agrees_with_scikit_image(images):
    estimate, reference, _ = images
    inside = np.zeros(estimate.shape, dtype=bool)
    inside[12:-12, 8:-8] = True  # away from the frame, where libraries pad differently
    _, local = structural_similarity(
        reference, estimate, data_range=L, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert metrics.ssim(estimate, reference, L, inside) == pytest.approx(local[inside].mean(), abs=1e-4)


def test_ssim_of_the_mask_does_not_depend_on_what_lies_far_away(images):
    estimate, reference, _ = images
    inside = np.zeros(estimate.shape, dtype=bool)
    inside[20:24, 20:24] = True
    elsewhere = estimate.copy()
    elsewhere[50:, :] = 1000.0
    assert metrics.ssim(elsewhere, reference, L, inside) == metrics.ssim(estimate, reference, L, inside)


def test_noise_corrected_error_finds_the_error_against_the_truth():
    generator = np.random.default_rng(2)
    truth = generator.gamma(2, 3, (200, 200))
    estimate = truth * 1.1 + 0.3
    inside = generator.random(truth.shape) < 0.7
    found = [metrics.corrected_error(estimate, generator.poisson(truth), inside) for _ in range(30)]
    expected = metrics.mean_squared_error(estimate, truth, inside)
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / math.sqrt(30))
    uncorrected = metrics.mean_squared_error(estimate, generator.poisson(truth), inside)
    assert uncorrected > 5 * expected


def test_the_truth_scores_the_ceiling_and_the_rapid_scan_lies_below_it():
    generator = np.random.default_rng(3)
    truth = generator.gamma(2, 3, (300, 300))
    noisy, rapid = generator.poisson(truth), generator.poisson(truth / 2) * 2
    ceiling = metrics.ceiling(noisy, L)
    assert metrics.psnr(truth, noisy, L) == pytest.approx(ceiling, abs=0.1)
    assert ceiling - metrics.psnr(rapid, noisy, L) == pytest.approx(10 * math.log10(3), abs=0.1)


def test_a_negative_corrected_error_is_nan_not_a_number():
    noisy = np.full((20, 20), 5)
    inside = np.ones(noisy.shape, dtype=bool)
    assert metrics.corrected_error(noisy, noisy, inside) == -5
    assert math.isnan(metrics.corrected_psnr(noisy, noisy, L, inside))


def test_poisson_deviance_is_the_log_likelihood_ratio():
    generator = np.random.default_rng(4)
    mean = generator.gamma(2, 3, (50, 50)) + 0.1
    counts = generator.poisson(mean)
    ratio = stats.poisson.logpmf(counts, np.maximum(counts, 1e-300)) - stats.poisson.logpmf(counts, mean)
    assert metrics.poisson_deviance(mean, counts) == pytest.approx(2 * ratio.mean(), rel=1e-6)
    assert metrics.poisson_deviance(mean, counts) < metrics.poisson_deviance(1.3 * mean, counts)


def test_empty_masks_give_nan(images):
    estimate, reference, _ = images
    nothing = np.zeros(estimate.shape, dtype=bool)
    for number in (
        metrics.psnr(estimate, reference, L, nothing),
        metrics.ssim(estimate, reference, L, nothing),
        metrics.corrected_error(estimate, reference, nothing),
        metrics.ceiling(reference, L, nothing),
        metrics.poisson_deviance(estimate, reference, nothing),
    ):
        assert math.isnan(number)


def independent_ms_ssim(a, b):
    """Wang 2003 from its definition: contrast and structure at four scales, everything at the fifth."""
    weights, product = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), 1.0
    for scale, weight in enumerate(weights):
        blur = lambda image: ndimage.gaussian_filter(image, 1.5, truncate=10 / 3)[5:-5, 5:-5]  # noqa: E731
        means = blur(a), blur(b)
        variances = blur(a * a) - means[0] ** 2 + blur(b * b) - means[1] ** 2
        covariance = blur(a * b) - means[0] * means[1]
        structure = (2 * covariance + (0.03 * L) ** 2) / (variances + (0.03 * L) ** 2)
        light = (2 * means[0] * means[1] + (0.01 * L) ** 2) / (means[0] ** 2 + means[1] ** 2 + (0.01 * L) ** 2)
        product *= max(0.0, float((structure * (light if scale == 4 else 1)).mean())) ** weight
        a, b = (x[: len(x) // 2 * 2, : x.shape[1] // 2 * 2] for x in (a, b))
        a, b = ((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in (a, b))
    return product


def test_ms_ssim_agrees_with_its_definition():
    generator = np.random.default_rng(6)
    reference = ndimage.gaussian_filter(generator.gamma(2, 4, (260, 200)), 2) * 3
    estimate = reference + generator.normal(0, 1.5, reference.shape)
    everywhere = np.ones(reference.shape, dtype=bool)
    expected = independent_ms_ssim(estimate, reference)
    assert metrics.ms_ssim(estimate, reference, L, everywhere) == pytest.approx(expected, abs=2e-3)
    assert metrics.ms_ssim(reference, reference, L, everywhere) == pytest.approx(1)


def test_ms_ssim_is_of_the_box_around_the_mask():
    generator = np.random.default_rng(7)
    reference, estimate = generator.gamma(2, 4, (2, 300, 256))
    inside = np.zeros(reference.shape, dtype=bool)
    inside[100:280, 200:240] = True  # widened to the left: the frame ends at the right
    box = (slice(100, 280), slice(80, 256))
    changed = estimate.copy()
    changed[:90], changed[:, :70] = 1000, 1000
    assert metrics.ms_ssim(changed, reference, L, inside) == pytest.approx(
        metrics.ms_ssim(estimate[box], reference[box], L, inside[box])
    )
    assert math.isnan(metrics.ms_ssim(estimate[:100], reference[:100], L, inside[:100] | True))
    assert math.isnan(metrics.ms_ssim(estimate, reference, L, inside & False))
