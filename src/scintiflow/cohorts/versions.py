"""Which version of each cohort a git revision names, and what its record says; no scan is fetched.

A version is what the cohort's `.dvc` file says: the MD5 of DVC's listing of the folder. Two versions with one
MD5 are the same bytes. `revision` is anything that git understands; None is the working tree.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from scintiflow.cohorts.ledger import LEDGER, Ledger, parse_ledger
from scintiflow.cohorts.versioning import modified_folders, tracked_bytes
from scintiflow.cohorts.withdrawals import LIST, Withdrawal, parse_withdrawals, read_withdrawals
from scintiflow.errors import ScintiflowError

COHORTS = Path("data/cohorts")
POINTER = ".dvc"


@dataclass(frozen=True, kw_only=True)
class CohortVersion:
    """One version of a cohort, as its `.dvc` file pins it.

    Attributes:
        name: of the cohort.
        md5: DVC's hash of the whole folder, with its suffix '.dir'.
        size: bytes of all files.
        files: how many there are, cohort.json and cohort.html included.
    """

    name: str
    md5: str
    size: int
    files: int


def resolve_revision(project: Path, revision: str) -> str:
    """The full SHA of the commit that `revision` names. Raises ScintiflowError if there is none."""
    try:
        return git_output(project, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except ScintiflowError:
        raise ScintiflowError(
            f"git knows no commit '{revision}'",
            where=project,
            remedy="Name a branch, a tag or a SHA; `git fetch` brings what others have pushed",
        ) from None


def cohort_versions(project: Path, revision: str | None = None) -> dict[str, CohortVersion]:
    """The version of every cohort at a revision, by name in alphabetical order; {} if there is none.

    Raises ScintiflowError if the revision is unknown or a `.dvc` file is not one that `dvc add` writes.
    """
    return {
        name: _parsed(name, content, f"{revision}:{path}" if revision else path)
        for name, path, content in sorted(_pointers(project, revision))
    }


def cohort_version(project: Path, name: str, revision: str | None = None) -> CohortVersion:
    """The version of one cohort. Raises ScintiflowError if the revision does not have it."""
    versions = cohort_versions(project, revision)
    if name not in versions:
        raise ScintiflowError(
            f"there is no cohort '{name}' at {revision or 'the working tree'}",
            where=COHORTS,
            remedy=f"Cohorts there: {', '.join(versions) or 'none'}",
        )
    return versions[name]


def cohort_record(project: Path, name: str, revision: str | None = None) -> Ledger:
    """cohort.json of a cohort at a revision, from DVC's cache or else from the remote; nothing else is fetched.

    For the working tree it is the file in the folder, where there is one, whether or not DVC knows it yet.
    Raises ScintiflowError if the revision does not have the cohort or its record cannot be fetched.
    """
    path = COHORTS / name / LEDGER
    if revision is None and (project / path).is_file():
        content = (project / path).read_bytes()
    else:
        cohort_version(project, name, revision)
        content = tracked_bytes(project, revision, path)
    return parse_ledger(content, f"{revision}:{path.as_posix()}" if revision else path)


def withdrawals_at(project: Path, revision: str | None) -> tuple[Withdrawal, ...]:
    """The list of withdrawn patients at a git revision (None: the working tree); () where there is none."""
    if revision is None:
        return read_withdrawals(project / COHORTS)
    if (COHORTS / LIST).as_posix() not in files_at(project, revision, COHORTS):
        return ()
    return parse_withdrawals(file_at(project, revision, COHORTS / LIST), f"{revision}:{COHORTS / LIST}")


def versions_over_time(project: Path) -> list[tuple[str, CohortVersion]]:
    """Every version of every cohort that a commit of any branch brought, oldest first, each with that commit."""
    commits = git_output(
        project, "log", "--all", "--reverse", "--format=%H", "--", f"{COHORTS.as_posix()}/*{POINTER}"
    )
    first: dict[CohortVersion, str] = {}
    for commit in commits.splitlines():
        for version in cohort_versions(project, commit).values():
            first.setdefault(version, commit)
    return [(commit, version) for version, commit in first.items()]


def files_at(project: Path, revision: str, folder: Path) -> list[str]:
    """Files and folders in `folder` that git tracks at a revision; [] if there is no such folder."""
    sha = resolve_revision(project, revision)
    return git_output(project, "ls-tree", "--name-only", sha, f"{folder.as_posix()}/").splitlines()


def file_at(project: Path, revision: str | None, path: Path) -> str:
    """The text of a file that git tracks, at a revision or in the working tree. Raises ScintiflowError."""
    if revision is not None:
        return git_output(project, "show", f"{resolve_revision(project, revision)}:./{path.as_posix()}")
    try:
        return (project / path).read_text(encoding="utf-8")
    except OSError:
        raise ScintiflowError("no such file", where=path, remedy="Run inside the project") from None


def unversioned_changes(project: Path) -> list[str]:
    """Cohorts of the working tree that are not what a `.dvc` file says: added to, altered, or not under DVC at all.

    A cohort that was never fetched has not changed. Whether the `.dvc` files are committed is git's to say.
    """
    pointers = [path.relative_to(project) for path in (project / COHORTS).glob(f"*{POINTER}")]
    untracked = {
        path.parent.name
        for path in (project / COHORTS).glob(f"*/{LEDGER}")
        if not path.parent.with_name(f"{path.parent.name}{POINTER}").is_file()
    }
    return sorted({folder.name for folder in modified_folders(project, pointers)} | untracked)


def git_output(project: Path, *arguments: str) -> str:
    """What `git ARGUMENTS` prints in the folder `project`. Raises ScintiflowError with git's own words."""
    result = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        said = result.stderr.strip().splitlines()
        raise ScintiflowError(
            f"git {arguments[0]} refused: {said[-1] if said else f'exit code {result.returncode}'}",
            where=project,
            remedy="Run inside the project's git repository",
        )
    return result.stdout.strip()


def _pointers(project: Path, revision: str | None) -> list[tuple[str, Path, str]]:
    """(name, path, content) of each `.dvc` file of the cohorts."""
    if revision is None:
        found = sorted((project / COHORTS).glob(f"*{POINTER}"))
        return [
            (path.stem, COHORTS / path.name, path.read_text(encoding="utf-8")) for path in found if path.is_file()
        ]
    paths = [Path(line) for line in files_at(project, revision, COHORTS) if line.endswith(POINTER)]
    return [(path.stem, path, file_at(project, revision, path)) for path in paths]


def _parsed(name: str, content: str, where: str | Path) -> CohortVersion:
    try:
        (out,) = yaml.safe_load(content)["outs"]
        return CohortVersion(name=name, md5=str(out["md5"]), size=int(out["size"]), files=int(out["nfiles"]))
    except (yaml.YAMLError, KeyError, TypeError, ValueError):
        raise ScintiflowError(
            "is not the .dvc file of a cohort",
            where=where,
            remedy="Restore it with git, or write it again with `dvc add` on the cohort's folder",
        ) from None
