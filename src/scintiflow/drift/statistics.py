"""What is kept of a restored scan: numbers too coarse to find a child by, and no time finer than a day.

Total counts stand in a scan's own header and would lead back to it; rounded to two digits they do not. Values that
mean the same are made equal (6.65 and 6.667 mm/s, 2.21 and 2.2 mm), so that a comparison does not see a difference
that nobody could (our design).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from scintiflow.dicom.derived import ModelIdentity
from scintiflow.dicom.scan import Scan
from scintiflow.evaluation.cases import body_by_threshold
from scintiflow.evaluation.columns import age_band
from scintiflow.evaluation.consistency import consistency

NUMBERS = ("counts_anterior", "counts_posterior", "velocity_mm_s", "spacing_mm", "consistency_deviance")
CATEGORIES = ("age_band", "scanner")
TITLES = {
    "counts_anterior": "counts, anterior view",
    "counts_posterior": "counts, posterior view",
    "velocity_mm_s": "table velocity (mm/s)",
    "spacing_mm": "pixel spacing (mm)",
    "consistency_deviance": "consistency deviance",
    "age_band": "age",
    "scanner": "scanner",
}
OF_THE_MODEL = ("consistency_deviance",)  # says as much of the model as of the scan
COUNT_DIGITS, VELOCITY_STEP, SPACING_STEP, DEVIANCE_STEP = 2, 0.1, 0.05, 0.001


@dataclass(frozen=True)
class ScanStatistics:
    """One restored scan.

    Attributes:
        day: UTC, ISO 8601.
        model: name and version.
        model_sha256: of f^IR1's weights.
        counts_anterior, counts_posterior: of the rapid scan; None for a view that it does not have.
        consistency_deviance: how the restored picture agrees with the counts, see `evaluation.consistency`.
    """

    day: str
    model: str
    model_sha256: str
    counts_anterior: float | None
    counts_posterior: float | None
    velocity_mm_s: float
    spacing_mm: float
    consistency_deviance: float | None
    age_band: str
    scanner: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def scan_statistics(scan: Scan, restored: np.ndarray, count_ratio: float, model: ModelIdentity) -> ScanStatistics:
    """Statistics of a scan restored now; `restored` as `stages.restoring` gives it, `count_ratio` = k."""
    counts = dict(zip(scan.views, scan.counts_per_view, strict=False))
    return ScanStatistics(
        day=f"{datetime.now(UTC):%Y-%m-%d}",
        model=f"{model.name} {model.version}",
        model_sha256=model.checkpoint_sha256,
        counts_anterior=coarse_counts(counts.get("anterior")),
        counts_posterior=coarse_counts(counts.get("posterior")),
        velocity_mm_s=stepped(scan.velocity_mm_s, VELOCITY_STEP),
        spacing_mm=stepped(scan.spacing_mm, SPACING_STEP),
        consistency_deviance=coarse_deviance(scan.counts, restored, count_ratio),
        age_band=age_band(math.nan if scan.age_years is None else scan.age_years),
        scanner=scan.scanner,
    )


def coarse_deviance(rapid: np.ndarray, restored: np.ndarray, count_ratio: float) -> float | None:
    """Deviance inside the body over all views, 1 for a true picture; the body is found in the rapid scan itself."""
    found = consistency(rapid, restored, count_ratio, body_by_threshold(rapid)).deviance
    return None if math.isnan(found) else stepped(found, DEVIANCE_STEP)


def coarse_counts(counts: float | None) -> float | None:
    return None if counts is None else float(f"{counts:.{COUNT_DIGITS - 1}e}")


def stepped(value: float, step: float) -> float:
    return round(round(value / step) * step, 6)


def column(rows: Sequence[ScanStatistics], feature: str) -> list:
    """Values of a feature, without absent ones."""
    values = [getattr(row, feature) for row in rows]
    return [value for value in values if value is not None]
