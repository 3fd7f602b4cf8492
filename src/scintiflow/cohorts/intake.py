"""One file of an export: opened, checked, de-identified into the staging folder, and described.

Runs in worker processes. What it returns holds no identity.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from scintiflow import progress
from scintiflow.cohorts.ledger import Entry
from scintiflow.cohorts.pictures import save_picture
from scintiflow.cohorts.workers import Lost, supervised
from scintiflow.dicom import header
from scintiflow.dicom.deidentification import deidentified_file
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.opening import LARGEST_FILE_BYTES, Opened, parse, read_regular_file, silenced, untrusted
from scintiflow.dicom.reading import scan_of
from scintiflow.dicom.reasons import Outcome, Reason, Rejection
from scintiflow.files import sha256_file

NO_CONTENT = ""  # the SHA-256 of an entry that has no bytes to hash
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
LONGEST_SECONDS_PER_FILE = 5.0


@dataclass(frozen=True)
class Job:
    """A file to take in. `overruled`: codes of reasons that named persons have overruled, by SHA-256."""

    path: Path
    overruled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Earlier:
    """What the cohort in `folder` already holds: entries of kept files by SHA-256, their objects inside `folder`."""

    folder: Path
    entries: Mapping[str, Entry]

    def intact(self, sha256: str) -> Entry | None:
        """The entry of a file that was taken in before and whose object is as it was then."""
        entry = self.entries.get(sha256)
        if entry is None or entry.path is None:
            return None
        try:
            unaltered = sha256_file(self.folder / entry.path) == entry.object_sha256
        except OSError:
            return None
        return entry if unaltered else None


@dataclass(frozen=True)
class Intake:
    """What one file came to. `staged` is the de-identified object, before pairing.

    `known`: nothing had to be done, the cohort holds the object of these very bytes, unaltered.
    """

    entry: Entry
    staged: Path | None = None
    known: bool = False


def walk(export: Path) -> list[Path]:
    """Every entry under `export` that is not a folder, in a fixed order; links are listed, never followed."""
    found: list[Path] = []
    for folder, folders, files in os.walk(export, followlinks=False):
        folders.sort()
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        found.extend(Path(folder) / name for name in sorted([*files, *links]))
    return sorted(found)


def take_in(
    job: Job, key: IdentityKey, staging: Path, only_halves: bool = False, earlier: Earlier | None = None
) -> Intake:
    """Check and de-identify one file. Never raises for what is in the file.

    Bytes that were taken in before, with the same key, would give the same object again: they are only hashed.
    `only_halves`: stage nothing but single views, which must be looked at to join them (a dry run).
    """
    try:
        content = read_regular_file(job.path)
    except Rejection as rejection:
        return Intake(rejected(_hash_if_possible(job.path, rejection.reason), rejection))
    sha256 = hashlib.sha256(content).hexdigest()
    if earlier is not None and (entry := earlier.intact(sha256)):
        return Intake(entry, known=True)
    overruled = frozenset(Reason[code] for code in job.overruled.get(sha256, ()))
    try:
        with silenced():
            opened = Opened(parse(content), sha256)
            scan = scan_of(opened, overruled)
            patient_check = _patient_check(opened, key)
            written = deidentified_file(opened, scan, key, overruled)
            # what everybody after us reads; it holds no identity
            readable = scan_of(Opened(parse(written.header, written.pixels), ""))
            if not np.array_equal(readable.counts, scan.counts):
                raise Rejection(Reason.DEIDENTIFICATION_FAILED, "counts changed")
    except Rejection as rejection:
        if rejection.reason is Reason.NOT_DICOM and job.path.suffix.lower() in DICOM_SUFFIXES:
            rejection = Rejection(Reason.CORRUPT, "named like a DICOM file")
        return Intake(rejected(sha256, rejection))
    staged = None if only_halves and len(readable.views) != 1 else staging / f"{sha256}.dcm"
    if staged is not None:
        written.write(staged)  # not synced: a staging folder is worth nothing after a crash
        save_picture(staged, readable)
    entry = Entry(
        sha256=sha256,
        outcome=Outcome.ACCEPTED.value,
        warnings=scan.warnings,
        scan=readable.summary(),
        object_sha256=written.sha256(),
        patient_check=patient_check,
        path=f"{readable.patient_id}/{key.study(scan.study_uid)}/{key.instance(scan.instance_uid)}.dcm",
    )
    return Intake(entry, staged)


def take_in_all(
    jobs: list[Job],
    key: IdentityKey,
    staging: Path,
    workers: int,
    only_halves: bool = False,
    earlier: Earlier | None = None,
) -> Iterator[tuple[Path, Intake]]:
    """`take_in` for every job, in the order of completion, over `workers` processes.

    A file whose decoder kills its process is CORRUPT, one that takes too long is TOO_SLOW; neither stops
    the others.
    """
    if not jobs:
        return
    work = supervised(
        partial(take_in, key=key, staging=staging, only_halves=only_halves, earlier=earlier),
        jobs,
        workers=min(workers, len(jobs)),
        seconds=LONGEST_SECONDS_PER_FILE,
        preload=__name__,
    )
    with progress.work("checking files", len(jobs)) as bar:
        for job, intake in work:
            bar.advance()
            yield job.path, _lost(job.path, intake) if isinstance(intake, Lost) else intake


def rejected(sha256: str, rejection: Rejection) -> Entry:
    return Entry(
        sha256=sha256, outcome=rejection.reason.outcome.value, code=rejection.code, detail=rejection.detail, path=None
    )


def _lost(path: Path, why: Lost) -> Intake:
    reason, detail = (Reason.CORRUPT, "decoder died") if why is Lost.DIED else (Reason.TOO_SLOW, "")
    return Intake(rejected(_hash_if_possible(path, reason), Rejection(reason, detail)))


def _patient_check(opened: Opened, key: IdentityKey) -> str:
    """A mark of birth date and sex; empty if the object does not give both."""
    with untrusted():
        born, sex = (header.text(opened.attributes, name) for name in ("PatientBirthDate", "PatientSex"))
    return key.check("birth", born, sex) if born.strip("0") and sex else ""


def _hash_if_possible(path: Path, reason: Reason) -> str:
    if reason in (Reason.SYMLINK, Reason.SPECIAL_FILE, Reason.UNREADABLE):
        return NO_CONTENT
    try:
        return sha256_file(path) if path.stat().st_size <= 64 * LARGEST_FILE_BYTES else NO_CONTENT
    except OSError:
        return NO_CONTENT
