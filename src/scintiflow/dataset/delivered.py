"""What cohorts hold for a data set: every object read, checked and paired, or the reason why it is left out."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from scintiflow.cohorts.ledger import Entry, Ledger, read_ledger
from scintiflow.cohorts.withdrawals import withdrawn_patients
from scintiflow.dataset.shares import Share
from scintiflow.dicom.pairing import Pairing, pair_scans
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Reason, Rejection
from scintiflow.dicom.scan import ScanSummary
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file
from scintiflow.params import IngestParams
from scintiflow.processes import in_processes
from scintiflow.progress import track


@dataclass(frozen=True)
class CohortObject:
    """A de-identified object of a cohort; `reason` if it cannot be used, else `scan`."""

    cohort: str
    path: Path
    shown_path: str
    warnings: tuple[str, ...]
    scan: ScanSummary | None = None
    scanner: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Delivered:
    """What the cohorts hold: objects that cannot be used, those that can by their instance UID, and their pairs."""

    ledgers: list[Ledger]
    refused: list[CohortObject]
    of_scan: dict[str, CohortObject]
    pairing: Pairing


_Item: TypeAlias = "tuple[Path, str, str, Entry | None]"


def read_cohorts(cohorts: list[Path], params: IngestParams, workers: int, share: Share | None = None) -> Delivered:
    """Read and pair the scans of all patients, or of a share of them.

    Raises ScintiflowError if a folder is not a cohort, or an object was altered since it was added.
    """
    ledgers = [(folder, read_ledger(folder)) for folder in cohorts]
    withdrawn = frozenset(patient for folder in cohorts for patient in withdrawn_patients(folder.parent))
    items = [item for folder, ledger in ledgers for item in _objects(folder, ledger)]
    if share is not None:
        items = [item for item in items if (patient := _patient(item)) and share.holds(patient)]
    to_read = [item for item in items if _patient(item) not in withdrawn]
    read = in_processes(_read, to_read, workers, "ingest", preload=__name__)
    objects = _without_copies(list(track(read, "reading cohorts", len(to_read))))
    objects += [_withheld(item) for item in items if _patient(item) in withdrawn]
    of_scan = {found.scan.instance_uid: found for found in objects if found.scan is not None and not found.reason}
    overruled = {uid: reasons for _, ledger in ledgers for uid, reasons in ledger.overruled_scans.items()}
    pairing = pair_scans([found.scan for found in of_scan.values() if found.scan], params.protocol, overruled)
    refused = [found for found in objects if found.reason]
    return Delivered([ledger for _, ledger in ledgers], refused, of_scan, pairing)


def _objects(folder: Path, ledger: Ledger) -> list[_Item]:
    """(path, path inside the cohort, cohort, entry or None where the cohort does not know the file)."""
    known = {entry.path: entry for entry in ledger.entries if entry.is_kept and entry.path}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix == ".dcm"}
    return [(folder / path, path, ledger.name, known.get(path)) for path in sorted(present | set(known))]


def _patient(item: _Item) -> str:
    """Pseudonym; '' where the cohort does not know the file."""
    entry = item[3]
    return entry.scan.patient if entry is not None and entry.scan is not None else ""


def _withheld(item: _Item) -> CohortObject:
    """An object of a withdrawn patient; its path would name the patient."""
    path, shown, cohort, _ = item
    return CohortObject(cohort, path, _hidden("withdrawn", shown), (), reason=Reason.WITHDRAWN.name)


def _hidden(what: str, path: str) -> str:
    return f"{what}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"


def _read(item: _Item) -> CohortObject:
    path, shown, cohort, entry = item
    if entry is None:  # its name may be a patient's: only a hash of it is shown
        return CohortObject(cohort, path, _hidden("unknown", shown), (), reason=Reason.NOT_DEIDENTIFIED.name)
    if not path.is_file() or sha256_file(path) != entry.object_sha256:
        raise ScintiflowError(
            "is missing or was altered since it was added",
            where=path,
            remedy="Fetch the cohort again with `dvc pull`",
        )
    try:
        scan = read_scan(path)
    except Rejection as rejection:
        return CohortObject(cohort, path, shown, entry.warnings, reason=rejection.code)
    if not scan.identity_removed:
        return CohortObject(cohort, path, shown, entry.warnings, reason=Reason.NOT_DEIDENTIFIED.name)
    return CohortObject(cohort, path, shown, entry.warnings, scan=scan.summary(), scanner=scan.scanner)


def _without_copies(objects: list[CohortObject]) -> list[CohortObject]:
    """An object that two cohorts hold counts once."""
    seen: set[str] = set()
    settled = []
    for found in sorted(objects, key=lambda found: (found.cohort, found.shown_path)):
        uid = found.scan.instance_uid if found.scan else ""
        copy = uid in seen
        twice = CohortObject(found.cohort, found.path, found.shown_path, (), reason=Reason.DUPLICATE.name)
        settled.append(twice if copy else found)
        if uid:
            seen.add(uid)
    return settled
