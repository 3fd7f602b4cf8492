"""Restorations without learning: what any network has to beat.

A restorer turns the rapid scan's counts `[view, row, column]` and k (expected standard / rapid counts)
into estimated counts of the standard scan, float32 of the same shape. The classes here are restorers
that may run in several threads at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage, stats
from skimage.restoration import denoise_nl_means

from scintiflow.dataset.manifest import Dataset
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.cases import Case, body_by_threshold, bounding_box, case_overlap, load_case
from scintiflow.evaluation.metrics import corrected_error, mean_squared_error, psnr_of_error
from scintiflow.params import EvaluateParams
from scintiflow.progress import track

Restorer = Callable[[np.ndarray, float], np.ndarray]

LARGEST_TABLED_MEAN = 400.0  # counts; beyond it the asymptotic inverse is exact to 1e-6 counts
SMOOTHING_OUTSIDE_PIXELS = 2.0
CROP_MARGIN_PIXELS = 16
NLM_STRENGTH = 0.8  # of the noise's standard deviation, scikit-image's recommendation for its fast mode


@dataclass(frozen=True)
class Identity:
    """The rapid scan times k: unbiased, and as noisy as it came."""

    def __call__(self, rapid: np.ndarray, ratio: float) -> np.ndarray:
        return (rapid.astype(np.float64) * ratio).astype(np.float32)


@dataclass(frozen=True)
class Gaussian:
    """The rapid scan times k, blurred in each view by a Gaussian of `sigma_pixels`."""

    sigma_pixels: float

    def __call__(self, rapid: np.ndarray, ratio: float) -> np.ndarray:
        scaled = rapid.astype(np.float64) * ratio
        return ndimage.gaussian_filter(scaled, (0, self.sigma_pixels, self.sigma_pixels)).astype(np.float32)


@dataclass(frozen=True)
class NonLocalMeans:
    """Non-local means on Anscombe-transformed counts with the exact unbiased inverse, then times k.

    Buades 2005, scikit-image's fast mode. Only the body's box is denoised.
    """

    def __call__(self, rapid: np.ndarray, ratio: float) -> np.ndarray:
        return _denoised(rapid, ratio, _non_local_means)


@dataclass(frozen=True)
class AnscombeBm3d:
    """BM3D on Anscombe-transformed counts with the exact unbiased inverse, then times k.

    Dabov 2007 for BM3D; Makitalo and Foi 2011 for the inverse. Only the body's box is denoised.
    """

    def __call__(self, rapid: np.ndarray, ratio: float) -> np.ndarray:
        return _denoised(rapid, ratio, _bm3d)


BASELINES = (Identity, Gaussian, NonLocalMeans, AnscombeBm3d)  # may run in several threads at once


def anscombe(counts: np.ndarray) -> np.ndarray:
    """2 sqrt(x + 3/8): Poisson counts become nearly normal with variance 1 (Anscombe 1948)."""
    return 2.0 * np.sqrt(np.asarray(counts, dtype=np.float64) + 0.375)


def inverse_anscombe(transformed: np.ndarray) -> np.ndarray:
    """The Poisson mean whose Anscombe-transformed counts have this expectation (exact unbiased inverse)."""
    means, expectations = _tabled_expectations()
    asymptotic = (transformed / 2.0) ** 2 - 0.125
    return np.where(transformed > expectations[-1], asymptotic, np.interp(transformed, expectations, means))


def choose_gaussian(
    dataset: Dataset, truth_root: Path | None, priors: Path | None, params: EvaluateParams
) -> tuple[Gaussian, dict[float, float]]:
    """The Gaussian with the best body-only PSNR on the validation patients, and every sigma's PSNR in dB.

    Against the truth where validation children have one (mean over views), else noise-corrected against
    the standard scan (one PSNR of the mean error, since a single view's corrected error may be negative).
    Of pictures the error against the good picture counts as it is.
    """
    cases = [
        load_case(dataset, row, truth_root, priors)
        for row in track(list(dataset.rows("validation")), "choosing the Gaussian baseline: reading")
    ]
    if not cases:
        raise ScintiflowError(
            "has no validation patients to choose the Gaussian baseline on",
            where=dataset.folder,
            remedy="Give the split a validation share",
        )
    known = [case for case in cases if case.expected is not None]
    scores = {}
    for sigma in track(params.gaussian_sigmas_pixels, "choosing the Gaussian baseline"):
        if known:
            errors = [error for case in known for error in _true_errors(Gaussian(sigma), case)]
            scores[sigma] = float(np.mean([psnr_of_error(error, params.data_range_counts) for error in errors]))
        else:
            errors = [error for case in cases for error in _corrected_errors(Gaussian(sigma), case)]
            scores[sigma] = psnr_of_error(float(np.mean(errors)), params.data_range_counts)
    best = max(scores, key=lambda sigma: -np.inf if np.isnan(scores[sigma]) else scores[sigma])
    return Gaussian(best), scores


def _true_errors(restorer: Restorer, case: Case) -> list[float]:
    assert case.expected is not None
    estimate = restorer(case.pair.rapid, case.ratio)
    return [mean_squared_error(estimate[v], case.expected[v], case.body[v]) for v in range(case.views)]


def _corrected_errors(restorer: Restorer, case: Case) -> list[float]:
    estimate, errors = restorer(case.pair.rapid, case.ratio), []
    error_of = corrected_error if case.is_counted else mean_squared_error
    for view in range(case.views):
        here, there = case_overlap(case, view)
        errors.append(error_of(estimate[view][here], case.pair.standard[view][there], case.body[view][here]))
    return errors


def _denoised(rapid: np.ndarray, ratio: float, denoise: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Denoise the body's box in the Anscombe domain; the empty air around it is blurred, which nobody looks at."""
    estimate = ndimage.gaussian_filter(
        rapid.astype(np.float64), (0, SMOOTHING_OUTSIDE_PIXELS, SMOOTHING_OUTSIDE_PIXELS)
    )
    for view, body in enumerate(body_by_threshold(rapid)):
        box = bounding_box(body, CROP_MARGIN_PIXELS)
        estimate[view][box] = inverse_anscombe(denoise(anscombe(rapid[view][box])))
    return (estimate * ratio).astype(np.float32)


def _non_local_means(transformed: np.ndarray) -> np.ndarray:
    return denoise_nl_means(transformed, patch_size=5, patch_distance=7, h=NLM_STRENGTH, sigma=1.0)


def _bm3d(transformed: np.ndarray) -> np.ndarray:
    import bm3d  # half a second to load, and only this baseline needs it
    from bm3d.profiles import BM3DProfile

    profile = BM3DProfile()
    profile.num_threads = 1  # several threads add in changing order and change the last digits
    profile.nf = 0  # the noise is white: no correlated-noise variances, which cost two thirds of the time
    return bm3d.bm3d(transformed, 1.0, profile=profile)


@cache
def _tabled_expectations() -> tuple[np.ndarray, np.ndarray]:
    """Poisson means and E[2 sqrt(X + 3/8)] at each, both rising."""
    means = np.concatenate([[0.0], np.geomspace(1e-3, LARGEST_TABLED_MEAN, 600)])
    counts = np.arange(int(LARGEST_TABLED_MEAN + 12 * np.sqrt(LARGEST_TABLED_MEAN)))
    return means, stats.poisson.pmf(counts[None, :], means[:, None]) @ anscombe(counts)
