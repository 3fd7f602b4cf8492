"""Simulated children as a packed data set, straight from the simulator: no DICOM between, truth beside it.

Each child is written by itself, so that a killed run goes on with the next one.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scintiflow.counts import counts_sha256
from scintiflow.dataset.manifest import STUDIES, Dataset, save_manifest
from scintiflow.dataset.priors import Prior, save_prior
from scintiflow.dataset.registration import register_pair
from scintiflow.dataset.study import VIEWS, Pair, save_pair
from scintiflow.files import read_json, sha256_file, write_json
from scintiflow.phantom.camera import SPACING_MM
from scintiflow.phantom.child import Child, Velocities, simulate_child
from scintiflow.phantom.truth import save_truth
from scintiflow.processes import in_processes
from scintiflow.progress import track
from scintiflow.structures import BODY

COHORT = "benchmark"


@dataclass(frozen=True)
class Plan:
    """Whom to simulate; the same plan gives the same children."""

    train: int
    validation: int
    test: int
    seed: int
    youngest_years: float
    oldest_years: float
    lesions_at_most: int
    standard_velocity_mm_s: float
    rapid_velocity_mm_s: float

    def split_of(self, index: int) -> str:
        if index < self.test:  # first, so that the held-out children do not depend on how many train
            return "test"
        return "validation" if index < self.test + self.validation else "train"

    @property
    def children(self) -> int:
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class Cohort:
    """Folders of one plan. `exact` and `zeroed` are priors: the true masks, and only the body's outline of them."""

    folder: Path

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset"

    @property
    def truth(self) -> Path:
        return self.folder / "truth"

    @property
    def exact(self) -> Path:
        return self.folder / "priors-exact"

    @property
    def zeroed(self) -> Path:
        return self.folder / "priors-zeroed"

    @property
    def rows(self) -> Path:
        return self.folder / "children"


def make_cohort(plan: Plan, folder: Path, workers: int) -> Cohort:
    """Simulate the children that are not there yet, `workers` at a time, and write the manifest."""
    cohort = Cohort(folder)
    cohort.rows.mkdir(parents=True, exist_ok=True)
    missing = [index for index in range(plan.children) if not (cohort.rows / f"{_study(index)}.json").is_file()]
    made = in_processes(partial(_make, plan, cohort), missing, workers, str(folder), preload=__name__)
    for _ in track(made, "simulate children", len(missing)):
        pass
    rows = [read_json(cohort.rows / f"{_study(index)}.json") for index in range(plan.children)]
    save_manifest(cohort.dataset, rows)
    Dataset.open(cohort.dataset)
    return cohort


def _make(plan: Plan, cohort: Cohort, index: int) -> None:
    """Simulate one child and write everything of it; its row comes last and says that the rest is there."""
    velocities = Velocities(plan.standard_velocity_mm_s, plan.rapid_velocity_mm_s)
    child = simulate_child(plan.seed, index, velocities, plan.youngest_years, plan.oldest_years, plan.lesions_at_most)
    study, packed = _study(index), cohort.dataset / STUDIES / f"{_study(index)}.npz"
    save_pair(packed, Pair(rapid=child.counts_rapid, standard=child.counts_standard))
    save_truth(cohort.truth / COHORT, counts_sha256(child.counts_standard), child.truth)
    rapid, standard = (_soft(masks) for masks in (child.truth.masks_rapid, child.truth.masks_standard))
    save_prior(cohort.exact / f"{study}.npz", Prior(rapid, standard))
    save_prior(cohort.zeroed / f"{study}.npz", Prior(_outline(rapid), _outline(standard)))
    write_json(cohort.rows / f"{study}.json", _row(plan, child, index, sha256_file(packed)))


def _row(plan: Plan, child: Child, index: int, file_sha256: str) -> dict:
    row: dict = {
        "study": _study(index),
        "patient": _study(index),
        "cohort": COHORT,
        "split": plan.split_of(index),
        "age_years": child.age,
        "scanner": "simulated",
        "spacing_mm": SPACING_MM,
        "rapid_velocity_mm_s": plan.rapid_velocity_mm_s,
        "standard_velocity_mm_s": plan.standard_velocity_mm_s,
        "count_ratio": child.count_ratio,
        "rapid_counts_sha256": counts_sha256(child.counts_rapid),
        "standard_counts_sha256": counts_sha256(child.counts_standard),
        "file_sha256": file_sha256,
        "warnings": "",
    }
    registered = register_pair(child.counts_rapid, child.counts_standard)
    for view, (name, found) in enumerate(zip(VIEWS, registered, strict=True)):
        row[f"rapid_counts_{name}"] = int(child.counts_rapid[view].sum())
        row[f"standard_counts_{name}"] = int(child.counts_standard[view].sum())
        row[f"row_shift_{name}"], row[f"column_shift_{name}"] = found.row_shift, found.column_shift
        row[f"rotation_{name}"] = found.rotation
    return row


def plan_text(plan: Plan) -> str:
    """The plan as JSON, equal for equal plans."""
    return json.dumps(asdict(plan), sort_keys=True)


def _study(index: int) -> str:
    return f"child{index:05d}"


def _soft(masks: np.ndarray) -> np.ndarray:
    return masks.astype(np.uint8) * np.uint8(255)


def _outline(masks: np.ndarray) -> np.ndarray:
    """The body alone: it weighs the loss, but says nothing that the scan itself does not show."""
    zeroed = np.zeros_like(masks)
    zeroed[BODY] = masks[BODY]
    return zeroed
