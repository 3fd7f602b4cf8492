"""`manifest.parquet`: one row for each accepted study, and the data set that it describes.

Columns: see `COLUMNS`. Counts are integers, lengths mm, velocities mm/s, angles degrees, ages years.
`*_counts_sha256` is the SHA-256 of the scan's counts (uint16, little endian, C order
`[view, row, column]`): the key under which the truth of a simulated child is found.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from scintiflow.dataset.study import Pair, load_pair
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, whole_file
from scintiflow.modality import BONE_SCAN, MODALITIES, Modality

MANIFEST = "manifest.parquet"
STUDIES = "studies"
SPLITS = ("train", "validation", "test")

COLUMNS = {
    "study": "string",  # pseudonym of the study; also the file's name: studies/<study>.npz
    "patient": "string",  # pseudonym of the patient
    "cohort": "string",
    "split": "string",  # train, validation or test
    "modality": "string",  # see scintiflow.modality
    "age_years": "float64",  # NaN if unknown
    "scanner": "string",  # manufacturer and model from a fixed vocabulary
    "spacing_mm": "float64",
    "rapid_velocity_mm_s": "float64",
    "standard_velocity_mm_s": "float64",
    "count_ratio": "float64",  # k: expected standard / rapid counts = speed ratio x decay between the scans
    "rapid_counts_anterior": "int64",
    "rapid_counts_posterior": "int64",
    "standard_counts_anterior": "int64",
    "standard_counts_posterior": "int64",
    # where the standard scan's content lies relative to the rapid scan's: standard(r + row_shift, c + column_shift)
    # shows what rapid(r, c) shows; measured, never applied here
    "row_shift_anterior": "float64",
    "column_shift_anterior": "float64",
    "row_shift_posterior": "float64",
    "column_shift_posterior": "float64",
    "rotation_anterior": "float64",
    "rotation_posterior": "float64",
    "residual_anterior": "float64",  # 1 - correlation of the smoothed views after registration
    "residual_posterior": "float64",
    "rapid_counts_sha256": "string",
    "standard_counts_sha256": "string",
    "file_sha256": "string",  # of studies/<study>.npz
    "warnings": "string",  # codes, separated by spaces
}


def save_manifest(folder: Path, rows: list[dict]) -> None:
    """Write `rows` to `folder`/manifest.parquet, sorted by patient and study; bone scans unless they say."""
    rows = [row | {"modality": row.get("modality") or BONE_SCAN.name} for row in rows]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    table = table.sort_values(["patient", "study"], ignore_index=True)
    with whole_file(folder / MANIFEST) as partial:
        table.to_parquet(partial, index=False)


@dataclass(frozen=True)
class Dataset:
    """A folder that the ingest stage wrote."""

    folder: Path
    table: pd.DataFrame

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        path = folder / MANIFEST
        if not path.is_file():
            raise ScintiflowError("has no manifest.parquet", where=folder, remedy="Run the ingest stage first")
        table = pd.read_parquet(path)
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise ScintiflowError(
                f"lacks the columns {', '.join(missing)}", where=path, remedy="Run the ingest stage again"
            )
        return cls(folder, table)

    @property
    def modality(self) -> Modality:
        """What all its studies show; ingest takes one source."""
        return modality_of(self.table.iloc[0])

    def rows(self, split: str) -> Iterator[pd.Series]:
        """Manifest rows of one split, in the manifest's order."""
        for _, row in self.table[self.table["split"] == split].iterrows():
            yield row

    def pair(self, study: str) -> Pair:
        return load_pair(self.folder / STUDIES / f"{study}.npz")


def patient_record(dataset: Dataset) -> dict[str, Any]:
    """Whose scans a data set holds, for those who must find a patient's traces years later.

    Pseudonyms, names of cohorts and hashes, nothing else: no age, no scanner, no count that could tell who it is.
    """
    patients: dict[str, Any] = {}
    for _, row in dataset.table.iterrows():
        patient = patients.setdefault(row["patient"], {"split": row["split"], "studies": []})
        hashes = {name: row[name] for name in ("file_sha256", "rapid_counts_sha256", "standard_counts_sha256")}
        patient["studies"].append({"study": row["study"], "cohort": row["cohort"], **hashes})
    return {"manifest_sha256": sha256_file(dataset.folder / MANIFEST), "patients": patients}


def modality_of(row: pd.Series) -> Modality:
    """What a study of the manifest shows."""
    return MODALITIES[row["modality"]]


def shift_pixels(row: pd.Series, view: int) -> tuple[int, int]:
    """Whole-pixel (rows, columns) by which the standard scan's content lies off the rapid scan's.

    All planes of a picture lie at one place, which stands in both views' columns.
    """
    name = "anterior" if view == 0 else "posterior"
    return round(row[f"row_shift_{name}"]), round(row[f"column_shift_{name}"])
