"""Which scans of a cohort somebody needs, and the cohort's record reduced to them."""

from dataclasses import dataclass, replace

from scintiflow.cohorts.ledger import Entry, Ledger
from scintiflow.cohorts.withdrawals import without_withdrawn
from scintiflow.dicom.reasons import Outcome
from scintiflow.errors import ScintiflowError


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to take of a cohort; scans of withdrawn patients are never taken.

    Attributes:
        patients: pseudonyms (P-...); None: of all patients.
        studies: pseudonyms (S-...), as the folders inside a patient's are called; None: all.
        unpaired_only: only scans that wait for a partner.
    """

    patients: frozenset[str] | None = None
    studies: frozenset[str] | None = None
    unpaired_only: bool = False

    def takes(self, entry: Entry) -> bool:
        """Whether a file of the record is wanted. What was set aside or ignored is not, for it has no scan."""
        if not entry.is_kept or entry.path is None:
            return False
        patient, study, _ = entry.path.split("/")
        return (
            (self.patients is None or patient in self.patients)
            and (self.studies is None or study in self.studies)
            and (not self.unpaired_only or entry.outcome == Outcome.UNPAIRED)
        )

    def within(self, record: Ledger) -> "Selection":
        """The same without patients and studies that this cohort does not hold."""
        patients, studies = _held(record)
        return replace(
            self,
            patients=None if self.patients is None else self.patients & patients,
            studies=None if self.studies is None else self.studies & studies,
        )


EVERYTHING = Selection()
UNPAIRED = Selection(unpaired_only=True)


def reduced(record: Ledger, wanted: Selection, withdrawn: frozenset[str]) -> Ledger:
    """The record with what is wanted alone; of `withdrawn` patients it keeps hash and code at most.

    Raises ScintiflowError if a patient or study was asked for that the cohort does not hold, or who is withdrawn.
    """
    without = replace(record, entries=tuple(without_withdrawn(record.entries, withdrawn)))
    _check_held(without, wanted, withdrawn)
    if wanted == EVERYTHING:
        return without
    return replace(without, entries=tuple(entry for entry in without.entries if wanted.takes(entry)))


def patients_of(record: Ledger) -> frozenset[str]:
    """Pseudonyms of the patients whose scans the cohort holds."""
    return _held(record)[0]


def _held(record: Ledger) -> tuple[frozenset[str], frozenset[str]]:
    """Pseudonyms of the patients and of the studies that the cohort holds."""
    parts = [entry.path.split("/") for entry in record.entries if entry.is_kept and entry.path]
    return frozenset(part[0] for part in parts), frozenset(part[1] for part in parts)


def _check_held(record: Ledger, wanted: Selection, withdrawn: frozenset[str]) -> None:
    patients, studies = _held(record)
    gone = (wanted.patients or frozenset()) & withdrawn
    unknown = ((wanted.patients or frozenset()) - patients - gone) | ((wanted.studies or frozenset()) - studies)
    if gone:
        raise ScintiflowError(
            f"{', '.join(sorted(gone)[:5])} withdrew consent",
            where=f"cohort {record.name}",
            remedy="Leave these patients out",
        )
    if unknown:
        raise ScintiflowError(
            f"holds no scan of {', '.join(sorted(unknown)[:5])}",
            where=f"cohort {record.name}",
            remedy="Ask for pseudonyms that are in its cohort.json",
        )
