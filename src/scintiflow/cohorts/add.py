"""A hospital's export in, a de-identified cohort out.

The commit point is cohort.json: objects are written before it and removed after it, each whole or not
at all, so that an interrupted run leaves the cohort as it was, and the next run completes the work.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from scintiflow.cohorts.intake import Earlier, Job, take_in_all, walk
from scintiflow.cohorts.joining import join_views
from scintiflow.cohorts.ledger import LEDGER, Entry, Ledger, Override, overruled_codes, read_ledger
from scintiflow.cohorts.settling import settle
from scintiflow.cohorts.storing import is_complete, locked, staging_folder, write_cohort
from scintiflow.cohorts.withdrawals import withdrawn_patients, without_withdrawn
from scintiflow.dicom.identity import IdentityKey
from scintiflow.errors import ScintiflowError
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
    withdrawn: frozenset[str] = frozenset(),
    dry_run: bool = False,
    workers: int | None = None,
) -> CohortReport:
    """Check, de-identify and pair the files under `export` and add them to the cohort `cohorts`/`name`.

    Adding the same export again changes nothing; adding another one leaves what is there as it is, except
    that a scan may find its partner. Files that are quarantined or ignored are recorded, never copied.
    Patients whose data were withdrawn stay out: those on the list in `cohorts`, and those of `withdrawn`, by
    pseudonym.

    Raises ScintiflowError, before any file is read, if the folders are wrong, the cohort was made with
    another key, or another run holds the lock.
    """
    _check_export(export, cohorts / name)
    return update_cohort(
        walk(export),
        name,
        protocol=protocol,
        key=key,
        cohorts=cohorts,
        withdrawn=withdrawn,
        dry_run=dry_run,
        workers=workers,
    )


def update_cohort(
    paths: list[Path],
    name: str,
    *,
    protocol: Protocol,
    key: IdentityKey,
    cohorts: Path,
    withdrawn: frozenset[str] = frozenset(),
    decide: Callable[[Ledger | None], tuple[Override, ...]] = lambda before: (),
    dry_run: bool = False,
    workers: int | None = None,
) -> CohortReport:
    """Take `paths` into the cohort and settle all that was ever delivered anew.

    `decide` is given the record as it was and returns further overrides; it may raise.
    """
    folder = cohorts / name
    workers = workers or os.cpu_count() or 1
    _check_name(name)
    with locked(cohorts, name, dry_run), staging_folder(cohorts, name, dry_run) as staging:
        before = read_ledger(folder) if (folder / LEDGER).exists() else None
        _check_key(before, key, folder)
        overrides = _without_repetition([*(before.overrides if before else ()), *decide(before)])
        codes = overruled_codes(overrides)
        withdrawn |= withdrawn_patients(cohorts)
        earlier = without_withdrawn(before.entries, withdrawn) if before else []
        mended = {override.sha256 for override in overrides if override.mended_sha256}
        known = Earlier(folder, _settled_alone(earlier, {*codes, *mended}))
        entries, staged, locations, intact = _taken_in(
            [Job(path, codes) for path in paths], key, staging, workers, dry_run, known
        )
        entries = _still_joined(join_views(entries, staged, key, staging, mended, workers), earlier)
        entries = without_withdrawn(entries, withdrawn)
        fresh = {entry.sha256 for entry in entries}
        ledger = Ledger(
            name=name,
            key_fingerprint=key.fingerprint,
            key_is_public=key.is_public,
            protocol=protocol.model_dump(),
            entries=settle(
                [*(entry for entry in earlier if entry.sha256 not in fresh), *entries], protocol, overrides
            ),
            overrides=overrides,
        )
        changed = before is None or before.to_json() != ledger.to_json() or not is_complete(folder, ledger, intact)
        if changed and not dry_run:
            write_cohort(folder, ledger, staged, intact, workers)
    return CohortReport(
        folder=folder, ledger=ledger, walked=len(paths), changed=changed, dry_run=dry_run, locations=locations
    )


def _without_repetition(overrides: list[Override]) -> tuple[Override, ...]:
    """The first decision on a file and code stands; deciding the same again adds nothing."""
    first: dict[tuple[str, str, str], Override] = {}
    for override in overrides:
        first.setdefault((override.sha256, override.code, override.mended_sha256), override)
    return tuple(first.values())


def _still_joined(entries: list[Entry], earlier: Iterable[Entry]) -> list[Entry]:
    """A half that comes again without its other half stays what it was: part of a joined scan."""
    known = {entry.sha256: entry for entry in earlier if entry.joined_from}
    return [known.get(entry.sha256, entry) if not entry.joined_from else entry for entry in entries]


def _settled_alone(entries: Iterable[Entry], judged_anew: set[str]) -> dict[str, Entry]:
    """Kept files whose object depends on nothing but their bytes, by SHA-256: no halves, no overruled checks."""
    return {
        entry.sha256: entry
        for entry in entries
        if entry.is_kept
        and len(entry.summary.views) != 1
        and not entry.joined_from
        and entry.sha256 not in judged_anew
    }


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ScintiflowError(
            f"'{name}' cannot name a cohort",
            where="cohort name",
            remedy="Use lower-case letters, digits, dots and dashes, beginning with a letter or digit",
        )


def _check_export(export: Path, folder: Path) -> None:
    _check_name(folder.name)
    if not export.is_dir():
        raise ScintiflowError("is not a folder", where="export", remedy="Name the folder that holds the DICOM files")
    source, target = export.resolve(), folder.resolve()
    if target == source or source in target.parents or target in source.parents:
        raise ScintiflowError(
            "the export and the cohort lie inside each other",
            where=folder,
            remedy="Keep exports outside of the cohorts' folder",
        )


def _check_key(before: Ledger | None, key: IdentityKey, folder: Path) -> None:
    if before is not None and before.key_fingerprint != key.fingerprint:
        raise ScintiflowError(
            f"was made with the identity key {before.key_fingerprint}, not {key.fingerprint}",
            where=folder / LEDGER,
            remedy="Use the hospital's earlier key, or choose another cohort name",
        )


def _taken_in(
    jobs: list[Job], key: IdentityKey, staging: Path, workers: int, dry_run: bool, earlier: Earlier
) -> tuple[list[Entry], dict[str, Path], dict[str, list[Path]], set[str]]:
    """Entries, staged objects by their SHA-256, places in the export, and the cohort's objects found unaltered."""
    entries: list[Entry] = []
    staged: dict[str, Path] = {}
    locations: dict[str, list[Path]] = defaultdict(list)
    intact: set[str] = set()
    for path, intake in take_in_all(jobs, key, staging, workers, only_halves=dry_run, earlier=earlier):
        entries.append(intake.entry)
        locations[intake.entry.sha256].append(path)
        if intake.staged is not None:
            staged[intake.entry.object_sha256] = intake.staged
        if intake.known:
            intact.add(str(intake.entry.path))
    return entries, staged, {sha256: sorted(found) for sha256, found in sorted(locations.items())}, intact
