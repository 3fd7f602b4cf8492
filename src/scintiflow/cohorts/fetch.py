"""A cohort of one pinned commit, whole or some of its patients, in a folder of one's own: what a pod does once.

Nothing is written to the project, its git or its DVC cache, and no lock is taken, so that any number of pods may
fetch at the same time. Every file is checked against the hash that the commit's `.dvc` file stands for.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from scintiflow.cohorts.ledger import LEDGER, Ledger, parse_ledger
from scintiflow.cohorts.versioning import Listing, pinned_listing
from scintiflow.cohorts.versions import COHORTS, resolve_revision
from scintiflow.errors import ScintiflowError
from scintiflow.files import PARTIAL_PREFIX, write_json

SHA = re.compile(r"[0-9a-f]{40}")
PINNED = re.compile(r"(?P<source>.+)@(?P<revision>[0-9a-f]{40})")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """`fetched`: files that were transferred; 0 if the folder already was what was asked for."""

    folder: Path
    patients: int
    files: int
    fetched: int


def fetch_cohort(
    source: str, revision: str, name: str, target: Path, patients: Collection[str] = frozenset()
) -> Fetched:
    """Fetch cohort `name` of a commit into the folder `target`/`name`, whose files are read-only.

    Args:
        source: URL of the project's git repository, or the path of a checkout.
        revision: full SHA of the commit; with a checkout anything that names a commit.
        patients: pseudonyms; only their scans are fetched, and cohort.json is reduced to them. All if empty.

    The folder appears whole or not at all. If it is there and holds these very files, nothing is done; if it holds
    anything else it is refused, since somebody may be reading it.

    Raises ScintiflowError if revision, cohort or a patient is unknown, or a file cannot be fetched unaltered.
    """
    final = target / name
    with pinned_listing(source, _commit(source, revision), COHORTS / name) as listing:
        if LEDGER not in listing.hashes:
            raise ScintiflowError(
                f"there is no cohort '{name}'", where=f"{revision}:{COHORTS}", remedy="Check name and revision"
            )
        record = parse_ledger(listing.read(LEDGER), f"{revision}:{COHORTS / name / LEDGER}")
        reduced = _reduced(record, frozenset(patients), name) if patients else None
        wanted = set(listing.hashes) if reduced is None else _objects(reduced)
        kept = reduced or record
        done = Fetched(
            folder=final,
            patients=len({entry.summary.patient for entry in kept.entries if entry.is_kept}),
            files=len(wanted | {LEDGER}),
            fetched=0,
        )
        if final.exists():
            _check_same(final, listing, wanted, reduced)
            return done
        target.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=target))
        try:
            listing.fetch(wanted, partial)
            if reduced is not None:
                write_json(partial / LEDGER, reduced.to_json())
            _make_read_only(partial)
            if not _took_its_place(partial, final):
                _check_same(final, listing, wanted, reduced)
                return done
        finally:
            _remove(partial)
    return replace(done, fetched=len(wanted))


def cohorts_at(where: str, names: Collection[str]) -> Path:
    """The folder of the cohorts that a stage is to read: `where` itself, or what `SOURCE@SHA` pins, fetched.

    A plain path is returned as it is. The pinned form fetches the cohorts in `names` into a new temporary folder
    (below TMPDIR): on a cluster the pod's own disk.
    """
    pinned = PINNED.fullmatch(where)
    if pinned is None:
        return Path(where)
    folder = Path(tempfile.mkdtemp(prefix="cohorts-"))
    for name in names:
        fetch_cohort(pinned["source"], pinned["revision"], name, folder)
    return folder


def _commit(source: str, revision: str) -> str:
    if SHA.fullmatch(revision):
        return revision
    if Path(source).is_dir():
        return resolve_revision(Path(source), revision)
    raise ScintiflowError(
        f"'{revision}' is not the full SHA of a commit",
        where="revision",
        remedy="Pin the commit by its 40 hexadecimal digits; a branch moves while pods start",
    )


def _reduced(record: Ledger, patients: frozenset[str], name: str) -> Ledger:
    """The record with nothing but the kept scans of `patients`."""
    entries = tuple(
        entry
        for entry in record.entries
        if entry.is_kept and entry.scan is not None and entry.scan.patient in patients
    )
    unknown = patients - {entry.summary.patient for entry in entries}
    if unknown:
        raise ScintiflowError(
            f"holds no scan of {', '.join(sorted(unknown)[:5])}",
            where=f"cohort {name}",
            remedy="Ask for pseudonyms that are in its cohort.json",
        )
    return replace(record, entries=entries)


def _objects(record: Ledger) -> set[str]:
    return {entry.path for entry in record.entries if entry.path}


def _check_same(final: Path, listing: Listing, wanted: set[str], reduced: Ledger | None) -> None:
    """Raise ScintiflowError unless `final` holds what is asked for, unaltered, and nothing else."""
    present = {path.relative_to(final).as_posix() for path in final.rglob("*") if path.is_file()}
    same = present == wanted | {LEDGER} and listing.unaltered(wanted, final)
    if same and reduced is not None:
        same = parse_ledger((final / LEDGER).read_bytes(), final / LEDGER) == reduced
    if not same:
        raise ScintiflowError(
            "holds something else than what is asked for",
            where=final,
            remedy="Fetch into another folder, or remove this one if nobody reads it",
        )


def _took_its_place(partial: Path, final: Path) -> bool:
    """Rename; False if somebody else was first."""
    try:
        partial.rename(final)
    except OSError:
        if not final.exists():
            raise
        return False
    return True


def _make_read_only(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o755)  # may be renamed and, by whoever owns the volume, removed


def _remove(folder: Path) -> None:
    for found, folders, _ in os.walk(folder):
        for name in folders:
            (Path(found) / name).chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
