"""How restorations of held-out patients agree with the counts they were made from; no scan is restored for it twice.

Validation patients are restored here. Test patients are restored by the scoring, which hands their estimates on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from scintiflow.dataset.manifest import Dataset
from scintiflow.drift.features import coarse_deviance
from scintiflow.evaluation.agreement import agreement, calibrated, save_calibration
from scintiflow.evaluation.baselines import Restorer
from scintiflow.evaluation.summary import RESTORED
from scintiflow.params import RefusalParams
from scintiflow.progress import track


@dataclass
class ScoredDeviances:
    """Deviances of the test patients' scans, as `drift` compares them; `take` is a witness of the scoring."""

    dataset: Dataset
    values: list[float | None] = field(default_factory=list)

    def take(self, row: pd.Series, scored: Sequence[dict], estimates: dict[str, np.ndarray]) -> None:
        rapid, ratio = self.dataset.pair(row["study"]).rapid, float(row["count_ratio"])
        self.values.append(coarse_deviance(rapid, estimates[RESTORED], ratio))


def calibrate(
    dataset: Dataset, restore: Restorer, params: RefusalParams, checkpoint: str, path: Path
) -> list[float | None]:
    """Write from when on a restoration contradicts its counts: how far validation patients' lie from theirs.

    Their rapid scans are enough: no truth, no standard scan. `checkpoint`: SHA-256 of the weights that restore.

    Returns the deviances of the same restorations, as `drift` compares them.
    """
    rows = list(dataset.rows("validation"))
    seen, deviances = [], []
    for row in track(rows, "calibrating"):
        rapid, ratio = dataset.pair(row["study"]).rapid, float(row["count_ratio"])
        restored = restore(rapid, ratio)
        seen.append(agreement(rapid, restored, ratio, float(row["spacing_mm"])))
        deviances.append(coarse_deviance(rapid, restored, ratio))
    ratios = [float(row["count_ratio"]) for row in rows]
    patients = len({row["patient"] for row in rows})
    words = f"{patients} patients of the validation set, k = {min(ratios):.2f} to {max(ratios):.2f}"
    save_calibration(path, calibrated(seen, params, words, checkpoint))
    return deviances
