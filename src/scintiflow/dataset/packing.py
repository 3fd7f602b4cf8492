"""Cohorts in, data set out: one packed file for each pair, the manifest, and what was left out and why.

`dataset/` is a function of the cohorts' content and the parameters alone: repeated, with any number of
workers, it comes out byte for byte the same. It appears whole or not at all.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from scintiflow import progress
from scintiflow.cohorts.ledger import Entry, Ledger, read_ledger
from scintiflow.cohorts.withdrawals import withdrawn_patients
from scintiflow.dataset.manifest import STUDIES, save_manifest
from scintiflow.dataset.registration import Registration, register_pair
from scintiflow.dataset.split import check_split_sizes, patients_per_split, split_of
from scintiflow.dataset.study import VIEWS, Pair, save_pair
from scintiflow.dicom.pairing import ScanPair, pair_scans
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Notice, Outcome, Reason, Rejection
from scintiflow.dicom.scan import ScanSummary
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, whole_folder, write_json
from scintiflow.params import IngestParams

LARGEST_USUAL_ROTATION = 5.0  # degrees; beyond it, or half of largest_shift_mm, a pair is marked
QUARANTINE = "quarantine.json"
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class PackingReport:
    """`numbers` is what the stage reports: flat, finite, comparable between runs."""

    dataset: Path
    numbers: dict[str, float]


@dataclass(frozen=True)
class _Object:
    """A de-identified object of a cohort; `reason` if it cannot be used, else `scan`."""

    cohort: str
    path: Path
    shown_path: str
    warnings: tuple[str, ...]
    scan: ScanSummary | None = None
    scanner: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Job:
    pair: ScanPair
    rapid: _Object
    standard: _Object
    params: IngestParams
    studies: Path


def pack_cohorts(
    cohorts: list[Path], params: IngestParams, dataset: Path, *, workers: int | None = None
) -> PackingReport:
    """Pair and pack the scans of `cohorts` (folders written by `add_cohort`) into the folder `dataset`.

    Patients on the list of the withdrawn beside a cohort are left out, even where the cohort still holds them.

    Raises ScintiflowError if a folder is not a cohort, an object was altered since it was added, or a split
    has fewer patients than the parameters ask for.
    """
    ledgers = [(folder, read_ledger(folder)) for folder in cohorts]
    workers = workers or os.cpu_count() or 1
    withdrawn = frozenset(patient for folder in cohorts for patient in withdrawn_patients(folder.parent))
    items = [item for folder, ledger in ledgers for item in _objects(folder, ledger)]
    to_read = [item for item in items if _patient(item) not in withdrawn]
    objects = _without_copies(list(_mapped(_read, to_read, workers, "reading cohorts")))
    objects += [_withheld(item) for item in items if _patient(item) in withdrawn]
    of_scan = {found.scan.instance_uid: found for found in objects if found.scan is not None and not found.reason}
    overruled = {uid: reasons for _, ledger in ledgers for uid, reasons in ledger.overruled_scans.items()}
    pairing = pair_scans([found.scan for found in of_scan.values() if found.scan], params.protocol, overruled)
    left_out = [_left_out(found, Reason[found.reason]) for found in objects if found.reason]
    left_out += [_left_out(of_scan[uid], reason) for uid, reason in pairing.reasons.items()]
    with whole_folder(dataset) as folder:
        (folder / STUDIES).mkdir()
        jobs = [
            _Job(
                pair, of_scan[pair.rapid.instance_uid], of_scan[pair.standard.instance_uid], params, folder / STUDIES
            )
            for pair in pairing.pairs
        ]
        rows: list[dict] = []
        for job, row in zip(jobs, _mapped(_pack, jobs, workers, "registering and packing pairs"), strict=True):
            if row is None:
                left_out += [_left_out(found, Reason.PAIR_MISREGISTERED) for found in (job.rapid, job.standard)]
            else:
                rows.append(row)
        sizes = patients_per_split((row["patient"] for row in rows), params.split)
        check_split_sizes(sizes, params.split)
        save_manifest(folder, rows)
        write_json(folder / QUARANTINE, sorted(left_out, key=lambda entry: (entry["cohort"], entry["object"])))
    return PackingReport(dataset, _numbers(ledgers, rows, left_out, sizes))


def study_name(pair: ScanPair) -> str:
    """Pseudonym of a pair: the same pair has the same name in every data set."""
    digest = hashlib.sha256(f"{pair.rapid.instance_uid}\0{pair.standard.instance_uid}".encode()).hexdigest()
    return f"S-{digest[:16]}"


_Item: TypeAlias = "tuple[Path, str, str, Entry | None]"


def _objects(folder: Path, ledger: Ledger) -> list[_Item]:
    """(path, path inside the cohort, cohort, entry or None where the cohort does not know the file)."""
    known = {entry.path: entry for entry in ledger.entries if entry.is_kept and entry.path}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix == ".dcm"}
    return [(folder / path, path, ledger.name, known.get(path)) for path in sorted(present | set(known))]


def _patient(item: _Item) -> str:
    """Pseudonym; '' where the cohort does not know the file."""
    entry = item[3]
    return entry.scan.patient if entry is not None and entry.scan is not None else ""


def _withheld(item: _Item) -> _Object:
    """An object of a withdrawn patient; its path would name the patient."""
    path, shown, cohort, _ = item
    return _Object(cohort, path, _hidden("withdrawn", shown), (), reason=Reason.WITHDRAWN.name)


def _hidden(what: str, path: str) -> str:
    return f"{what}-{hashlib.sha256(path.encode()).hexdigest()[:16]}"


def _read(item: _Item) -> _Object:
    path, shown, cohort, entry = item
    if entry is None:  # its name may be a patient's: only a hash of it is shown
        return _Object(cohort, path, _hidden("unknown", shown), (), reason=Reason.NOT_DEIDENTIFIED.name)
    if not path.is_file() or sha256_file(path) != entry.object_sha256:
        raise ScintiflowError(
            "is missing or was altered since it was added",
            where=path,
            remedy="Fetch the cohort again with `dvc pull`",
        )
    try:
        scan = read_scan(path)
    except Rejection as rejection:
        return _Object(cohort, path, shown, entry.warnings, reason=rejection.code)
    if not scan.identity_removed:
        return _Object(cohort, path, shown, entry.warnings, reason=Reason.NOT_DEIDENTIFIED.name)
    return _Object(cohort, path, shown, entry.warnings, scan=scan.summary(), scanner=scan.scanner)


def _without_copies(objects: list[_Object]) -> list[_Object]:
    """An object that two cohorts hold counts once."""
    seen: set[str] = set()
    settled = []
    for found in sorted(objects, key=lambda found: (found.cohort, found.shown_path)):
        uid = found.scan.instance_uid if found.scan else ""
        copy = uid in seen
        settled.append(_Object(found.cohort, found.path, found.shown_path, (), reason="DUPLICATE") if copy else found)
        if uid:
            seen.add(uid)
    return settled


def _pack(job: _Job) -> dict | None:
    """Register and write one pair; its manifest row, or None if the scans lie too far apart."""
    rapid, standard = read_scan(job.rapid.path).counts, read_scan(job.standard.path).counts
    registered = register_pair(rapid, standard)
    farthest = max(np.hypot(view.row_shift, view.column_shift) for view in registered) * job.pair.rapid.spacing_mm
    if farthest > job.params.largest_shift_mm:
        return None
    unusual = farthest > job.params.largest_shift_mm / 2 or any(
        abs(view.rotation) > LARGEST_USUAL_ROTATION for view in registered
    )
    study = study_name(job.pair)
    target = job.studies / f"{study}.npz"
    save_pair(target, Pair(rapid=rapid, standard=standard))
    return {**_identity(job, study, unusual), **_measured(job.pair, registered), "file_sha256": sha256_file(target)}


def _identity(job: _Job, study: str, unusual: bool) -> dict:
    pair = job.pair
    age = pair.standard.age_years
    warnings = {*pair.warnings, *job.rapid.warnings, *job.standard.warnings}
    if unusual:
        warnings.add(Notice.PAIR_REGISTRATION.name)
    return {
        "study": study,
        "patient": pair.standard.patient,
        "cohort": job.standard.cohort,
        "split": split_of(pair.standard.patient, job.params.split),
        "age_years": float("nan") if age is None else age,
        "scanner": job.standard.scanner,
        "warnings": " ".join(sorted(warnings)),
    }


def _measured(pair: ScanPair, registered: tuple[Registration, ...]) -> dict:
    row = {
        "spacing_mm": pair.rapid.spacing_mm,
        "rapid_velocity_mm_s": pair.rapid.velocity_mm_s,
        "standard_velocity_mm_s": pair.standard.velocity_mm_s,
        "count_ratio": pair.count_ratio,
        "rapid_counts_sha256": pair.rapid.counts_sha256,
        "standard_counts_sha256": pair.standard.counts_sha256,
    }
    for view, (name, found) in enumerate(zip(VIEWS, registered, strict=True)):
        row[f"rapid_counts_{name}"] = pair.rapid.counts_per_view[view]
        row[f"standard_counts_{name}"] = pair.standard.counts_per_view[view]
        row[f"row_shift_{name}"], row[f"column_shift_{name}"] = found.row_shift, found.column_shift
        row[f"rotation_{name}"], row[f"residual_{name}"] = found.rotation, found.residual
    return row


def _left_out(found: _Object, reason: Reason) -> dict[str, str]:
    return {
        "cohort": found.cohort,
        "object": found.shown_path,
        "outcome": reason.outcome.value,
        "code": reason.name,
        "sentence": reason.sentence,
        "remedy": reason.remedy,
    }


def _numbers(
    ledgers: list[tuple[Path, Ledger]], rows: list[dict], left_out: list[dict[str, str]], sizes: dict[str, int]
) -> dict[str, float]:
    numbers: dict[str, float] = {f"delivered_{outcome.value}": 0.0 for outcome in Outcome}
    for _, ledger in ledgers:
        for outcome, files in ledger.outcomes.items():
            numbers[f"delivered_{outcome}"] += files
    numbers["scans_packed"] = 2.0 * len(rows)
    by_outcome = Counter(entry["outcome"] for entry in left_out)
    for outcome in (Outcome.UNPAIRED, Outcome.QUARANTINED, Outcome.IGNORED):
        numbers[f"scans_{outcome.value}"] = float(by_outcome[outcome.value])
    for code, files in sorted(Counter(entry["code"] for entry in left_out).items()):
        numbers[f"reason_{code}"] = float(files)
    numbers["pairs"] = float(len(rows))
    numbers |= {f"patients_{split}": float(size) for split, size in sizes.items()}
    shifts = [
        np.hypot(row[f"row_shift_{view}"], row[f"column_shift_{view}"]) * row["spacing_mm"]
        for row in rows
        for view in VIEWS
    ]
    if shifts:
        numbers["shift_mm_median"], numbers["shift_mm_largest"] = float(np.median(shifts)), float(np.max(shifts))
        numbers["rotation_degrees_largest"] = float(
            max(abs(row[f"rotation_{view}"]) for row in rows for view in VIEWS)
        )
        numbers["warned_pairs"] = float(sum(bool(row["warnings"]) for row in rows))
    return numbers


def _mapped(function: Callable[[T], R], items: list[T], workers: int, label: str) -> Iterator[R]:
    """`function` of each item, in order, over `workers` processes, showing progress."""
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(function, progress.track(items, label))
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers, mp_context=context) as pool, progress.work(label, len(items)) as bar:
        for result in pool.map(function, items):
            bar.advance()
            yield result
