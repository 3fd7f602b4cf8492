"""A hospital's export in, a de-identified cohort out.

The commit point is cohort.json: objects are written before it and removed after it, each whole or not
at all, so that an interrupted run leaves the cohort as it was, and the next run completes the work.
"""

import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from scintiflow.cohorts.intake import take_in_all, walk
from scintiflow.cohorts.ledger import LEDGER, Entry, Ledger, read_ledger
from scintiflow.cohorts.report import REPORT, render_report
from scintiflow.cohorts.settling import settle
from scintiflow.dicom.identity import IdentityKey
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, whole_file, write_json
from scintiflow.params import Protocol

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class CohortReport:
    """What `add_cohort` did.

    Attributes:
        folder: of the cohort.
        ledger: the cohort's record after the run: everything that was ever delivered.
        walked: entries met in this export.
        changed: False if the cohort already was as it should be (nothing was written).
        dry_run: True if nothing was to be written.
        locations: where each file of this export lies, by SHA-256. Paths may name patients: for the
            hospital's screen only, never for a log or a cohort.
    """

    folder: Path
    ledger: Ledger
    walked: int
    changed: bool
    dry_run: bool
    locations: dict[str, list[Path]] = field(repr=False)


def add_cohort(
    export: Path,
    name: str,
    *,
    protocol: Protocol,
    key: IdentityKey,
    cohorts: Path,
    dry_run: bool = False,
    workers: int | None = None,
) -> CohortReport:
    """Check, de-identify and pair the files under `export` and add them to the cohort `cohorts`/`name`.

    Adding the same export again changes nothing; adding another one leaves what is there as it is, except
    that a scan may find its partner. Files that are quarantined or ignored are recorded, never copied.

    Raises ScintiflowError, before any file is read, if the folders are wrong, the cohort was made with
    another key, or another run holds the lock.
    """
    folder = cohorts / name
    _check_folders(export, name, cohorts)
    with _locked(cohorts, name, dry_run), _staging(cohorts, name, dry_run) as staging:
        before = read_ledger(folder) if (folder / LEDGER).exists() else None
        _check_key(before, key, folder)
        paths = walk(export)
        entries, staged, locations = _taken_in(paths, key, staging, workers)
        fresh = {entry.sha256 for entry in entries}
        earlier = [entry for entry in before.entries if entry.sha256 not in fresh] if before else []
        ledger = Ledger(
            name=name,
            key_fingerprint=key.fingerprint,
            key_is_public=key.is_public,
            protocol=protocol.model_dump(),
            entries=settle([*earlier, *entries], protocol),
        )
        changed = before is None or before.to_json() != ledger.to_json() or not _is_complete(folder, ledger)
        if changed and not dry_run:
            _write(folder, ledger, staged)
    return CohortReport(
        folder=folder, ledger=ledger, walked=len(paths), changed=changed, dry_run=dry_run, locations=locations
    )


def _check_folders(export: Path, name: str, cohorts: Path) -> None:
    if not NAME.fullmatch(name):
        raise ScintiflowError(
            f"'{name}' cannot name a cohort",
            where="cohort name",
            remedy="Use lower-case letters, digits, dots and dashes, beginning with a letter or digit",
        )
    if not export.is_dir():
        raise ScintiflowError("is not a folder", where="export", remedy="Name the folder that holds the DICOM files")
    source, target = export.resolve(), (cohorts / name).resolve()
    if target == source or source in target.parents or target in source.parents:
        raise ScintiflowError(
            "the export and the cohort lie inside each other",
            where=cohorts / name,
            remedy="Keep exports outside of the cohorts' folder",
        )


def _check_key(before: Ledger | None, key: IdentityKey, folder: Path) -> None:
    if before is not None and before.key_fingerprint != key.fingerprint:
        raise ScintiflowError(
            f"was made with the identity key {before.key_fingerprint}, not {key.fingerprint}",
            where=folder / LEDGER,
            remedy="Use the hospital's earlier key, or choose another cohort name",
        )


@contextmanager
def _locked(cohorts: Path, name: str, dry_run: bool) -> Iterator[None]:
    if dry_run:
        yield
        return
    try:
        cohorts.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cohorts / f".{name}.lock", timeout=0)
        with lock:
            yield
    except Timeout:
        raise ScintiflowError(
            "another run is adding to this cohort", where=cohorts / name, remedy="Wait until it has ended"
        ) from None
    except PermissionError:
        raise ScintiflowError("cannot be written to", where=cohorts, remedy="Give write permission") from None


@contextmanager
def _staging(cohorts: Path, name: str, dry_run: bool) -> Iterator[Path]:
    """A folder for de-identified objects before they are paired; what a killed run left is removed."""
    if dry_run:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    staging = cohorts / f".staging-{name}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _taken_in(
    paths: list[Path], key: IdentityKey, staging: Path, workers: int | None
) -> tuple[list[Entry], dict[str, Path], dict[str, list[Path]]]:
    workers = max(1, min(workers or os.cpu_count() or 1, len(paths)))
    entries: list[Entry] = []
    staged: dict[str, Path] = {}
    locations: dict[str, list[Path]] = defaultdict(list)
    for path, intake in take_in_all(paths, key, staging, workers):
        entries.append(intake.entry)
        locations[intake.entry.sha256].append(path)
        if intake.staged is not None:
            staged[intake.entry.object_sha256] = intake.staged
    return entries, staged, {sha256: sorted(found) for sha256, found in sorted(locations.items())}


def _kept(ledger: Ledger) -> list[tuple[str, Entry]]:
    return [(entry.path, entry) for entry in ledger.entries if entry.is_kept and entry.path]


def _is_complete(folder: Path, ledger: Ledger) -> bool:
    """True if the objects in `folder` are those of the ledger, unaltered, and no others."""
    kept = dict(_kept(ledger))
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*.dcm")}
    return present == set(kept) and all(
        sha256_file(folder / path) == entry.object_sha256 for path, entry in kept.items()
    )


def _write(folder: Path, ledger: Ledger, staged: dict[str, Path]) -> None:
    for path, entry in _kept(ledger):
        target = folder / path
        if target.is_file() and sha256_file(target) == entry.object_sha256:
            continue
        if entry.object_sha256 not in staged:
            raise ScintiflowError(
                "an object of an earlier delivery is missing or altered",
                where=target,
                remedy="Fetch the cohort again with `dvc pull`, or add the earlier export too",
            )
        with whole_file(target) as partial:
            shutil.copyfile(staged[entry.object_sha256], partial)
    write_json(folder / LEDGER, ledger.to_json())
    with whole_file(folder / REPORT) as partial:
        partial.write_text(render_report(folder, ledger), encoding="utf-8")
    _remove_others(folder, {path for path, _ in _kept(ledger)})


def _remove_others(folder: Path, kept: set[str]) -> None:
    """Objects that are no longer part of the cohort, then folders that became empty."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.suffix == ".dcm" and path.relative_to(folder).as_posix() not in kept:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
