"""A cohort's folder: one writer at a time, objects whole or absent, and a record that names only what is there.

The commit point is cohort.json: objects are written before it and removed after it.
"""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from scintiflow.cohorts.ledger import LEDGER, Entry, Ledger
from scintiflow.cohorts.pictures import SUFFIX, draw_missing
from scintiflow.cohorts.report import pages_of, render_pages, tells_of
from scintiflow.dicom.reasons import Outcome
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, whole_file

CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
STAGING = ".staging-"  # then the cohort's name and '@', which no name holds
OURS = (".dcm", ".json", ".html")  # what this module writes: nothing else is ever removed


@contextmanager
def locked(cohorts: Path, name: str, dry_run: bool = False) -> Iterator[None]:
    """One writer for each cohort; a disk that is full or read-only becomes one clear sentence."""
    if dry_run:
        yield
        return
    try:
        cohorts.mkdir(parents=True, exist_ok=True)
        with FileLock(cohorts / f".{name}.lock", timeout=0):
            yield
    except Timeout:
        raise ScintiflowError(
            "another run is adding to this cohort", where=cohorts / name, remedy="Wait until it has ended"
        ) from None
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise ScintiflowError(
            f"cannot be written to: {os.strerror(error.errno or 0)}",
            where=cohorts,
            remedy="Give space and write permission, then run the same command again; the cohort is as it was",
        ) from None


@contextmanager
def staging_folder(cohorts: Path, name: str, dry_run: bool) -> Iterator[Path]:
    """A folder for de-identified objects before they are paired; what a killed run left is removed."""
    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    for abandoned in cohorts.glob(f"{STAGING}{name}@*"):
        _remove_abandoned(abandoned)
    staging = Path(tempfile.mkdtemp(prefix=f"{STAGING}{name}@", dir=cohorts))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _remove_abandoned(staging: Path) -> None:
    """What a killed run left; its workers may still be writing their last file."""
    for _ in range(20):
        shutil.rmtree(staging, ignore_errors=True)
        if not staging.exists():
            return
        time.sleep(0.1)


def _kept(ledger: Ledger) -> list[tuple[str, Entry]]:
    return [(entry.path, entry) for entry in ledger.entries if entry.is_kept and entry.path]


def is_complete(folder: Path, ledger: Ledger, intact: set[str]) -> bool:
    """True if `folder` holds the objects of the ledger, unaltered, its pages, and nothing else of ours.

    `intact`: objects that this run has already found unaltered.
    """
    kept = dict(_kept(ledger))
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name.endswith(OURS)}
    pages = [page.name for page in pages_of(ledger)]
    return (
        present == {*kept, LEDGER, *pages}
        and all(tells_of(folder / page, ledger) for page in pages)
        and all(path in intact or sha256_file(folder / path) == entry.object_sha256 for path, entry in kept.items())
    )


def write_cohort(folder: Path, ledger: Ledger, staged: dict[str, Path], intact: set[str], workers: int) -> None:
    """Put the `staged` objects, by SHA-256, in their places, then the pages, then the record; remove what is no more.

    Raises ScintiflowError if an object of an earlier delivery is missing.
    """
    for path, entry in dict(_kept(ledger)).items():
        target = folder / path
        if path in intact:
            continue
        if target.is_file() and sha256_file(target) == entry.object_sha256:
            continue
        if entry.object_sha256 not in staged:
            raise ScintiflowError(
                "an object of an earlier delivery is missing or altered",
                where=target,
                remedy="Fetch the cohort again with `dvc pull`, or add (or name) the file it was made from as well",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        staged[entry.object_sha256].chmod(0o644)
        staged[entry.object_sha256].replace(target)
    os.sync()  # once for all objects, before the record that names them
    pages = set()
    with _pictures(folder, ledger, staged, workers) as pictures:
        for page, text in render_pages(ledger, pictures):
            _write(folder / page, text)
            pages.add(page)
    _write(folder / LEDGER, ledger.text)
    _remove_others(folder, {LEDGER, *pages, *(path for path, _ in _kept(ledger))})


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def _pictures(folder: Path, ledger: Ledger, staged: dict[str, Path], workers: int) -> Iterator[dict[str, Path]]:
    """The picture of each accepted scan, by the SHA-256 of its object: drawn when it was staged, or now."""
    objects = {
        entry.object_sha256: folder / path for path, entry in _kept(ledger) if entry.outcome == Outcome.ACCEPTED
    }
    drawn = {sha256: staged[sha256].with_suffix(SUFFIX) for sha256 in objects if sha256 in staged}
    missing = {sha256: path for sha256, path in objects.items() if sha256 not in drawn}
    with tempfile.TemporaryDirectory(prefix=f"{STAGING}{folder.name}@", dir=folder.parent) as place:
        yield drawn | draw_missing(missing, Path(place), workers)


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Objects that are no longer part of the cohort, what a killed run left, and folders that became empty."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in kept and path.name.endswith(OURS):
            path.unlink()
