"""Two paired tests over patients, and why there are two: docs/decisions/0008-the-gate.md."""

import math

import numpy as np
from scipy import stats


def superiority_p(gains: np.ndarray) -> float:
    """One-sided p of the Wilcoxon signed-rank test that gains lie above zero; 1 if no patient changed.

    Exact where there are no ties and no zeros. A zero counts half against the gain ("zsplit").
    NaN for fewer than two patients or a number that is not finite.
    """
    if len(gains) < 2 or not np.isfinite(gains).all():
        return math.nan
    if not gains.any():
        return 1.0
    return float(stats.wilcoxon(gains, alternative="greater", zero_method="zsplit").pvalue)


def upper_bound_of_mean(losses: np.ndarray, significance: float, samples: int, seed: int) -> tuple[float, float]:
    """The interval of the mean over patients whose upper end is exceeded with probability `significance`.

    Bootstrap over patients with the expanded percentile interval (Hesterberg 2015, "What teachers should know
    about the bootstrap", section 5): the plain percentile interval is too narrow for few patients, by the factor
    sqrt((n - 1) / n) of the bootstrap's standard error and by using the normal instead of Student's quantile.

    Returns (low, high), the two ends at `significance` each; NaN for fewer than two patients or numbers that are
    not finite.
    """
    patients = len(losses)
    if patients < 2 or not np.isfinite(losses).all():
        return math.nan, math.nan
    if np.ptp(losses) == 0:
        return float(losses[0]), float(losses[0])
    quantile = math.sqrt(patients / (patients - 1)) * stats.t.ppf(1 - significance, patients - 1)
    expanded = 2 * stats.norm.cdf(quantile) - 1
    found = stats.bootstrap(
        (losses,),
        np.mean,
        confidence_level=expanded,
        n_resamples=samples,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
