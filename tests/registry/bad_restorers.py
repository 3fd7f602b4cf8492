"""Simulated children, and restorers with one vice each, as the evaluation would meet them."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import STUDIES, Dataset, save_manifest
from scintiflow.dataset.registration import register_pair
from scintiflow.dataset.study import VIEWS, Pair, save_pair
from scintiflow.evaluation.baselines import Gaussian
from scintiflow.phantom.camera import SPACING_MM
from scintiflow.phantom.child import Velocities, simulate_child
from scintiflow.phantom.truth import find_truth, save_truth

PROTOCOL = Velocities(standard=3.333, rapid=6.667)


def simulate_test_children(folder: Path, children: int, seed: int) -> tuple[Dataset, Path]:
    """A packed data set whose test patients are simulated children with lesions, and the folder of their truth."""
    rows, truth = [], folder / "truth"
    for index in range(children):
        child = simulate_child(seed, index, PROTOCOL, 1.0, 7.0, 5)
        study = f"child{index}"
        save_pair(folder / "dataset" / STUDIES / f"{study}.npz", Pair(child.counts_rapid, child.counts_standard))
        save_truth(truth / "simulated", counts_sha256(child.counts_standard), child.truth)
        row = {
            "study": study, "patient": study, "cohort": "simulated", "split": "test", "age_years": child.age,
            "scanner": f"camera {index % 2 + 1}", "spacing_mm": SPACING_MM, "rapid_velocity_mm_s": PROTOCOL.rapid,
            "standard_velocity_mm_s": PROTOCOL.standard, "count_ratio": child.count_ratio,
            "rapid_counts_sha256": counts_sha256(child.counts_rapid),
            "standard_counts_sha256": counts_sha256(child.counts_standard), "file_sha256": "0" * 64, "warnings": "",
        }  # fmt: skip
        for view, (name, found) in enumerate(
            zip(VIEWS, register_pair(child.counts_rapid, child.counts_standard), strict=True)
        ):
            row[f"rapid_counts_{name}"] = int(child.counts_rapid[view].sum())
            row[f"standard_counts_{name}"] = int(child.counts_standard[view].sum())
            row[f"row_shift_{name}"], row[f"column_shift_{name}"] = found.row_shift, found.column_shift
            row[f"rotation_{name}"] = found.rotation
        rows.append(row)
    save_manifest(folder / "dataset", rows)
    return Dataset.open(folder / "dataset"), truth


def smooths_lesions_away(rapid: np.ndarray, ratio: float) -> np.ndarray:
    """Little noise, and little left of a lesion: a wide Gaussian, then hot peaks cut to what surrounds them."""
    smooth = Gaussian(1.8)(rapid, ratio)
    around = ndimage.gaussian_filter(smooth, (0, 5.0, 5.0))
    return np.minimum(smooth, 1.4 * around + 2.0).astype(np.float32)


def invents_lesions(rapid: np.ndarray, ratio: float) -> np.ndarray:
    """A good filter that takes clusters of noise for lesions: what rises a little is raised a lot."""
    smooth = Gaussian(1.8)(rapid, ratio)
    near, wide = (ndimage.gaussian_filter(smooth, (0, sigma, sigma)) for sigma in (1.0, 6.0))
    rising = near > 1.5 * wide + 1.0
    gain = 1.0 + 0.35 * ndimage.gaussian_filter(rising.astype(np.float64), (0, 1.0, 1.0))
    return (smooth * gain).astype(np.float32)


def plants_lesions(rapid: np.ndarray, ratio: float) -> np.ndarray:
    """A good filter that adds six hot spots to each view, anywhere in its brighter parts."""
    smooth, generator = Gaussian(1.2)(rapid, ratio).astype(np.float64), np.random.default_rng(0)
    rows, columns = np.mgrid[: rapid.shape[1], : rapid.shape[2]]
    for view in smooth:
        for place in generator.choice(np.flatnonzero(view > np.quantile(view, 0.9)), 6):
            row, column = divmod(int(place), rapid.shape[2])
            view *= 1.0 + 0.8 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 2.5**2))
    return smooth.astype(np.float32)


class SeesMoreCounts:
    """What honest progress looks like: the same filter, on four times the counts that the camera really collected."""

    def __init__(self, truth: Path, dataset: Dataset, filtered: Gaussian) -> None:
        self._filtered, self._means = filtered, {}
        for row in dataset.rows("test"):
            known = find_truth(truth, row["standard_counts_sha256"])
            assert known is not None
            self._means[row["rapid_counts_sha256"]] = known.mean_rapid

    def __call__(self, rapid: np.ndarray, ratio: float) -> np.ndarray:
        mean = self._means[counts_sha256(rapid)]
        return self._filtered(np.random.default_rng(0).poisson(4.0 * mean) / 4.0, ratio)


def as_models(table: pd.DataFrame, challenger: str, champion: str) -> pd.DataFrame:
    """The table as an evaluation would write it with these two as the new model and the champion."""
    kept = table[~table["method"].isin(["restored", "champion"])]
    renamed = [
        table[table["method"] == name].assign(method=role)
        for name, role in ((challenger, "restored"), (champion, "champion"))
    ]
    return pd.concat([kept, *renamed], ignore_index=True)
