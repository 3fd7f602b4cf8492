"""Estimates of the scans that will be drawn: those chosen beforehand, and the worst so far.

Scoring sees every scan once and keeps few, so that pictures cost no second restoration and memory does not grow with
the number of patients.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from scintiflow.evaluation.summary import RESTORED, yardstick

DRAWN = ("identity", RESTORED, "bm3d", "gaussian")  # what `pictures.draw_case` has panels for


@dataclass(frozen=True)
class KeptScan:
    """`gain`: PSNR in dB of the restoration over the best baseline without learning, mean of the views."""

    study: str
    gain: float
    estimates: dict[str, np.ndarray]


@dataclass
class KeptScans:
    """Offer every scan once, as a witness of the scoring; `chosen` and `worst` are what is left.

    Attributes:
        wanted: studies that are kept whatever they score.
        worst_at_most: how many of the worst are kept.
    """

    wanted: frozenset[str]
    worst_at_most: int
    chosen: dict[str, KeptScan] = field(default_factory=dict)
    worst: list[KeptScan] = field(default_factory=list)

    def offer(self, row: pd.Series, scored: list[dict], estimates: dict[str, np.ndarray]) -> None:
        """Keep the estimates of this scan, or not; arguments as `scoring.Witness` has them."""
        study, baseline = row["study"], yardstick(estimates)
        drawn = {name: estimates[name] for name in DRAWN if name in estimates}
        scan = KeptScan(study, _gain(scored, baseline), drawn)
        if study in self.wanted:
            self.chosen[study] = scan
        if np.isfinite(scan.gain):
            self.worst = sorted([*self.worst, scan], key=lambda kept: (kept.gain, kept.study))[: self.worst_at_most]


def _gain(rows: list[dict], baseline: str) -> float:
    """Against the truth where it is known, else against the standard scan; NaN where either has no number."""
    values = {
        method: [
            row["psnr_truth" if row["reference"] == "truth" else "psnr_standard"]
            for row in rows
            if row["method"] == method
        ]
        for method in (RESTORED, baseline)
    }
    if not all(values.values()):
        return float("nan")
    return float(np.mean(values[RESTORED]) - np.mean(values[baseline]))
