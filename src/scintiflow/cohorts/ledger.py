"""cohort.json: what became of every file that was ever delivered to a cohort."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scintiflow.dicom.reasons import Notice, Outcome, Reason
from scintiflow.dicom.scan import ScanSummary
from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json

LEDGER = "cohort.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file, known by the SHA-256 of its bytes.

    Attributes:
        sha256: of the file as delivered; '' where there are no bytes to hash (pipes, links, unreadable files).
        outcome: accepted, unpaired, quarantined or ignored.
        code: member of `Reason`, '' if accepted.
        detail: numbers and attribute names only.
        warnings: members of `Notice`.
        path: of the de-identified object inside the cohort; None unless accepted or unpaired.
        object_sha256: of the de-identified object.
        patient_check: mark of birth date and sex, to find two patients who share an ID.
        scan: summary of the de-identified scan; kept for every file that passed the checks of the file itself,
            so that pairing depends on all that was ever delivered.
    """

    sha256: str
    outcome: str
    code: str = ""
    detail: str = ""
    warnings: tuple[str, ...] = ()
    path: str | None = None
    object_sha256: str = ""
    patient_check: str = ""
    scan: ScanSummary | None = None

    def settled(self, reason: Reason) -> "Entry":
        """The same file with `reason` as its outcome."""
        return replace(self, outcome=reason.outcome.value, code=reason.name)

    @property
    def summary(self) -> ScanSummary:
        """`scan` of a file that passed the checks of the file itself."""
        if self.scan is None:
            raise ValueError(f"{self.code}: this file has no scan")
        return self.scan

    @property
    def is_kept(self) -> bool:
        return self.outcome in (Outcome.ACCEPTED, Outcome.UNPAIRED)

    def to_json(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "outcome": self.outcome,
            "code": self.code,
            "detail": self.detail,
            "warnings": list(self.warnings),
            "path": self.path if self.is_kept else None,
            "object_sha256": self.object_sha256,
            "patient_check": self.patient_check,
            "scan": None if self.scan is None else self.scan.to_json(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Entry":
        scan = None if values["scan"] is None else ScanSummary.from_json(values["scan"])
        return cls(**{**values, "scan": scan, "warnings": tuple(values["warnings"])})


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """A cohort's record. `walked` counts the entries; the four outcomes sum to it."""

    name: str
    key_fingerprint: str
    key_is_public: bool
    protocol: dict[str, float]
    entries: tuple[Entry, ...]

    @property
    def outcomes(self) -> dict[str, int]:
        counted = Counter(entry.outcome for entry in self.entries)
        return {outcome.value: counted[outcome.value] for outcome in Outcome}

    def to_json(self) -> dict[str, Any]:
        codes = sorted({entry.code for entry in self.entries if entry.code})
        notices = sorted({warning for entry in self.entries for warning in entry.warnings})
        return {
            "format": FORMAT,
            "name": self.name,
            "identity_key": {
                "fingerprint": self.key_fingerprint,
                "public_demonstration_key": self.key_is_public,
                "note": "pseudonyms made with the published key protect nobody" if self.key_is_public else "",
            },
            "protocol": self.protocol,
            "files": [entry.to_json() for entry in self.entries],
            "outcomes": self.outcomes,
            "walked": len(self.entries),
            "pairs": self.outcomes[Outcome.ACCEPTED] // 2,
            "reasons": {
                code: {
                    "files": sum(entry.code == code for entry in self.entries),
                    "sentence": Reason[code].sentence,
                    "remedy": Reason[code].remedy,
                }
                for code in codes
            },
            "warnings": {name: Notice[name].value for name in notices},
        }


def read_ledger(folder: Path) -> Ledger:
    """The record of the cohort in `folder`. Raises ScintiflowError if it is not a cohort."""
    path = folder / LEDGER
    try:
        values = read_json(path)
        if values["format"] != FORMAT:
            raise ValueError("format")
        return Ledger(
            name=values["name"],
            key_fingerprint=values["identity_key"]["fingerprint"],
            key_is_public=values["identity_key"]["public_demonstration_key"],
            protocol=values["protocol"],
            entries=tuple(Entry.from_json(entry) for entry in values["files"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ScintiflowError(
            f"is not a cohort ({type(error).__name__})",
            where=path,
            remedy="Add the export with `scintiflow cohort add`, or fetch the cohort with `dvc pull`",
        ) from None
