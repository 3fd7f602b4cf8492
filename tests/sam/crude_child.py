"""Crude children: geometry only, fast, with exact masks. What the phantom does well is tested there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import STUDIES, save_manifest
from scintiflow.dataset.study import Pair, save_pair
from scintiflow.files import sha256_file
from scintiflow.params import SamArchitecture
from scintiflow.phantom.truth import Truth, save_truth

ROWS, COLUMNS, SPACING_MM = 256, 96, 5.0


@dataclass(frozen=True)
class CrudeChild:
    """Expected counts of a standard scan and exact masks, posterior mirrored."""

    mean: np.ndarray
    masks: np.ndarray


def crude_child(height_mm: float = 1100.0, hot_hand: bool = True, level: float = 8.0) -> CrudeChild:
    """A child of ellipses and bars on 5 mm pixels; anterior view, mirrored for the posterior."""
    scale = height_mm / SPACING_MM
    row, column = np.indices((ROWS, COLUMNS))
    y, x = (row - 12) / scale, (column - (COLUMNS - 1) / 2) / scale

    def ellipse(y0: float, x0: float, half_y: float, half_x: float) -> np.ndarray:
        return ((y - y0) / half_y) ** 2 + ((x - x0) / half_x) ** 2 <= 1

    def bar(y0: float, y1: float, x0: float, half: float) -> np.ndarray:
        return (y >= y0) & (y <= y1) & (np.abs(x - x0) <= half)

    def both(part: Callable[[int], np.ndarray]) -> np.ndarray:
        return part(-1) | part(1)

    body = ellipse(0.085, 0, 0.085, 0.06) | bar(0.16, 0.53, 0, 0.09) | both(lambda s: bar(0.5, 1.0, s * 0.05, 0.04))
    body |= both(lambda s: bar(0.2, 0.56, s * 0.125, 0.022))
    bone = ellipse(0.085, 0, 0.075, 0.05) | bar(0.16, 0.5, 0, 0.014) | both(lambda s: bar(0.5, 0.97, s * 0.05, 0.014))
    bone |= both(lambda s: ellipse(0.46, s * 0.05, 0.03, 0.03)) | both(lambda s: bar(0.21, 0.52, s * 0.125, 0.008))
    kidneys = both(lambda s: ellipse(0.385, s * 0.04, 0.036, 0.018))
    bladder = ellipse(0.505, 0, 0.02, 0.022)
    site = ellipse(0.53, 0.125, 0.014, 0.012) & hot_hand
    counts = level * (1.0 * body + 3.0 * bone + 4.0 * kidneys + 30.0 * bladder + 60.0 * site)
    blurred = ndimage.gaussian_filter(counts, 0.8) + 0.01
    bone &= ~(kidneys | bladder | site)
    masks = np.stack([body, bone, kidneys, bladder, site])
    return CrudeChild(
        mean=np.stack([blurred, blurred[:, ::-1]]), masks=np.stack([masks, masks[..., ::-1]], axis=1).astype(bool)
    )


@dataclass(frozen=True)
class Clinic:
    dataset: Path
    truth: Path


def write_clinic(root: Path, splits: dict[str, str], seed: int = 0) -> Clinic:
    """A data set of crude children; `splits` maps a patient to train, validation or test."""
    rows = []
    for number, (patient, split) in enumerate(splits.items()):
        generator = np.random.default_rng([seed, number])
        one = crude_child(float(generator.uniform(900, 1150)), hot_hand=number % 2 == 0)
        standard = generator.poisson(one.mean).astype(np.uint16)
        rapid = generator.poisson(one.mean / 2).astype(np.uint16)
        path = root / "dataset" / STUDIES / f"study-{patient}.npz"
        save_pair(path, Pair(rapid, standard))
        key = counts_sha256(standard)
        save_truth(root / "truth" / "crude", key, Truth(one.mean / 2, one.mean, one.masks, one.masks, ()))
        rows.append(
            {
                "study": f"study-{patient}",
                "patient": patient,
                "cohort": "crude",
                "split": split,
                "age_years": 6.0,
                "scanner": "crude",
                "spacing_mm": SPACING_MM,
                "rapid_velocity_mm_s": 6.667,
                "standard_velocity_mm_s": 3.333,
                "count_ratio": 2.0,
                **{
                    f"{name}_counts_{view}": 1 for name in ("rapid", "standard") for view in ("anterior", "posterior")
                },
                **{
                    f"{name}_{view}": 0.0
                    for name in ("row_shift", "column_shift", "rotation")
                    for view in ("anterior", "posterior")
                },
                "rapid_counts_sha256": counts_sha256(rapid),
                "standard_counts_sha256": key,
                "file_sha256": sha256_file(path),
                "warnings": "",
            }
        )
    save_manifest(root / "dataset", rows)
    return Clinic(root / "dataset", root / "truth")


def small_architecture(image_size: int = 64) -> SamArchitecture:
    return SamArchitecture(size="small", image_size=image_size, checkpoint="", checkpoint_sha256="")
