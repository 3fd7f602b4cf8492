"""What is kept of a restored scan: the features, the model and the day; no time, no identity."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from scintiflow.dicom.derived import ModelIdentity
from scintiflow.dicom.reasons import Notice
from scintiflow.dicom.scan import Scan
from scintiflow.drift.features import SPACING_STEP, VELOCITY_STEP, coarse_counts, coarse_deviance, stepped
from scintiflow.evaluation.columns import age_band


@dataclass(frozen=True)
class ScanStatistics:
    """One restored scan.

    Attributes:
        day: UTC, ISO 8601.
        model: name and version.
        model_sha256: of f^IR1's weights.
        counts_anterior, counts_posterior: of the rapid scan; None for a view that it does not have.
        consistency_deviance: how the restored picture agrees with the counts, see `evaluation.consistency`.
        velocity_stated: by a person, because the scan's header gives none.
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
    velocity_stated: bool = False  # lines written before this was kept know of none

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
        velocity_stated=Notice.VELOCITY_STATED.name in scan.warnings,
    )


def column(rows: Sequence[ScanStatistics], feature: str) -> list:
    """Values of a feature, without absent ones."""
    values = [getattr(row, feature) for row in rows]
    return [value for value in values if value is not None]
