"""What the gate reads in the per-patient table, patient by patient; columns: docs/reference/evaluation.md.

The unit is the patient: the views and studies of one patient are averaged first (missed lesions add up).
A loss is a difference turned so that a positive number is always worse for the new model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

RESTORED, CHAMPION_ROWS = "restored", "champion"  # methods of the table
ROW = ["patient", "study", "view"]


@dataclass(frozen=True)
class Measure:
    """A metric as the gate reads it.

    Attributes:
        truth, standard: column of a simulated child and of a real one.
        cost: value -> a number that is larger the worse the value.
        lesions_only: rows without a known lesion are left out: they have nothing to lose.
        truth_only: rows of real children are left out: there the number has no reference.
        summed: the rows of a patient add up instead of being averaged.
        scale, digits, unit: how it is shown.
    """

    words: str
    truth: str
    standard: str
    cost: Callable[[pd.Series], pd.Series]
    unit: str = ""
    digits: int = 3
    scale: float = 1.0
    lesions_only: bool = False
    truth_only: bool = False
    summed: bool = False

    def shown(self, value: float | None, signed: bool = True) -> str:
        """The value with sign, digits and unit; 'not measured' for None or NaN."""
        if value is None or not np.isfinite(value):
            return "not measured"
        unit = f"{'' if self.unit == '%' else ' '}{self.unit}" if self.unit else ""
        return f"{self.scale * value:{'+' if signed else ''}.{self.digits}f}{unit}".replace("-", "−")


def _lower_is_better(values: pd.Series) -> pd.Series:
    return values


def _higher_is_better(values: pd.Series) -> pd.Series:
    return -values


def _zero_is_best(values: pd.Series) -> pd.Series:
    return values.abs()


def _one_is_best(values: pd.Series) -> pd.Series:
    return (values - 1.0).abs()


MEASURES: dict[str, Measure] = {
    "psnr": Measure("PSNR", "psnr_truth", "psnr_standard", _higher_is_better, "dB", 2),
    "ssim": Measure("SSIM", "ssim_truth", "ssim_standard", _higher_is_better),
    "deviance": Measure(
        "Poisson deviance of the standard scan", "deviance_standard", "deviance_standard", _lower_is_better, "", 3
    ),
    "count_bias": Measure("bias of body counts", "count_bias", "count_bias", _zero_is_best, "%", 2, 100),
    "bone_bias": Measure("bias of bone counts", "bone_bias", "bone_bias", _zero_is_best, "%", 2, 100),
    "lesion_contrast": Measure(
        "error of lesion contrast", "lesion_contrast", "lesion_contrast", _one_is_best,
        lesions_only=True, truth_only=True,
    ),
    "lesions_missed": Measure(
        "missed lesions", "lesions_missed", "lesions_missed", _lower_is_better, "per patient", 2,
        lesions_only=True, summed=True,
    ),
    "false_hot_spots": Measure(
        "invented lesions", "false_hot_spots", "false_hot_spots", _lower_is_better, "per view", 2
    ),
    "consistency": Measure(
        "disagreement with the measured counts", "consistency_z", "consistency_z", _zero_is_best, "s.d.", 2
    ),
}  # fmt: skip


OF_PICTURES = ("psnr", "ssim", "count_bias")  # what exists of pixels that are no counts


def are_pictures(table: pd.DataFrame) -> bool:
    """Whether every row is of a picture: no counts, bones or lesions were there to be measured."""
    return "regions_from" in table and len(table) > 0 and bool((table["regions_from"] == "frame").all())


@dataclass(frozen=True)
class PatientLosses:
    """New model against champion, one number for each patient (index); positive is worse.

    Attributes:
        unmeasured: rows (patient, study, view) in which either has no finite number though it should.
    """

    losses: pd.Series
    unmeasured: int


def rows_of(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """The rows of a method, indexed by patient, study and view. Raises ValueError if one stands there twice."""
    part = table[table["method"] == method].set_index(ROW).sort_index()
    if part.index.has_duplicates:
        raise ValueError(f"'{method}' has two rows for the same patient, study and view")
    return part


def values_of(rows: pd.DataFrame, measure: Measure) -> pd.Series | None:
    """The measure's value in each row; None if the table lacks a column that it needs."""
    needed = {measure.truth, measure.standard, "reference", *(["lesions"] if measure.lesions_only else [])}
    if not needed <= set(rows.columns):
        return None
    known_truth = rows["reference"] == "truth"
    return rows[measure.truth].where(known_truth, rows[measure.standard]).astype(np.float64)


def patient_means(table: pd.DataFrame, method: str, measure: Measure) -> tuple[pd.Series, int] | None:
    """Value of each patient with something to measure, and the number of rows that should have one and do not.

    None if the table lacks the method or a column.
    """
    rows = rows_of(table, method)
    values = values_of(rows, measure)
    if values is None or rows.empty:
        return None
    values = values[_asked(rows, rows, measure)]
    return _by_patient(values, measure), int((~np.isfinite(values)).sum())


@dataclass(frozen=True)
class Pair:
    """The rows of the new model and of the champion, scan by scan in the same order."""

    new: pd.DataFrame
    old: pd.DataFrame

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Pair":
        return cls(rows_of(table, RESTORED), rows_of(table, CHAMPION_ROWS))

    @property
    def same_scans(self) -> bool:
        return not self.new.empty and self.new.index.equals(self.old.index)

    def groups(self, column: str) -> pd.Series:
        """Name of the group of each scan by a column of the table; 'unknown' where it has none."""
        names = self.new[column] if column in self.new else self.new.index.get_level_values(column)
        return pd.Series(names, index=self.new.index).fillna("unknown").astype(str)

    def losses(self, measure: Measure, scans: pd.Series | None = None) -> PatientLosses | None:
        """What the new model loses, patient by patient, on all scans or on those chosen; None if a column is absent.

        Raises ValueError if the two were not scored on the same scans.
        """
        if not self.same_scans:
            raise ValueError("the two models were not scored on the same scans")
        ours, theirs = values_of(self.new, measure), values_of(self.old, measure)
        if ours is None or theirs is None:
            return None
        asked = _asked(self.new, self.old, measure)
        difference = (measure.cost(ours) - measure.cost(theirs))[asked if scans is None else asked & scans]
        return PatientLosses(_by_patient(difference, measure), int((~np.isfinite(difference)).sum()))


def _asked(new: pd.DataFrame, old: pd.DataFrame, measure: Measure) -> pd.Series:
    """Rows that must have a number. An unknown number of lesions counts as some: not knowing is no excuse."""
    asked = pd.Series(True, index=new.index)
    if measure.lesions_only:
        asked &= ~((new["lesions"] == 0) & (old["lesions"] == 0))
    if measure.truth_only:
        asked &= new["reference"] == "truth"
    return asked


def _by_patient(values: pd.Series, measure: Measure) -> pd.Series:
    groups = values[np.isfinite(values)].groupby(level="patient", sort=True)
    return groups.sum() if measure.summed else groups.mean()
