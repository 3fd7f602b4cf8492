"""The truth of simulated children, kept apart from the DICOM objects.

Expected counts and lesions never reach training; exact masks may teach SAM (`adapt_sam.exact_targets`).

`<truth>/<cohort>/<sha256 of the standard scan's counts>.npz` holds, for both poses of the child
(the rapid scan is acquired separately, after a small movement):

- `mean_rapid`, `mean_standard`: float32 expected counts `[view, row, column]`;
- `masks_rapid`, `masks_standard`: bool `[structure, view, row, column]`, order of `STRUCTURES`;
- `lesions`: JSON list, one entry for each lesion and view in which it can be seen, see `Lesion`.

The key is the content of the scan, so the truth is found after de-identification without any identity.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scintiflow.files import whole_file


@dataclass(frozen=True)
class Lesion:
    """A lesion as one view shows it.

    Attributes:
        view: 0 anterior, 1 posterior.
        row_rapid, column_rapid, row_standard, column_standard: centre in pixels of each scan.
        radius_mm: radius at half height as projected, blur included.
        contrast: (mean with lesion - mean without) / mean without, at the centre of the true mean image.
        region: bone in which it sits, for example 'rib' or 'femur'.
    """

    view: int
    row_rapid: float
    column_rapid: float
    row_standard: float
    column_standard: float
    radius_mm: float
    contrast: float
    region: str


@dataclass(frozen=True)
class Truth:
    """What no clinic has: expected counts, exact masks, known lesions."""

    mean_rapid: np.ndarray
    mean_standard: np.ndarray
    masks_rapid: np.ndarray
    masks_standard: np.ndarray
    lesions: tuple[Lesion, ...]


def save_truth(folder: Path, standard_counts_sha256: str, truth: Truth) -> None:
    with whole_file(folder / f"{standard_counts_sha256}.npz") as partial, partial.open("wb") as target:
        np.savez_compressed(
            target,
            mean_rapid=truth.mean_rapid.astype(np.float32),
            mean_standard=truth.mean_standard.astype(np.float32),
            masks_rapid=truth.masks_rapid.astype(bool),
            masks_standard=truth.masks_standard.astype(bool),
            lesions=np.array(json.dumps([asdict(lesion) for lesion in truth.lesions])),
        )


def find_truth(root: Path, standard_counts_sha256: str) -> Truth | None:
    """The truth of a scan under `root` (any cohort), or None where there is none: a real child."""
    for path in sorted(root.glob(f"*/{standard_counts_sha256}.npz")):
        with np.load(path, allow_pickle=False) as packed:
            return Truth(
                mean_rapid=packed["mean_rapid"],
                mean_standard=packed["mean_standard"],
                masks_rapid=packed["masks_rapid"],
                masks_standard=packed["masks_standard"],
                lesions=tuple(Lesion(**entry) for entry in json.loads(str(packed["lesions"]))),
            )
    return None
