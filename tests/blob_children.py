"""A crude paediatric cohort: blurred blobs as anatomy, Poisson counts, a small movement between the scans."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import STUDIES, Dataset, save_manifest
from scintiflow.dataset.study import Pair, save_pair
from scintiflow.params import EvaluateParams
from scintiflow.phantom.truth import Lesion, Truth, save_truth
from scintiflow.structures import BODY, BONE, STRUCTURES

SHAPE = (160, 72)
SPACING_MM = 4.0
RATIO = 2.03
SHIFTS = ((3, -2), (-2, 1))


@dataclass(frozen=True)
class Cohort:
    dataset: Dataset
    truth: Path
    folder: Path


def anatomy(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float, float]]]:
    """Expected standard counts `[view, row, column]`, masks, and lesions as (row, column, contrast)."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    body = ((rows - 80) / 70) ** 2 + ((columns - 36) / 24) ** 2 < 1
    bone = (abs(columns - 36) < 5) & (abs(rows - 80) < 60)
    for height in range(40, 90, 10):
        bone |= (abs(rows - height - generator.integers(-2, 3)) < 2) & (abs(columns - 36) < 18)
    bone &= body
    mean = 0.1 + 2.5 * body + (7 + generator.random()) * bone
    lesions = [(float(generator.integers(60, 120)), 36.0, 1.5)]
    for row, column, contrast in lesions:
        mean = mean * (1 + contrast * np.exp(-np.log(2) * ((rows - row) ** 2 + (columns - column) ** 2) / 2.5**2))
    mean = ndimage.gaussian_filter(mean, 1.3)
    masks = np.zeros((len(STRUCTURES), 2, *SHAPE), dtype=bool)
    masks[BODY], masks[BONE] = body, bone
    return np.stack([mean, mean[:, ::-1] * 0.9]), masks, lesions


def build_cohort(folder: Path, patients: dict[str, int], with_truth: bool = True) -> Cohort:
    rows = []
    truth_root = folder / "truth"
    for number, split in enumerate(name for name, count in patients.items() for _ in range(count)):
        generator = np.random.default_rng([7, number])
        mean, masks, lesions = anatomy(generator)
        moved = np.stack([np.roll(mean[v], SHIFTS[v], (0, 1)) for v in range(2)])
        moved_masks = np.stack([np.roll(masks[:, v], SHIFTS[v], (1, 2)) for v in range(2)], axis=1)
        pair = Pair(
            rapid=generator.poisson(mean / RATIO).astype(np.uint16),
            standard=generator.poisson(moved).astype(np.uint16),
        )
        study, key = f"study{number:02d}", counts_sha256(pair.standard)
        save_pair(folder / "dataset" / STUDIES / f"{study}.npz", pair)
        if with_truth:
            seen = tuple(
                Lesion(
                    view, row, column if view == 0 else SHAPE[1] - 1 - column,
                    row + SHIFTS[view][0], (column if view == 0 else SHAPE[1] - 1 - column) + SHIFTS[view][1],
                    2.5 * SPACING_MM, contrast, "spine",
                )
                for row, column, contrast in lesions for view in range(2)
            )  # fmt: skip
            save_truth(
                truth_root / "blobs",
                key,
                Truth(mean / RATIO, moved, masks, moved_masks, seen),
            )
        rows.append(
            {
                "study": study, "patient": f"patient{number:02d}", "cohort": "blobs", "split": split,
                "age_years": 1.0 + 3 * number, "scanner": "test camera", "spacing_mm": SPACING_MM,
                "rapid_velocity_mm_s": 6.667, "standard_velocity_mm_s": 3.333, "count_ratio": RATIO,
                **{
                    f"{speed}_counts_{view}": int(getattr(pair, speed)[place].sum())
                    for speed in ("rapid", "standard") for place, view in enumerate(("anterior", "posterior"))
                },
                "row_shift_anterior": SHIFTS[0][0] + 0.2, "column_shift_anterior": SHIFTS[0][1] - 0.3,
                "row_shift_posterior": SHIFTS[1][0] + 0.1, "column_shift_posterior": SHIFTS[1][1] - 0.1,
                "rotation_anterior": 0.0, "rotation_posterior": 0.0,
                "rapid_counts_sha256": counts_sha256(pair.rapid), "standard_counts_sha256": key,
                "file_sha256": "0" * 64, "warnings": "",
            }
        )  # fmt: skip
    save_manifest(folder / "dataset", rows)
    return Cohort(Dataset.open(folder / "dataset"), truth_root, folder)


def small_evaluation() -> EvaluateParams:
    """The recipe of an evaluation of these children, without any pretrained weights."""
    return EvaluateParams(
        data_range_counts=40.0,
        lpips_trunk="",
        lpips_trunk_sha256="",
        inception="",
        inception_sha256="",
        gaussian_sigmas_pixels=[0.6, 1.2, 2.4],
        bm3d=True,
        bootstrap_samples=200,
        seed=3,
        pictured_patients=1,
        pictured_worst=3,
    )
