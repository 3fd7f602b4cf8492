"""A cohort of one pinned commit, whole or some of its scans, in a folder of one's own: what a pod does once.

Nothing is written to the project, its git or its DVC cache, and no lock is taken, so that any number of pods may
fetch at the same time. Every file is checked against the hash that the commit's `.dvc` file stands for. Scans of
patients whose data were withdrawn are not fetched, even where the commit's cohort still holds them.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from scintiflow.cohorts.ledger import LEDGER, Ledger, parse_ledger, read_ledger
from scintiflow.cohorts.listing import CannotFetchError, Listing
from scintiflow.cohorts.remote import first_trouble
from scintiflow.cohorts.selection import EVERYTHING, UNPAIRED, Selection, patients_of, reduced
from scintiflow.cohorts.versioning import pinned_listing, pinned_remote
from scintiflow.cohorts.versions import COHORTS, POINTER, resolve_revision
from scintiflow.cohorts.withdrawals import LIST, parse_withdrawals, withdrawn_patients
from scintiflow.errors import ScintiflowError
from scintiflow.files import PARTIAL_PREFIX, write_json

SHA = re.compile(r"[0-9a-f]{40}")
PINNED = re.compile(r"(?P<source>.+)@(?P<revision>[0-9a-f]{40})")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What came of it.

    Attributes:
        folder: of the cohort.
        patients, files: that it holds now.
        fetched: files that were transferred; 0 if the folder already was what was asked for.
        found: files that were taken from what was there already.
        left_out: patients whose scans were not fetched because their data were withdrawn.
    """

    folder: Path
    patients: int
    files: int
    fetched: int = 0
    found: int = 0
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What the folder is to hold. `files`: paths to fetch; `record`: written in place of theirs, None to fetch it."""

    files: frozenset[str]
    record: Ledger | None
    summary: Fetched


def fetch_cohort(
    source: str,
    revision: str,
    name: str,
    target: Path,
    wanted: Selection = EVERYTHING,
    present: Path | None = None,
) -> Fetched:
    """Fetch cohort `name` of a commit into the folder `target`/`name`, whose files are read-only.

    Args:
        source: URL of the project's git repository, or the path of a checkout.
        revision: full SHA of the commit; with a checkout anything that names a commit.
        wanted: which scans; cohort.json is reduced to them.
        present: a folder in which this cohort was fetched before, at whatever commit: a file that `present`/`name`
            holds under the same path with the right hash is linked or copied, not transferred again.

    The folder appears whole or not at all. If it is there and holds these very files, nothing is done; if it holds
    anything else it is refused, since somebody may be reading it.

    Raises ScintiflowError if revision, cohort, patient or study is unknown, or a file cannot be fetched unaltered.
    """
    with _pinned(source, revision, name) as listing:
        return _fetch(source, listing, target / name, wanted, present)


def cohorts_at(where: str, names: Collection[str], wanted: Selection = EVERYTHING) -> Path:
    """The folder of the cohorts that a stage is to read: `where` itself, or what `SOURCE@SHA` pins, fetched.

    A plain path is returned as it is. The pinned form fetches what is `wanted` of the cohorts in `names`, with their
    `.dvc` files, into a new temporary folder (below TMPDIR): on a cluster the pod's own disk. A patient need not be
    in all of these cohorts; one that holds nobody wanted becomes a record without scans.
    """
    pinned = PINNED.fullmatch(where)
    if pinned is None:
        return Path(where)
    source, revision = pinned["source"], pinned["revision"]
    folder = Path(tempfile.mkdtemp(prefix="project-")) / COHORTS
    for name in names:
        with _pinned(source, revision, name) as listing:
            _fetch(source, listing, folder / name, wanted, None, held_elsewhere=True)
            pointer = COHORTS / f"{name}{POINTER}"
            (folder / pointer.name).write_bytes(listing.tracked_by_git(pointer) or b"")
    return folder


def patients_at(where: str, names: Collection[str]) -> frozenset[str]:
    """Pseudonyms of the patients whose scans these cohorts hold, those left out who withdrew; no scan is fetched.

    `where` as in `cohorts_at`. To share the work of a stage among pods, give each a part of these patients.
    """
    pinned = PINNED.fullmatch(where)
    if pinned is not None:
        records = [pinned_record(pinned["source"], pinned["revision"], name) for name in names]
        return frozenset(patient for record in records for patient in patients_of(record))
    held = frozenset(patient for name in names for patient in patients_of(read_ledger(Path(where) / name)))
    return held - withdrawn_patients(Path(where))


def pinned_record(source: str, revision: str, name: str) -> Ledger:
    """cohort.json of a commit without those who withdrew; nothing else is fetched. Arguments as in `fetch_cohort`."""
    with _pinned(source, revision, name) as listing:
        return _record_of_today(source, listing, name)


def _fetch(
    source: str,
    listing: Listing,
    final: Path,
    wanted: Selection,
    present: Path | None,
    *,
    held_elsewhere: bool = False,
) -> Fetched:
    """`fetch_cohort` of a listing into the folder `final`, which is named like the cohort.

    `held_elsewhere`: patients and studies that this cohort does not hold are no mistake.
    """
    name, target = final.name, final.parent
    content = _content(source, listing, name, final, wanted, held_elsewhere)
    if final.exists():
        _check_same(final, listing, content)
        return content.summary
    target.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL_PREFIX, dir=target))
    try:
        found = {path for path in content.files if present and _taken(listing, path, present / name, partial)}
        listing.fetch(content.files - found, partial)
        if content.record is not None:
            write_json(partial / LEDGER, content.record.to_json())
        _make_read_only(partial)
        if not _took_its_place(partial, final):
            _check_same(final, listing, content)
            return content.summary
    finally:
        _remove(partial)
    return replace(content.summary, fetched=len(content.files) - len(found), found=len(found))


@contextmanager
def _pinned(source: str, revision: str, name: str) -> Iterator[Listing]:
    commit = _commit(source, revision)
    try:
        with pinned_listing(source, commit, COHORTS / name) as listing:
            if not listing.hashes:
                raise ScintiflowError(
                    f"there is no cohort '{name}'", where=f"{revision}:{COHORTS}", remedy="Check name and revision"
                )
            yield listing
    except CannotFetchError as error:
        remote = pinned_remote(source, commit)
        trouble = first_trouble(remote, read_only=True) if remote is not None else None
        if trouble is None:
            raise
        raise ScintiflowError(
            f"cannot be fetched: {trouble.reason}", where=error.where, remedy=trouble.remedy
        ) from None


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


def _record(listing: Listing, name: str) -> Ledger:
    if LEDGER not in listing.hashes:
        raise ScintiflowError(
            f"has no {LEDGER}, so nothing can be chosen of it",
            where=f"cohort {name}",
            remedy="Fetch it whole; deliveries of pictures have no record of their patients",
        )
    return parse_ledger(listing.read(LEDGER), f"{COHORTS / name / LEDGER}")


def _record_of_today(source: str, listing: Listing, name: str) -> Ledger:
    """The record without those who withdrew."""
    return reduced(_record(listing, name), EVERYTHING, _withdrawn(source, listing))


def _withdrawn(source: str, listing: Listing) -> frozenset[str]:
    """Patients on the list of that commit; with a checkout also those on the list of its working tree."""
    text = listing.tracked_by_git(COHORTS / LIST)
    then = {entry.patient for entry in parse_withdrawals(text.decode(), COHORTS / LIST)} if text else set()
    now = withdrawn_patients(Path(source) / COHORTS) if Path(source).is_dir() else frozenset()
    return now | then


def _content(
    source: str, listing: Listing, name: str, final: Path, wanted: Selection, held_elsewhere: bool
) -> _Content:
    if wanted in (EVERYTHING, UNPAIRED) and LEDGER not in listing.hashes:  # pictures: there is nothing to choose by
        files = frozenset(listing.hashes)
        return _Content(files=files, record=None, summary=Fetched(folder=final, patients=0, files=len(files)))
    record = _record(listing, name)
    without = _withdrawn(source, listing)
    if held_elsewhere:
        wanted = wanted.within(reduced(record, EVERYTHING, without))
    kept = reduced(record, wanted, without)
    whole = kept == record
    files = frozenset(listing.hashes) if whole else frozenset(e.path for e in kept.entries if e.is_kept and e.path)
    summary = Fetched(
        folder=final,
        patients=len(patients_of(kept)),
        files=len(files | {LEDGER}),
        left_out=len(patients_of(record) & without),
    )
    return _Content(files=files, record=None if whole else kept, summary=summary)


def _taken(listing: Listing, path: str, present: Path, partial: Path) -> bool:
    """Whether `present` had the file; `partial` then has it too: the same file if read-only, else a copy."""
    there, here = present / path, partial / path
    if not listing.unaltered({path}, present):
        return False
    here.parent.mkdir(parents=True, exist_ok=True)
    if there.stat().st_mode & 0o222:
        shutil.copyfile(there, here)
        return listing.unaltered({path}, partial)
    try:
        here.hardlink_to(there)
    except OSError:  # another disk
        shutil.copyfile(there, here)
    return listing.unaltered({path}, partial)


def _check_same(final: Path, listing: Listing, content: _Content) -> None:
    """Raise ScintiflowError unless `final` holds what is asked for, unaltered, and nothing else."""
    present = {path.relative_to(final).as_posix() for path in final.rglob("*") if path.is_file()}
    expected = content.files if content.record is None else content.files | {LEDGER}
    same = present == expected and listing.unaltered(content.files, final)
    if same and content.record is not None:
        same = parse_ledger((final / LEDGER).read_bytes(), final / LEDGER) == content.record
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
