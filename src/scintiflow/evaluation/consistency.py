"""Does the picture agree with the counts that were measured? A check that needs no truth.

If the restored image divided by k were the true mean of the rapid scan, the rapid scan's counts would be
Poisson counts of that mean, pixel by pixel. Two questions are asked of it:

- **Deviance**, for a region: twice the log-likelihood ratio of the counts, summed, against what Poisson counts of
  that very mean show on average. At one count per pixel the chi-square limit is off by a tenth and at 0.05 counts
  by a factor of three, so mean and variance of the deviance are computed from the Poisson distribution itself.
- **Local counts**, as a map: counts in a small window against what the picture claims there, as an exact
  normal score. Positive: the picture shows more than was measured; negative: it lost what was measured.

The picture was made from these counts, so it may agree too well: a picture that copies the noise has a deviance
far below its expectation. Far above means that the counts contradict the picture. Neither proves a lesion, and
agreement does not prove the truth: what the counts cannot tell apart stays open. Numpy and scipy only (our design).
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import ndimage, special, stats

SMALLEST_MEAN = 0.01  # counts per pixel; a mean of zero would make one observed count infinitely unlikely
LARGEST_TABLED_MEAN = 300.0  # counts per pixel; beyond it the series in 1 / mean is exact to 1e-6
WINDOW_MM = 10.0  # about the camera's resolution: the smallest thing that a reader could take for a lesion
LARGEST_SCORE = 9.0  # beyond it probabilities leave double precision


@dataclass(frozen=True)
class Consistency:
    """How the rapid scan's counts agree with a restored image inside a region.

    Attributes:
        deviance: sum of the deviance / its expectation; 1 for the truth, 0 for a copy of the counts.
        z: (sum - expectation) / standard deviation; 0 +- 1 for the truth.
        pixels: of the region. Both numbers are NaN for an empty region.
    """

    deviance: float
    z: float
    pixels: int


def consistency(rapid: np.ndarray, restored: np.ndarray, ratio: float, inside: np.ndarray) -> Consistency:
    """Compare the rapid scan with restored / k inside a region.

    Args:
        rapid: measured counts, any shape.
        restored: estimated standard counts, same shape.
        ratio: k, expected standard / rapid counts.
        inside: boolean region, same shape.
    """
    observed = np.asarray(rapid[inside], dtype=np.float64)
    if not observed.size:
        return Consistency(math.nan, math.nan, 0)
    mean = np.maximum(np.asarray(restored[inside], dtype=np.float64) / ratio, SMALLEST_MEAN)
    total = float(unit_deviance(observed, mean).sum())
    expected, variance = (float(moment.sum()) for moment in deviance_moments(mean))
    return Consistency(total / expected, (total - expected) / math.sqrt(variance), observed.size)


def unit_deviance(counts: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Poisson deviance of each count under its mean: 2 (n log(n / mean) - n + mean)."""
    return 2.0 * (special.xlogy(counts, counts / mean) - counts + mean)


def deviance_moments(mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expectation and variance of the deviance of Poisson counts of each mean, to a relative 1e-4."""
    logs, expectations, variances = _tabled_moments()
    place = np.log(np.maximum(mean, SMALLEST_MEAN))
    series = 1.0 + 1.0 / (6.0 * mean), 2.0 + 2.0 / (3.0 * mean)  # leading terms of the expansion in 1 / mean
    large = mean > LARGEST_TABLED_MEAN
    return (
        np.where(large, series[0], np.interp(place, logs, expectations)),
        np.where(large, series[1], np.interp(place, logs, variances)),
    )


def local_scores(rapid: np.ndarray, restored: np.ndarray, ratio: float, spacing_mm: float) -> np.ndarray:
    """Where the picture shows more (positive) or less (negative) than was measured, in standard deviations.

    Each pixel of a view `[row, column]` gets the counts of the window of `WINDOW_MM` around it: their mid-p value
    under a Poisson distribution of restored / k, as a normal score. For the truth about 0.006% of all pixels lie
    beyond 4, at any count.
    """
    mean = np.asarray(restored, dtype=np.float64) / ratio
    measured, claimed = window_counts(rapid, mean, window_pixels(spacing_mm))
    within = np.exp(special.xlogy(measured, claimed) - claimed - special.gammaln(measured + 1))
    below = np.where(measured > 0, special.pdtr(measured - 1, claimed), 0.0)
    above = special.pdtrc(measured, claimed)
    # the smaller tail keeps its digits
    score = np.where(
        below < above, -special.ndtri(below + within / 2), special.ndtri(np.maximum(above + within / 2, 0.0))
    )
    return np.clip(score, -LARGEST_SCORE, LARGEST_SCORE)


def scores_of_views(rapid: np.ndarray, restored: np.ndarray, ratio: float, spacing_mm: float) -> np.ndarray:
    """`local_scores` of all views `[view, row, column]`."""
    return np.stack([local_scores(*views, ratio, spacing_mm) for views in zip(rapid, restored, strict=True)])


def window_counts(rapid: np.ndarray, mean: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Measured counts and those that a picture claims, in the window of `side` pixels around each pixel of a view."""
    area = float(side * side)
    measured = np.rint(ndimage.uniform_filter(rapid.astype(np.float64), side, mode="constant") * area)
    return measured, ndimage.uniform_filter(np.maximum(mean, SMALLEST_MEAN), side, mode="constant") * area


def window_pixels(spacing_mm: float, width_mm: float = WINDOW_MM) -> int:
    """Side of a window of that width: an odd number of pixels, at least 3."""
    return max(3, 2 * round((width_mm / spacing_mm - 1) / 2) + 1)


@cache
def _tabled_moments() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of Poisson means, and the deviance's expectation and variance at each."""
    means = np.geomspace(SMALLEST_MEAN, LARGEST_TABLED_MEAN, 1200)
    counts = np.arange(int(LARGEST_TABLED_MEAN + 14 * math.sqrt(LARGEST_TABLED_MEAN)), dtype=np.float64)
    probabilities = stats.poisson.pmf(counts[None, :], means[:, None])
    deviances = unit_deviance(counts[None, :], means[:, None])
    expectations = (probabilities * deviances).sum(axis=1)
    variances = (probabilities * deviances**2).sum(axis=1) - expectations**2
    return np.log(means), expectations, variances
