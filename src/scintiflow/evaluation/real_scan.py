"""A real scan of unknown truth: thinned to a rapid one, restored, and judged by the counts held out.

A standard scan S of Poisson counts, thinned binomially, gives A ~ Binomial(S, 1/f): a rapid scan f times
as fast. A and B = S - A are independent Poisson scans of the same mean pattern. A restoration of A is
scored against **B**, never against S: S contains A, so a restorer that copies A's noise would look better
against S than the truth does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scintiflow.dataset.thinning import thinned_pair
from scintiflow.evaluation import metrics
from scintiflow.evaluation.baselines import Restorer
from scintiflow.evaluation.cases import body_by_threshold
from scintiflow.evaluation.fidelity import relative_bias


@dataclass(frozen=True)
class RealScan:
    """Scores and pictures of one thinned real scan. Arrays `[view, row, column]`, one or two views.

    Attributes:
        table: one row for each view and method: `psnr_held_out` (dB, estimate x (1 - 1/f) against B, data
            range L (1 - 1/f)), `ceiling_held_out`, `psnr_corrected` (noise-corrected, on the scale of standard
            counts, data range L), `count_bias`, `deviance_held_out`.
        views: their names; 'view 1', 'view 2' where the object does not tell.
        standard: S; rapid: A; held_out: B = S - A.
        estimates: by method, estimated counts of the standard scan.
        factor: f.
    """

    table: pd.DataFrame
    views: tuple[str, ...]
    standard: np.ndarray
    rapid: np.ndarray
    held_out: np.ndarray
    estimates: dict[str, np.ndarray]
    body: np.ndarray
    factor: float


def score_real_scan(
    counts_standard: np.ndarray,
    restorers: dict[str, Restorer],
    factor: float,
    seed: int,
    data_range_counts: float,
    views: Sequence[str] = (),
) -> RealScan:
    """Thin a real scan `[view, row, column]` of integer counts by `factor` and score every restorer.

    `data_range_counts` is L of every PSNR, in standard counts. `views`: their names, () if not all are known.

    The body is found on the thinned scan, so that the held-out counts stay independent of everything.
    """
    if counts_standard.ndim != 3 or not np.issubdtype(counts_standard.dtype, np.integer):
        raise ValueError(
            f"counts must be integers [view, row, column], got {counts_standard.dtype} {counts_standard.shape}"
        )
    split = thinned_pair(counts_standard, factor, np.random.default_rng(np.random.SeedSequence([seed])))
    rapid, held_out = split.input, split.target
    body = body_by_threshold(rapid)
    estimates = {name: restorer(rapid, factor) for name, restorer in restorers.items()}
    names = tuple(views) or tuple(f"view {number + 1}" for number in range(len(rapid)))
    lines = [
        _line(names[view], name, estimate[view], held_out[view], body[view], factor, data_range_counts)
        for name, estimate in estimates.items()
        for view in range(len(rapid))
    ]
    return RealScan(pd.DataFrame(lines), names, counts_standard, rapid, held_out, estimates, body, factor)


def _line(
    view_name: str,
    method: str,
    estimate: np.ndarray,
    held_out: np.ndarray,
    body: np.ndarray,
    factor: float,
    data_range_counts: float,
) -> dict:
    share = 1.0 - 1.0 / factor
    expected, counts = estimate.astype(np.float64) * share, held_out.astype(np.float64)
    data_range = data_range_counts * share
    return {
        "view": view_name,
        "method": method,
        "data_range_counts": data_range_counts,
        "psnr_held_out": metrics.psnr(expected, counts, data_range, body),
        "ceiling_held_out": metrics.ceiling(counts, data_range, body),
        "psnr_corrected": metrics.corrected_psnr(expected, counts, data_range, body),
        "count_bias": relative_bias(expected, counts, body),
        "deviance_held_out": metrics.poisson_deviance(expected, counts, body),
    }
