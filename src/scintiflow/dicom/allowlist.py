"""The recursive allow-list: which attributes may survive de-identification, and with which values.

Everything else goes: private groups, overlays, curves, padding, unknown tags, free text. Numbers must
lie in a plausible range and words must stand in a fixed vocabulary, for a number or a code string can
carry an identifier as well as a comment can.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from scintiflow.dicom.attributes import Values


@dataclass(frozen=True)
class Number:
    """One or more numbers from `lowest` to `highest`."""

    lowest: float
    highest: float

    def admits(self, value: object) -> bool:
        try:
            number = float(str(value))
        except ValueError:
            return False
        return math.isfinite(number) and self.lowest <= number <= self.highest


@dataclass(frozen=True)
class Words:
    """One or more words of a vocabulary."""

    vocabulary: frozenset[str]

    def admits(self, value: object) -> bool:
        return str(value) in self.vocabulary


def _words(text: str) -> Words:
    return Words(frozenset(text.split()))


Rule: TypeAlias = "Number | Words | Mapping[str, Rule]"

ALLOWED: Mapping[str, Rule] = {
    "ActualFrameDuration": Number(1, 1e8),
    "ScanLength": Number(1, 5000),
    "CountRate": Number(0, 1e7),
    "TableTraverse": Number(-5000, 5000),
    "WholeBodyTechnique": _words("1PS 2PS PCN MSP"),
    "AcquisitionTerminationCondition": _words("CNTS DENS MANU OVFL TIME TRIG"),
    "CorrectedImage": _words("UNIF COR NCO DECY ATTN SCAT DTIM NRGY LIN MOTN CLN"),
    "EnergyWindowInformationSequence": {
        "EnergyWindowRangeSequence": {
            "EnergyWindowLowerLimit": Number(0, 2000),
            "EnergyWindowUpperLimit": Number(0, 2000),
        },
    },
    "RadiopharmaceuticalInformationSequence": {
        "RadionuclideTotalDose": Number(0, 5000),
    },
    "DetectorInformationSequence": {
        "CollimatorType": _words("PARA PINH FANB CONE SLNT ASTG DIVG NONE UNKN"),
        "RadialPosition": Number(0, 1000),
    },
}


def pruned(dataset: Values, allowed: Mapping[str, Rule] = ALLOWED) -> dict[str, Any]:
    """The allowed attributes of `dataset` by keyword, and nothing else; items of sequences are dicts as well."""
    kept: dict[str, Any] = {}
    for keyword, rule in allowed.items():
        value = dataset.get(keyword)
        if value is None:
            continue
        if not isinstance(rule, Number | Words):
            kept[keyword] = [pruned(item, rule) for item in value]
            continue
        values = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
        if values and all(rule.admits(entry) for entry in values):
            kept[keyword] = values[0] if len(values) == 1 else values
    return kept
