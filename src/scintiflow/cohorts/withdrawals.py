"""Patients whose data were withdrawn: one list for all cohorts, tracked by git, obeyed by every later delivery.

The list holds pseudonyms. What a record keeps of a withdrawn patient is the SHA-256 of the delivered files and the
code WITHDRAWN, so that the same export may come again and stays without the patient.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from scintiflow.cohorts.ledger import Entry
from scintiflow.dicom.reasons import Reason
from scintiflow.errors import ScintiflowError
from scintiflow.files import write_json

LIST = "withdrawn.json"  # beside the cohorts


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """`patient`: pseudonym; `by`: member of staff who was asked; `on`: day (ISO 8601)."""

    patient: str
    by: str
    on: str


def read_withdrawals(cohorts: Path) -> tuple[Withdrawal, ...]:
    """The list in the folder of the cohorts, by pseudonym; () if there is none yet."""
    path = cohorts / LIST
    if not path.exists():
        return ()
    try:
        return parse_withdrawals(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise _unreadable(path) from error


def withdrawn_patients(cohorts: Path) -> frozenset[str]:
    """Their pseudonyms."""
    return frozenset(withdrawal.patient for withdrawal in read_withdrawals(cohorts))


def record_withdrawal(cohorts: Path, withdrawal: Withdrawal) -> None:
    """Add to the list; a patient's first withdrawal stands."""
    known = {earlier.patient: earlier for earlier in read_withdrawals(cohorts)}
    known.setdefault(withdrawal.patient, withdrawal)
    write_json(cohorts / LIST, [asdict(known[patient]) for patient in sorted(known)])


def without_withdrawn(entries: Iterable[Entry], patients: frozenset[str]) -> list[Entry]:
    """`entries` with those of `patients` reduced to hash and code."""
    return [
        Entry(sha256=entry.sha256, outcome="").settled(Reason.WITHDRAWN)
        if entry.scan is not None and entry.scan.patient in patients
        else entry
        for entry in entries
    ]


def parse_withdrawals(text: str, where: str | Path) -> tuple[Withdrawal, ...]:
    """The list in the text of a withdrawn.json. Raises ScintiflowError that names `where` if it is none."""
    try:
        return tuple(Withdrawal(**values) for values in json.loads(text))
    except (TypeError, ValueError):
        raise _unreadable(where) from None


def _unreadable(where: str | Path) -> ScintiflowError:
    return ScintiflowError(
        "the list of withdrawn patients cannot be read",
        where=where,
        remedy="Restore it with git; nothing is added before it can be read",
    )
