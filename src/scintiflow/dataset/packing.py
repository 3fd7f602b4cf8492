"""Cohorts in, data set out: one packed file for each pair, the manifest, and what was left out and why.

`dataset/` is a function of the cohorts' content and the parameters alone: repeated, with any number of
workers, it comes out byte for byte the same. It appears whole or not at all.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from scintiflow.cohorts.ledger import Ledger
from scintiflow.dataset.delivered import CohortObject, Delivered, read_cohorts
from scintiflow.dataset.manifest import STUDIES, save_manifest
from scintiflow.dataset.prepared import Preparation
from scintiflow.dataset.registration import Registration, register_pair
from scintiflow.dataset.shares import Share
from scintiflow.dataset.split import check_split_sizes, patients_per_split, split_of
from scintiflow.dataset.study import VIEWS, Pair
from scintiflow.dicom.pairing import ScanPair
from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Notice, Outcome, Reason
from scintiflow.files import sha256_file, whole_file, whole_folder, write_json
from scintiflow.keyed_store import KeyedStore
from scintiflow.params import IngestParams
from scintiflow.processes import in_processes
from scintiflow.progress import track

LARGEST_USUAL_ROTATION = 5.0  # degrees; beyond it, or half of largest_shift_mm, a pair is marked
QUARANTINE = "quarantine.json"
R = TypeVar("R")


@dataclass(frozen=True)
class PackingReport:
    """`numbers` is what the stage reports: flat, finite, comparable between runs."""

    dataset: Path
    numbers: dict[str, float]


@dataclass(frozen=True)
class _Job:
    pair: ScanPair
    rapid: CohortObject
    standard: CohortObject
    preparation: Preparation

    @property
    def hashes(self) -> tuple[str, str]:
        return self.pair.rapid.counts_sha256, self.pair.standard.counts_sha256

    def read(self) -> Pair:
        return Pair(rapid=read_scan(self.rapid.path).counts, standard=read_scan(self.standard.path).counts)


def pack_cohorts(
    cohorts: list[Path],
    params: IngestParams,
    dataset: Path,
    *,
    ahead: KeyedStore | None = None,
    workers: int | None = None,
) -> PackingReport:
    """Pair and pack the scans of `cohorts` (folders written by `add_cohort`) into the folder `dataset`.

    Patients on the list of the withdrawn beside a cohort are left out, even where the cohort still holds them.
    Pairs that `pack_share` has left in `ahead` are taken from there, and out of it.

    Raises ScintiflowError if a folder is not a cohort, an object was altered since it was added, or a split
    has fewer patients than the parameters ask for.
    """
    workers = workers or os.cpu_count() or 1
    delivered = read_cohorts(cohorts, params, workers)
    jobs = _jobs(delivered, ahead)
    left_out = [_left_out(found, Reason[found.reason]) for found in delivered.refused]
    left_out += [_left_out(delivered.of_scan[uid], reason) for uid, reason in delivered.pairing.reasons.items()]
    with whole_folder(dataset) as folder:
        (folder / STUDIES).mkdir()
        rows: list[dict] = []
        pack = partial(_pack, params=params, studies=folder / STUDIES)
        for job, row in zip(jobs, _by_workers(pack, jobs, workers), strict=True):
            if row is None:
                left_out += [_left_out(found, Reason.PAIR_MISREGISTERED) for found in (job.rapid, job.standard)]
            else:
                rows.append(row)
        sizes = patients_per_split((row["patient"] for row in rows), params.split)
        check_split_sizes(sizes, params.split)
        save_manifest(folder, rows)
        write_json(folder / QUARANTINE, sorted(left_out, key=lambda entry: (entry["cohort"], entry["object"])))
    for job in jobs:
        job.preparation.forget(job.hashes)
    return PackingReport(dataset, _numbers(delivered.ledgers, rows, left_out, sizes))


def pack_share(
    cohorts: list[Path], params: IngestParams, share: Share, ahead: KeyedStore, *, workers: int | None = None
) -> dict[str, float]:
    """Register and pack the pairs of a share of the patients into `ahead`, for `pack_cohorts` to find.

    Returns the number of pairs prepared, and of those that were there already. Raises as `pack_cohorts` does.
    """
    workers = workers or os.cpu_count() or 1
    jobs = _jobs(read_cohorts(cohorts, params, workers, share), ahead)
    made = sum(_by_workers(_prepare, jobs, workers))
    return {"pairs_prepared": float(made), "pairs_taken_over": float(len(jobs) - made)}


def study_name(pair: ScanPair) -> str:
    """Pseudonym of a pair: the same pair has the same name in every data set."""
    digest = hashlib.sha256(f"{pair.rapid.instance_uid}\0{pair.standard.instance_uid}".encode()).hexdigest()
    return f"S-{digest[:16]}"


def _jobs(delivered: Delivered, ahead: KeyedStore | None) -> list[_Job]:
    preparation, of_scan = Preparation(register_pair, ahead), delivered.of_scan
    return [
        _Job(pair, of_scan[pair.rapid.instance_uid], of_scan[pair.standard.instance_uid], preparation)
        for pair in delivered.pairing.pairs
    ]


def _by_workers(function: Callable[[_Job], R], jobs: list[_Job], workers: int) -> Iterator[R]:
    done = in_processes(function, jobs, workers, "ingest", preload=__name__)
    return track(done, "registering and packing pairs", len(jobs))


def _prepare(job: _Job) -> bool:
    return job.preparation.prepare_ahead(job.hashes, job.read)


def _pack(job: _Job, params: IngestParams, studies: Path) -> dict | None:
    """Register and write one pair; its manifest row, or None if the scans lie too far apart."""
    prepared = job.preparation.prepared(job.hashes, job.read)
    registered = prepared.registered
    farthest = max(np.hypot(view.row_shift, view.column_shift) for view in registered) * job.pair.rapid.spacing_mm
    if farthest > params.largest_shift_mm:
        return None
    unusual = farthest > params.largest_shift_mm / 2 or any(
        abs(view.rotation) > LARGEST_USUAL_ROTATION for view in registered
    )
    study = study_name(job.pair)
    target = studies / f"{study}.npz"
    with whole_file(target) as written:
        written.write_bytes(prepared.packed)
    identity = _identity(job, study, split_of(job.pair.standard.patient, params.split), unusual)
    return {**identity, **_measured(job.pair, registered), "file_sha256": sha256_file(target)}


def _identity(job: _Job, study: str, split: str, unusual: bool) -> dict:
    pair = job.pair
    age = pair.standard.age_years
    warnings = {*pair.warnings, *job.rapid.warnings, *job.standard.warnings}
    if unusual:
        warnings.add(Notice.PAIR_REGISTRATION.name)
    return {
        "study": study,
        "patient": pair.standard.patient,
        "cohort": job.standard.cohort,
        "split": split,
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


def _left_out(found: CohortObject, reason: Reason) -> dict[str, str]:
    return {
        "cohort": found.cohort,
        "object": found.shown_path,
        "outcome": reason.outcome.value,
        "code": reason.name,
        "sentence": reason.sentence,
        "remedy": reason.remedy,
    }


def _numbers(
    ledgers: list[Ledger], rows: list[dict], left_out: list[dict[str, str]], sizes: dict[str, int]
) -> dict[str, float]:
    numbers: dict[str, float] = {f"delivered_{outcome.value}": 0.0 for outcome in Outcome}
    for ledger in ledgers:
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
