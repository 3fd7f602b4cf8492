"""One file of an export: opened, checked, de-identified into the staging folder, and described.

Runs in worker processes. What it returns holds no identity.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np

from scintiflow import progress
from scintiflow.cohorts.ledger import Entry
from scintiflow.dicom import header
from scintiflow.dicom.deidentification import deidentified
from scintiflow.dicom.identity import IdentityKey
from scintiflow.dicom.opening import LARGEST_FILE_BYTES, Opened, parse, read_regular_file
from scintiflow.dicom.reading import read_scan, scan_of
from scintiflow.dicom.reasons import Outcome, Reason, Rejection
from scintiflow.dicom.whole_body import save_object
from scintiflow.files import sha256_file

NO_CONTENT = ""  # the SHA-256 of an entry that has no bytes to hash
WAITING_PER_WORKER = 4  # bounds the memory of a walk of any length


@dataclass(frozen=True)
class Intake:
    """What one file came to. `staged` is the de-identified object, before pairing."""

    entry: Entry
    staged: Path | None = None


def walk(export: Path) -> list[Path]:
    """Every entry under `export` that is not a folder, in a fixed order; links are listed, never followed."""
    found: list[Path] = []
    for folder, folders, files in os.walk(export, followlinks=False):
        folders.sort()
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        found.extend(Path(folder) / name for name in sorted([*files, *links]))
    return sorted(found)


def take_in(path: Path, key: IdentityKey, staging: Path) -> Intake:
    """Check and de-identify one file. Never raises for what is in the file."""
    try:
        content = read_regular_file(path)
    except Rejection as rejection:
        return Intake(rejected(_hash_if_possible(path, rejection.reason), rejection))
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        opened = Opened(parse(content), sha256)
        scan = scan_of(opened)
        anonymous = deidentified(opened, scan, key)
    except Rejection as rejection:
        if rejection.reason is Reason.NOT_DICOM and path.suffix.lower() in (".dcm", ".dicom", ".ima"):
            rejection = Rejection(Reason.CORRUPT, "named like a DICOM file")
        return Intake(rejected(sha256, rejection))
    staged = staging / f"{sha256}.dcm"
    save_object(staged, anonymous)
    written = read_scan(staged)  # what everybody after us will read; its header holds no identity
    if not np.array_equal(written.counts, scan.counts):
        staged.unlink()
        return Intake(rejected(sha256, Rejection(Reason.DEIDENTIFICATION_FAILED, "counts changed")))
    entry = Entry(
        sha256=sha256,
        outcome=Outcome.ACCEPTED.value,
        warnings=scan.warnings,
        scan=written.summary(),
        object_sha256=sha256_file(staged),
        patient_check=_patient_check(opened, key),
        path=f"{written.patient_id}/{key.study(scan.study_uid)}/{key.instance(scan.instance_uid)}.dcm",
    )
    return Intake(entry, staged)


def take_in_all(paths: list[Path], key: IdentityKey, staging: Path, workers: int) -> Iterator[tuple[Path, Intake]]:
    """`take_in` for every path, in the order of completion, over `workers` processes.

    A file whose decoder kills its process is CORRUPT and stops nothing.
    """
    if workers == 1 or len(paths) < 2:
        for path in progress.track(paths, "checking files"):
            yield path, take_in(path, key, staging)
        return
    unsettled: list[Path] = []
    with progress.work("checking files", len(paths)) as bar:
        for path, intake in _pooled(paths, key, staging, workers, unsettled):
            bar.advance()
            yield path, intake
        for path in unsettled:  # one process each: only the file that kills it is lost
            bar.advance()
            yield path, _alone(path, key, staging)


def rejected(sha256: str, rejection: Rejection) -> Entry:
    return Entry(
        sha256=sha256, outcome=rejection.reason.outcome.value, code=rejection.code, detail=rejection.detail, path=None
    )


def _context() -> BaseContext:
    """Workers start from a clean process that has imported everything once."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _pooled(
    paths: list[Path], key: IdentityKey, staging: Path, workers: int, unsettled: list[Path]
) -> Iterator[tuple[Path, Intake]]:
    waiting = iter(paths)
    running: dict = {}
    with ProcessPoolExecutor(workers, mp_context=_context()) as pool:
        broken = False
        while True:
            while not broken and len(running) < workers * WAITING_PER_WORKER:
                path = next(waiting, None)
                if path is None:
                    break
                try:
                    running[pool.submit(take_in, path, key, staging)] = path
                except BrokenProcessPool:
                    broken = True
                    unsettled.append(path)
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                path = running.pop(future)
                try:
                    yield path, future.result()
                except BrokenProcessPool:
                    broken = True
                    unsettled.append(path)
    unsettled.extend(waiting)


def _alone(path: Path, key: IdentityKey, staging: Path) -> Intake:
    with ProcessPoolExecutor(1, mp_context=_context()) as pool:
        try:
            return pool.submit(take_in, path, key, staging).result()
        except BrokenProcessPool:
            return Intake(
                rejected(_hash_if_possible(path, Reason.CORRUPT), Rejection(Reason.CORRUPT, "decoder died"))
            )


def _patient_check(opened: Opened, key: IdentityKey) -> str:
    """A mark of birth date and sex; empty if the object does not give both."""
    born, sex = (header.text(opened.dataset, name) for name in ("PatientBirthDate", "PatientSex"))
    return key.check("birth", born, sex) if born.strip("0") and sex else ""


def _hash_if_possible(path: Path, reason: Reason) -> str:
    if reason in (Reason.SYMLINK, Reason.SPECIAL_FILE, Reason.UNREADABLE):
        return NO_CONTENT
    try:
        return sha256_file(path) if path.stat().st_size <= 64 * LARGEST_FILE_BYTES else NO_CONTENT
    except OSError:
        return NO_CONTENT
