"""Restored scans against the training cohort: one test for each feature, one verdict for all.

- Numbers: Kolmogorov-Smirnov, two samples. Effect: its statistic D.
- Categories: chi-square of the 2 x n table, its chance by simulating tables with the same margins, because scanners
  with a handful of scans are common. Effect: total variation, half the sum of the differences of the shares.
- Ranges, where training drew a feature over one. Effect: the share of scans outside. Its chance: of so many or
  more if one scan in a hundred lies outside for whatever reason.
- All together: Holm's correction, so that the chance of a false alarm in one comparison, whatever the number of
  features, is at most `significance`.
- Both effects are 0 for equal and 1 for disjoint distributions. With enough scans any difference becomes certain;
  only one that is certain and large is called drift (thresholds: our design, `params.yaml`, section `watch`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from scintiflow.drift.features import CATEGORIES, NUMBERS, OF_THE_MODEL
from scintiflow.drift.statistics import ScanStatistics, column
from scintiflow.drift.verdict import DRIFT, NO_DRIFT, TOO_FEW
from scintiflow.params import WatchParams

EXIT_CODES = {NO_DRIFT: 0, DRIFT: 3, TOO_FEW: 4}
SIMULATED_TABLES = 9999
ALLOWED_OUTSIDE = 0.01  # share of scans


class TrainedRange(NamedTuple):
    """What training drew a feature over, both ends included."""

    lowest: float
    highest: float

    def holds(self, value: float) -> bool:
        return self.lowest <= value <= self.highest


@dataclass(frozen=True)
class FeatureTest:
    """One feature.

    Attributes:
        effect: 0 = the same distribution, 1 = nothing in common.
        chance: p value; `corrected`: by Holm over all features that were tested.
        drifted: certain and large.
        new, trained: values of both samples (numbers), or scans by category; `trained` may be a TrainedRange.
    """

    feature: str
    effect: float
    chance: float
    corrected: float
    drifted: bool
    new: Any
    trained: Any


@dataclass(frozen=True)
class Verdict:
    """`verdict` is DRIFT, NO_DRIFT or TOO_FEW; `untested` says of features why they were left out."""

    verdict: str
    scans: int
    first_day: str
    last_day: str
    tests: tuple[FeatureTest, ...]
    untested: dict[str, str]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(test.feature for test in self.tests if test.drifted)


def compare(
    rows: Sequence[ScanStatistics], trained: dict[str, Any], params: WatchParams, model_sha256: str = ""
) -> Verdict:
    """Test every feature of the restored scans against the training cohort (`drift.cohort.training_cohort`).

    Args:
        model_sha256: what depends on the model is compared for scans that this one restored; '' = for all.
    """
    days = sorted(row.day for row in rows)
    span = (days[0], days[-1]) if days else ("", "")
    if len(rows) < params.smallest_scans:
        return Verdict(TOO_FEW, len(rows), *span, (), {})
    raw: list[tuple[str, float, float, Any, Any]] = []
    untested: dict[str, str] = {}
    ranges = {name: TrainedRange(*bounds) for name, bounds in trained.get("ranges", {}).items()}
    for feature in (*NUMBERS, *CATEGORIES):
        own = [row for row in rows if feature not in OF_THE_MODEL or row.model_sha256.startswith(model_sha256)]
        new, old = column(own, feature), trained["numbers" if feature in NUMBERS else "categories"][feature]
        known = len(old) if feature in NUMBERS else sum(old.values())
        if feature in ranges and len(new) >= params.smallest_scans:
            raw.append((feature, *_outside(new, ranges[feature]), sorted(new), ranges[feature]))
        elif not known and feature not in ranges:
            untested[feature] = "the model's training says nothing of it"
        elif not known or len(new) < min(params.smallest_scans, known):
            untested[feature] = f"{len(new)} scans against {known or 'a range'}"
        elif feature in NUMBERS:
            raw.append((feature, *_numbers(new, old), sorted(new), old))
        else:
            counted = dict(sorted(Counter(new).items()))
            raw.append((feature, *_categories(counted, old), counted, old))
    corrected = holm([chance for _, _, chance, _, _ in raw])
    tests = tuple(
        FeatureTest(feature, effect, chance, holds, _is_drift(holds, effect, params), new, old)
        for (feature, effect, chance, new, old), holds in zip(raw, corrected, strict=True)
    )
    verdict = DRIFT if any(test.drifted for test in tests) else NO_DRIFT
    return Verdict(verdict, len(rows), *span, tests, untested)


def holm(chances: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979), in the order given."""
    corrected, largest = [1.0] * len(chances), 0.0
    for rank, place in enumerate(np.argsort(chances, kind="stable")):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = largest
    return corrected


def _is_drift(corrected: float, effect: float, params: WatchParams) -> bool:
    return corrected <= params.significance and effect >= params.smallest_effect


def _numbers(new: list[float], old: list[float]) -> tuple[float, float]:
    found = stats.ks_2samp(new, old)
    return float(found.statistic), float(found.pvalue)


def _outside(new: list[float], trained: TrainedRange) -> tuple[float, float]:
    outside = sum(not trained.holds(value) for value in new)
    return outside / len(new), float(stats.binom.sf(outside - 1, len(new), ALLOWED_OUTSIDE))


def _categories(new: dict[str, int], old: dict[str, int]) -> tuple[float, float]:
    """Total variation and the chance of a chi-square as large, over 9,999 tables with the same margins."""
    names = sorted({*new, *old})
    table = np.array([[counts.get(name, 0) for name in names] for counts in (new, old)])
    shares = table / table.sum(axis=1, keepdims=True)
    effect = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if len(names) == 1:
        return 0.0, 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    simulated = stats.random_table(table.sum(axis=1), table.sum(axis=0)).rvs(
        SIMULATED_TABLES, random_state=np.random.default_rng(0)
    )
    as_large = _chi_square(simulated, expected) >= _chi_square(table, expected) * (1 - 1e-9)
    return effect, float((1 + as_large.sum()) / (1 + SIMULATED_TABLES))


def _chi_square(tables: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return ((tables - expected) ** 2 / expected).sum(axis=(-2, -1))
