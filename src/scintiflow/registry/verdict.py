"""What the gate says: one verdict for each rule, and the decision that follows from all of them."""

from dataclasses import asdict, dataclass
from typing import Any

ABSOLUTE, PAIRED, SUBGROUP = "any model", "against the champion", "no group worse"
NOT_MEASURED = "not measured, and so not passed"


@dataclass(frozen=True)
class Verdict:
    """One rule.

    Attributes:
        group: which of the page's tables it belongs to.
        asked: the rule's margin in words.
        found: the number that was held against it; None where there is none.
        note: interval, p, patients, or why there is no number.
        shown: `found` with its unit in words; '' where `found` speaks for itself.
    """

    group: str
    rule: str
    asked: str
    found: float | None
    passed: bool
    note: str = ""
    shown: str = ""

    @property
    def found_in_words(self) -> str:
        if self.found is None:
            return self.note or self.shown or "–"
        return self.shown or f"{self.found:.4g}".replace("-", "−")

    @property
    def sentence(self) -> str:
        note = f" ({self.note})" if self.note and self.found is not None else ""
        return f"{self.rule}: {self.found_in_words}{note}; asked: {self.asked}"


def not_measured(group: str, rule: str, asked: str, why: str = "") -> Verdict:
    return Verdict(group, rule, asked, None, False, f"{NOT_MEASURED}{f': {why}' if why else ''}")


def counted(number: int, noun: str) -> str:
    """'1 patient', '2 patients'."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Champion:
    """The model to beat. `checkpoint_sha256` is of its f^IR1."""

    name: str
    version: str
    checkpoint_sha256: str


@dataclass(frozen=True)
class Decision:
    """All verdicts; the model passes only if every rule does. `champion` is None for the first model ever."""

    passed: bool
    sentence: str
    champion: Champion | None
    verdicts: tuple[Verdict, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)
