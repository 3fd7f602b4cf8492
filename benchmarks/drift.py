"""How often does `scintiflow drift` raise an alarm: for nothing, and for shifts of a known size?

    python benchmarks/drift.py [--comparisons 200] [--trained 137]

Each comparison draws a training cohort and restored scans anew. Counts are log-normal with a standard deviation of
35%, as among children of all ages; ages and scanners are drawn from fixed shares; nothing else varies. The settings
are those of `params.yaml`. Prints a Markdown table.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scintiflow.drift.comparison import DRIFT, compare
from scintiflow.drift.features import CATEGORIES, NUMBERS, coarse_counts
from scintiflow.drift.statistics import ScanStatistics
from scintiflow.params import load_params

AGES = ("under 2 years", "2 to 5 years", "6 to 11 years", "12 years and over")
SCANNERS = ("Siemens Symbia", "GE Discovery", "Mediso AnyScan")
SIZES = (20, 50, 100)


@dataclass(frozen=True)
class Shift:
    """What is different today; `new_scanner` is the share of scans from one that training did not have."""

    name: str
    counts: float = 1.0
    new_scanner: float = 0.0


SHIFTS = (
    Shift("none"),
    Shift("counts x 1.3", counts=1.3),
    Shift("counts x 1.5", counts=1.5),
    Shift("counts x 2", counts=2.0),
    Shift("half of the scans from a new scanner", new_scanner=0.5),
)


def drawn(number: int, shift: Shift, generator: np.random.Generator) -> Iterator[ScanStatistics]:
    for _ in range(number):
        emitted = shift.counts * generator.lognormal(np.log(350_000), 0.35)
        is_new = generator.random() < shift.new_scanner
        yield ScanStatistics(
            day="2026-01-01",
            model="scintiflow 1",
            model_sha256="",
            counts_anterior=coarse_counts(emitted),
            counts_posterior=coarse_counts(emitted * generator.normal(1.1, 0.05)),
            velocity_mm_s=6.7,
            spacing_mm=2.4,
            consistency_deviance=float(generator.normal(0.99, 0.01)),
            age_band=str(generator.choice(AGES, p=(0.2, 0.3, 0.3, 0.2))),
            scanner="another" if is_new else str(generator.choice(SCANNERS, p=(0.6, 0.3, 0.1))),
        )


def cohort_of(rows: list[ScanStatistics]) -> dict:
    return {
        "studies": len(rows),
        "numbers": {name: sorted(getattr(row, name) for row in rows) for name in NUMBERS},
        "categories": {name: dict(Counter(getattr(row, name) for row in rows)) for name in CATEGORIES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--trained", type=int, default=137)
    options = parser.parse_args()
    params = load_params(Path(__file__).parents[1] / "params.yaml").watch
    print("| shift | " + " | ".join(f"{size} scans" for size in SIZES) + " |\n|" + "---|" * (1 + len(SIZES)))
    for number, shift in enumerate(SHIFTS):
        shares = []
        for size in SIZES:
            generator = np.random.default_rng([number, size])
            found = 0
            for _ in range(options.comparisons):
                trained = cohort_of(list(drawn(options.trained, Shift("none"), generator)))
                found += compare(list(drawn(size, shift, generator)), trained, params).verdict == DRIFT
            shares.append(f"{found}/{options.comparisons}")
        print(f"| {shift.name} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
