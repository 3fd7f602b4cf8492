"""What the model learned from, in the same terms as restored scans: written by evaluation, carried by the model.

No child can be read from it: every feature is a list of its own in rising order, as coarse as the features of
restored scans, and nothing says which values belong together.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scintiflow.dataset.manifest import Dataset
from scintiflow.drift.features import (
    CATEGORIES,
    NUMBERS,
    SPACING_STEP,
    VELOCITY_STEP,
    coarse_counts,
    stepped,
)
from scintiflow.errors import ScintiflowError
from scintiflow.evaluation.columns import age_band
from scintiflow.files import read_json

TRAINING_COHORT = "training_cohort.json"
WEIGHTS = "checkpoint_sha256"  # whose deviances these are, where the file lies beside weights that may change
HELD_OUT = ("validation", "test")


def training_cohort(dataset: Dataset, held_out: Sequence[float | None]) -> dict[str, Any]:
    """Every feature over the whole data set; the deviance over its held-out patients alone.

    On patients that it learned from, a model may agree with the counts better than it does on others.

    Args:
        held_out: `features.coarse_deviance` of each scan of `HELD_OUT`, restored by the model, in any order.

    Returns `{"studies", "numbers": {feature: rising values}, "categories": {feature: {category: studies}}}`.
    Raises ValueError for more or fewer deviances than there are such scans.
    """
    table = dataset.table
    expected = int(table["split"].isin(HELD_OUT).sum())
    if len(held_out) != expected:
        raise ValueError(f"{len(held_out)} deviances of {expected} held-out scans")
    numbers: dict[str, list[float | None]] = {
        "counts_anterior": [coarse_counts(float(value)) for value in table["rapid_counts_anterior"]],
        "counts_posterior": [coarse_counts(float(value)) for value in table["rapid_counts_posterior"]],
        "velocity_mm_s": [stepped(float(value), VELOCITY_STEP) for value in table["rapid_velocity_mm_s"]],
        "spacing_mm": [stepped(float(value), SPACING_STEP) for value in table["spacing_mm"]],
        "consistency_deviance": list(held_out),
    }
    categories = {
        "age_band": [age_band(float(years)) for years in table["age_years"]],
        "scanner": [str(scanner) for scanner in table["scanner"]],
    }
    return {
        "studies": len(table),
        "numbers": {name: sorted(value for value in numbers[name] if value is not None) for name in NUMBERS},
        "categories": {name: dict(sorted(Counter(categories[name]).items())) for name in CATEGORIES},
    }


def ranges_cohort(studies: int, ranges: dict[str, tuple[float, ...]], deviances: list[float]) -> dict[str, Any]:
    """The same for a model whose training drew features over ranges: `{feature: (lowest, highest)}`.

    `deviances` are those of held-out children. Features without range or values are not compared.
    """
    numbers: dict[str, list[float]] = {name: [] for name in NUMBERS} | {"consistency_deviance": sorted(deviances)}
    return {
        "studies": studies,
        "numbers": numbers,
        "categories": {name: {} for name in CATEGORIES},
        "ranges": {name: list(bounds) for name, bounds in sorted(ranges.items())},
    }


def read_training_cohort(path: Path) -> dict[str, Any]:
    """What `training_cohort` or `ranges_cohort` gave. Raises ScintiflowError if the file does not hold it."""
    try:
        found = read_json(path)
        if set(found["numbers"]) == set(NUMBERS) and set(found["categories"]) == set(CATEGORIES):
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ScintiflowError(
        "holds no statistics of a training cohort",
        where=path,
        remedy=f"Name the {TRAINING_COHORT} that the stage evaluate writes, or a model registered with it",
    )
