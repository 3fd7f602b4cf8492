"""A whole-body scan as the product knows it, and the short summary that pairing needs."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from scintiflow.counts import counts_sha256

BOTH_VIEWS = ("anterior", "posterior")


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One whole-body acquisition.

    Attributes:
        counts: uint16 `[view, row, column]`; row 0 is the head end, each view as the camera sees it.
        counts_per_view: sum of each view.
        views: name of each view in `counts`: ("anterior", "posterior") or one view; () if unknown.
        spacing_mm: side of a pixel.
        velocity_mm_s: table velocity; `velocity_inferred` if from scan length and duration.
        acquired: start of the acquisition, wall clock of the hospital (shifted after de-identification).
        duration_s: time for which the table moved; None if not given.
        age_years: at acquisition; None if unknown.
        scanner: manufacturer and model from a fixed vocabulary.
        warnings: codes of `Notice`, sorted.
    """

    counts: np.ndarray = field(repr=False)
    counts_per_view: tuple[int, ...]
    views: tuple[str, ...]
    spacing_mm: float
    velocity_mm_s: float
    velocity_inferred: bool
    acquired: datetime = field(repr=False)
    duration_s: float | None
    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    instance_uid: str = field(repr=False)
    age_years: float | None
    sex: str
    size_m: float | None
    weight_kg: float | None
    scanner: str
    identity_removed: bool
    warnings: tuple[str, ...]

    def summary(self, patient: str | None = None) -> "ScanSummary":
        """What pairing needs; `patient` (a pseudonym) takes the place of the patient ID."""
        return ScanSummary(
            patient=self.patient_id if patient is None else patient,
            study_uid=self.study_uid,
            instance_uid=self.instance_uid,
            acquired=self.acquired.isoformat(),
            duration_s=self.duration_s,
            velocity_mm_s=self.velocity_mm_s,
            views=self.views,
            shape=tuple(int(side) for side in self.counts.shape),
            spacing_mm=self.spacing_mm,
            counts_per_view=self.counts_per_view,
            counts_sha256=counts_sha256(self.counts),
            age_years=self.age_years,
            scanner=self.scanner,
        )


@dataclass(frozen=True, kw_only=True)
class ScanSummary:
    """A de-identified scan without its pixels, as it stands in cohort.json."""

    patient: str
    study_uid: str
    instance_uid: str
    acquired: str  # ISO 8601
    duration_s: float | None
    velocity_mm_s: float
    views: tuple[str, ...]
    shape: tuple[int, ...]
    spacing_mm: float
    counts_per_view: tuple[int, ...]
    counts_sha256: str
    age_years: float | None
    scanner: str = field(default="", compare=False)  # not in records of format 2; no part of a scan's identity

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.acquired)

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))  # flat: no copy of what cannot be altered

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ScanSummary":
        tuples = {name: tuple(values[name]) for name in ("views", "shape", "counts_per_view")}
        return cls(**{**values, **tuples})
