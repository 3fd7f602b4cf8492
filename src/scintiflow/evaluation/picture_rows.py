"""The rows of one pair of pictures: what can be said of pixels that are no counts.

One row for each picture and method, under the view 'picture': PSNR over all pixels and planes together, SSIM averaged
over the planes (as is usual for colour), the error of the mean level. The reference is the good picture, laid over
the poor one by whole pixels. Numbers that rest on Poisson statistics, bones or lesions are not given.
"""

import math

import numpy as np

from scintiflow.evaluation import metrics
from scintiflow.evaluation.cases import Case, case_overlap
from scintiflow.evaluation.columns import age_band
from scintiflow.evaluation.fidelity import relative_bias
from scintiflow.params import EvaluateParams

VIEW = "picture"


def score_picture(case: Case, estimates: dict[str, tuple[np.ndarray, float]], params: EvaluateParams) -> list[dict]:
    """Rows of `patients.parquet`; `estimates` holds `[plane, row, column]` and its seconds by method."""
    here, there = case_overlap(case, 0)
    reference = case.pair.standard[:, *there].astype(np.float64)
    return [
        {
            **{name: case.row[name] for name in ("patient", "study", "cohort", "scanner")},
            "age_years": math.nan,
            "age_band": age_band(math.nan),
            "view": VIEW,
            "method": method,
            "reference": "standard",
            "regions_from": case.regions_from,
            "data_range_counts": params.data_range_counts,
            "seconds": seconds,
        }
        | _scores(estimate[:, *here], reference, params.data_range_counts)
        for method, (estimate, seconds) in estimates.items()
    ]


def _scores(estimate: np.ndarray, reference: np.ndarray, data_range: float) -> dict[str, float]:
    psnr = metrics.psnr(estimate, reference, data_range)
    ssim = [metrics.ssim(*planes, data_range) for planes in zip(estimate, reference, strict=True)]
    whole = np.ones(reference.shape[1:], dtype=bool)
    ms_ssim = [metrics.ms_ssim(*planes, data_range, whole) for planes in zip(estimate, reference, strict=True)]
    return {
        "psnr_standard": psnr if math.isfinite(psnr) else math.nan,
        "psnr_standard_frame": psnr if math.isfinite(psnr) else math.nan,
        "ssim_standard": float(np.mean(ssim)),
        "ms_ssim_standard": float(np.mean(ms_ssim)),
        "count_bias": relative_bias(estimate, reference, np.ones(reference.shape, dtype=bool)),
    }
