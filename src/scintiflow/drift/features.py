"""The features by which scans are watched, made so coarse that no child can be found by them.

Total counts stand in a scan's own header and would lead back to it; rounded to two digits they do not. Values that
mean the same are made equal (6.65 and 6.667 mm/s, 2.21 and 2.2 mm), so that a comparison does not see a difference
that nobody could (our design).
"""

import math

import numpy as np

from scintiflow.evaluation.cases import body_by_threshold
from scintiflow.evaluation.consistency import consistency

NUMBERS = ("counts_anterior", "counts_posterior", "velocity_mm_s", "spacing_mm", "consistency_deviance")
CATEGORIES = ("age_band", "scanner")
OF_THE_MODEL = ("consistency_deviance",)  # says as much of the model as of the scan
COUNT_DIGITS, VELOCITY_STEP, SPACING_STEP, DEVIANCE_STEP = 2, 0.1, 0.05, 0.001


def coarse_deviance(rapid: np.ndarray, restored: np.ndarray, count_ratio: float) -> float | None:
    """Deviance inside the body over all views, 1 for a true picture; the body is found in the rapid scan itself."""
    found = consistency(rapid, restored, count_ratio, body_by_threshold(rapid)).deviance
    return None if math.isnan(found) else stepped(found, DEVIANCE_STEP)


def coarse_counts(counts: float | None) -> float | None:
    return None if counts is None else float(f"{counts:.{COUNT_DIGITS - 1}e}")


def stepped(value: float, step: float) -> float:
    return round(round(value / step) * step, 6)
