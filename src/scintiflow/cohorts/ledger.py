"""cohort.json: what became of every file that was ever delivered to a cohort."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from scintiflow.dicom.reasons import Notice, Outcome, Reason
from scintiflow.dicom.scan import ScanSummary
from scintiflow.errors import ScintiflowError

LEDGER = "cohort.json"
FORMAT = 2  # 2 added joined_from and overrides; 1 can still be read


@dataclass(frozen=True, kw_only=True)
class Override:
    """A named person's decision on a quarantined file; never removed.

    Attributes:
        sha256: of the quarantined file.
        code: the reason for which it had been set aside.
        by, reason, on: who decided, why, and on which day (ISO 8601).
        mended_sha256: of the file that replaces it; '' if the check itself was overruled.
    """

    sha256: str
    code: str
    by: str
    reason: str
    on: str
    mended_sha256: str = ""


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
        joined_from: SHA-256 of the anterior and the posterior file if a scan came in two; both entries then
            describe the joined object. Else ().
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
    joined_from: tuple[str, ...] = ()
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
            "joined_from": list(self.joined_from),
            "object_sha256": self.object_sha256,
            "patient_check": self.patient_check,
            "scan": None if self.scan is None else self.scan.to_json(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Entry":
        scan = None if values["scan"] is None else ScanSummary.from_json(values["scan"])
        tuples = {name: tuple(values.get(name, ())) for name in ("warnings", "joined_from")}
        return cls(**{**values, **tuples, "scan": scan})


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """A cohort's record. `walked` counts the entries; the four outcomes sum to it."""

    name: str
    key_fingerprint: str
    key_is_public: bool
    protocol: dict[str, float]
    entries: tuple[Entry, ...]
    overrides: tuple[Override, ...] = ()

    @property
    def pairs(self) -> int:
        accepted = {entry.path for entry in self.entries if entry.outcome == Outcome.ACCEPTED}
        return len(accepted) // 2

    @property
    def overruled_files(self) -> dict[str, tuple[str, ...]]:
        """Codes that named persons have overruled, by the file's SHA-256."""
        return overruled_codes(self.overrides)

    @property
    def overruled_scans(self) -> dict[str, frozenset[Reason]]:
        """Reasons that named persons have overruled, by the scan's instance UID."""
        return overruled_scans(self.entries, self.overrides)

    @property
    def outcomes(self) -> dict[str, int]:
        counted = Counter(entry.outcome for entry in self.entries)
        return {outcome.value: counted[outcome.value] for outcome in Outcome}

    @cached_property
    def sha256(self) -> str:
        """Of the text of cohort.json."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def text(self) -> str:
        """The text of cohort.json: `to_json` with sorted keys, and each file on a line of its own."""
        record = self.to_json()
        lines = ",\n".join(f"    {_line(file)}" for file in record.pop("files"))
        others = json.dumps(record, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        return '{\n  "files": [\n' + lines + "\n  ]," + others[1:] + "\n"  # "files" comes first

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
            "pairs": self.pairs,
            "overrides": [asdict(override) for override in self.overrides],
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


def _line(file: dict[str, Any]) -> str:
    return json.dumps(file, sort_keys=True, allow_nan=False, ensure_ascii=False)


def overruled_codes(overrides: Iterable[Override]) -> dict[str, tuple[str, ...]]:
    codes: dict[str, tuple[str, ...]] = {}
    for override in overrides:
        if not override.mended_sha256:
            codes[override.sha256] = (*codes.get(override.sha256, ()), override.code)
    return codes


def overruled_scans(entries: Iterable[Entry], overrides: Iterable[Override]) -> dict[str, frozenset[Reason]]:
    of_file = overruled_codes(overrides)
    found: dict[str, frozenset[Reason]] = {}
    for entry in entries:
        if entry.scan is not None and entry.sha256 in of_file:
            reasons = frozenset(Reason[code] for code in of_file[entry.sha256])
            found[entry.scan.instance_uid] = found.get(entry.scan.instance_uid, frozenset()) | reasons
    return found


def read_ledger(folder: Path) -> Ledger:
    """The record of the cohort in `folder`. Raises ScintiflowError if it is not a cohort."""
    path = folder / LEDGER
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _not_a_cohort(path, error) from None
    return parse_ledger(content, path)


def parse_ledger(content: bytes, where: str | Path) -> Ledger:
    """The record in the bytes of a cohort.json. Raises ScintiflowError that names `where` if they are none."""
    try:
        values = json.loads(content)
        if not 1 <= values["format"] <= FORMAT:
            raise ValueError("format")
        return Ledger(
            name=values["name"],
            key_fingerprint=values["identity_key"]["fingerprint"],
            key_is_public=values["identity_key"]["public_demonstration_key"],
            protocol=values["protocol"],
            entries=tuple(Entry.from_json(entry) for entry in values["files"]),
            overrides=tuple(Override(**override) for override in values.get("overrides", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_cohort(where, error) from None


def _not_a_cohort(where: str | Path, error: Exception) -> ScintiflowError:
    return ScintiflowError(
        f"is not a cohort ({type(error).__name__})",
        where=where,
        remedy="Add the export with `scintiflow cohort add`, or fetch the cohort with `dvc pull`",
    )
