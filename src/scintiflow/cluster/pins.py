"""Which version of each cohort a retrain reads, and whether anyone can fetch that version again."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scintiflow.cluster.source_tree import differs_from_commit, is_pushed, last_commit_of
from scintiflow.cohorts.ledger import LEDGER
from scintiflow.cohorts.versioning import modified_folders
from scintiflow.cohorts.versions import COHORTS, POINTER, cohort_record, cohort_versions
from scintiflow.cohorts.withdrawals import LIST
from scintiflow.dataset.picture_files import is_picture_delivery
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree
from scintiflow.params import Params

DVC, CONTENT = "dvc:", "sha256:"
DVC_SETTINGS = Path(".dvc/config")


@dataclass(frozen=True)
class Pin:
    """A cohort at one version.

    Attributes:
        version: 'dvc:<hash of the .dvc file>'; 'sha256:<hash of the folder>' where no .dvc file says what the folder
            holds; '' where there is neither.
        is_here: whether the files are in the project and not only named by the .dvc file.
        has_record: whether they come with a cohort.json; deliveries of pictures have none.
        objection: why this version is not one that anyone can fetch again; '' if it is.
    """

    name: str
    version: str
    is_here: bool
    objection: str = ""
    has_record: bool = True


def used_cohorts(params: Params) -> list[str]:
    """Names of the cohorts that a recipe reads."""
    return sorted({*params.ingest.cohorts, *params.restore_real.cohorts})


def pin_cohorts(names: Iterable[str], project: Path) -> tuple[Pin, ...]:
    """The version of each named cohort in the working tree.

    A cohort is accepted when its .dvc file is committed. Sample cohorts need not be: they are made on the spot, and
    the published key of their pseudonyms shows that they are nobody's.
    """
    wanted = sorted(set(names))
    tracked = cohort_versions(project)
    pointers = [COHORTS / f"{name}{POINTER}" for name in wanted if name in tracked]
    altered = {folder.name for folder in modified_folders(project, pointers)}
    pins = []
    for name in wanted:
        folder = project / COHORTS / name
        has_record = (folder / LEDGER).is_file()
        is_here = has_record or is_picture_delivery(folder)
        if name in tracked and name not in altered:
            objection = _not_accepted(project, name, has_record)
            pins.append(Pin(name, f"{DVC}{tracked[name].md5}", is_here, objection, has_record))
        elif is_here:
            reason = "differs from its .dvc file" if name in tracked else "is not under DVC"
            pins.append(Pin(name, f"{CONTENT}{sha256_tree(folder)}", True, reason, has_record))
        else:
            pins.append(Pin(name, "", False, "is not in this project", has_record))
    return tuple(pins)


def pinned_source(source: str, pins: Iterable[Pin], project: Path) -> str:
    """`SOURCE@SHA`, from which pods fetch these cohorts themselves: see `cohorts.fetch.cohorts_at`.

    The commit is the last one that touched a cohort's .dvc file, the list of withdrawn patients or DVC's settings,
    not the newest: it changes only when what pods fetch does, and so does the argument by which Kubeflow's cache
    knows the cohorts.

    Raises ScintiflowError if a .dvc file or the list is not committed, or the commit not pushed.
    """
    pointers = [COHORTS / f"{pin.name}{POINTER}" for pin in pins]
    withdrawn = COHORTS / LIST
    for pointer in [*pointers, *([withdrawn] if (project / withdrawn).exists() else [])]:
        if differs_from_commit(project, pointer):
            raise ScintiflowError(
                "is not committed, so pods cannot fetch what it names",
                where=pointer,
                remedy="`git add`, `git commit` and `git push` it, and `dvc push` the cohort",
            )
    commit = last_commit_of(project, [*pointers, withdrawn, DVC_SETTINGS])
    if not commit or not is_pushed(project, commit):
        raise ScintiflowError(
            f"commit {commit[:12] or 'of the cohorts'} is on no branch of a remote",
            where=project,
            remedy="`git push` it; or set placement.cohorts_from to '' and let the steps read a volume",
        )
    return f"{source}@{commit}"


def pins_sha256(pins: Iterable[Pin]) -> str:
    """Hex SHA-256 over names and versions; other cohorts in the project do not count."""
    versions = {pin.name: pin.version for pin in pins}
    return hashlib.sha256(json.dumps(versions, sort_keys=True).encode()).hexdigest()


def _not_accepted(project: Path, name: str, has_record: bool) -> str:
    if not differs_from_commit(project, COHORTS / f"{name}{POINTER}"):
        return ""
    if has_record and cohort_record(project, name).key_is_public:
        return ""
    return "is not accepted: its .dvc file is not committed"
