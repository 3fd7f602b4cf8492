"""Children as `scintiflow.drift` sees them, drawn at random: today's scans, and a training cohort."""

from collections import Counter

import numpy as np

from scintiflow.drift.features import NUMBERS, coarse_counts
from scintiflow.drift.statistics import ScanStatistics

AGES = ("under 2 years", "2 to 5 years", "6 to 11 years", "12 years and over")
SCANNERS = ("Siemens Symbia", "GE Discovery", "Mediso AnyScan")
MODEL = "cd" * 32


def watched_scans(
    number: int, seed: int, *, counts: float = 1.0, ages=(0.2, 0.3, 0.3, 0.2), scanners=(0.6, 0.3, 0.1)
):
    """Rows of restored scans; `counts` multiplies what every child emits."""
    generator = np.random.default_rng(seed)
    rows = []
    for place in range(number):
        emitted = counts * generator.lognormal(np.log(350_000), 0.35)
        rows.append(
            ScanStatistics(
                day=f"2026-{1 + place % 12:02d}-03",
                model="scintiflow 4",
                model_sha256=MODEL,
                counts_anterior=coarse_counts(emitted),
                counts_posterior=coarse_counts(emitted * generator.normal(1.1, 0.05)),
                velocity_mm_s=6.7,
                spacing_mm=float(generator.choice([2.2, 2.4])),
                consistency_deviance=round(float(generator.normal(0.99, 0.01)), 3),
                age_band=str(generator.choice(AGES, p=ages)),
                scanner=str(generator.choice(SCANNERS, p=scanners)),
            )
        )
    return rows


def cohort_of(rows) -> dict:
    """The same as `drift.cohort.training_cohort` would write it."""
    return {
        "studies": len(rows),
        "numbers": {name: sorted(getattr(row, name) for row in rows) for name in NUMBERS},
        "categories": {name: dict(Counter(getattr(row, name) for row in rows)) for name in ("age_band", "scanner")},
    }
