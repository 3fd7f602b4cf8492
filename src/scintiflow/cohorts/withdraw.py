"""A patient's consent is withdrawn: the scans leave every cohort, and do not come back.

Order matters: the list of withdrawn patients is written first, so that no delivery brings the patient back even if
what follows is interrupted; running the same command again completes it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from scintiflow.cohorts.ledger import LEDGER, read_ledger
from scintiflow.cohorts.report import is_page
from scintiflow.cohorts.storing import locked, write_cohort
from scintiflow.cohorts.versioning import erase_objects, tracked_hashes
from scintiflow.cohorts.versions import COHORTS, CohortVersion, cohort_record, cohort_versions, versions_over_time
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal, without_withdrawn
from scintiflow.errors import ScintiflowError


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """What `withdraw_patient` did.

    Attributes:
        patient: pseudonym.
        cohorts: names of those that were rewritten and must be versioned anew.
        objects_removed: in all of them.
        versions: every committed version of a cohort that held the patient: what must not be trained on any more.
            Models that used them are a question of lineage, by these hashes.
        unreadable: committed versions whose record neither cache nor remote has, so that nobody can tell.
    """

    patient: str
    cohorts: tuple[str, ...]
    objects_removed: int
    versions: tuple[CohortVersion, ...]
    unreadable: tuple[CohortVersion, ...]


def withdraw_patient(project: Path, withdrawal: Withdrawal) -> Withdrawn:
    """Remove a patient from every cohort of the working tree and remember the withdrawal.

    Raises ScintiflowError before anything is changed if a cohort that holds the patient has not been fetched, or if
    no version of any cohort ever held the patient.
    """
    cohorts, patient = project / COHORTS, withdrawal.patient
    holding = [name for name in cohort_names(project) if _holds(project, name, None, patient)]
    _check_fetched(project, holding)
    past, unreadable = versions_holding(project, patient)
    if not holding and not past:
        raise ScintiflowError(
            f"no cohort holds {patient}",
            where=COHORTS,
            remedy="Check the pseudonym; it depends on issuer, patient ID and the hospital's identity key",
        )
    record_withdrawal(cohorts, withdrawal)
    removed = sum(_removed_from(cohorts, name, patient) for name in holding)
    return Withdrawn(
        patient=patient,
        cohorts=tuple(holding),
        objects_removed=removed,
        versions=tuple(version for _, version in past),
        unreadable=unreadable,
    )


def versions_holding(
    project: Path, patient: str
) -> tuple[list[tuple[str, CohortVersion]], tuple[CohortVersion, ...]]:
    """Versions of cohorts, over all commits that git knows, whose record names the patient; each with a commit.

    Second: versions whose record neither cache nor remote has. No scan is fetched.
    """
    holding, unreadable = [], []
    for revision, version in versions_over_time(project):
        try:
            if _holds(project, version.name, revision, patient):
                holding.append((revision, version))
        except ScintiflowError:
            unreadable.append(version)
    return holding, tuple(unreadable)


def erase_past(project: Path, patient: str) -> int:
    """Delete the patient's objects, and the pages that picture them, from DVC's cache and from the remote.

    For ever: earlier versions that held the patient can then not be pulled whole any more. What a version of today
    still uses is left. Records (cohort.json) stay: lineage needs them. Returns the number of files deleted.
    Raises ScintiflowError while a cohort of the working tree still holds the patient.
    """
    names = cohort_names(project)
    if any(_holds(project, name, None, patient) for name in names):
        raise ScintiflowError(
            f"{patient} is still in a cohort", where=COHORTS, remedy="Withdraw the patient first, then erase"
        )
    used = {
        md5 for name in cohort_versions(project) for md5 in tracked_hashes(project, None, COHORTS / name).values()
    }
    past, _ = versions_holding(project, patient)
    listed = [
        (path, md5)
        for revision, version in past
        for path, md5 in tracked_hashes(project, revision, COHORTS / version.name).items()
    ]
    doomed = {md5 for path, md5 in listed if path.startswith(f"{patient}/") or is_page(path)}
    return erase_objects(project, doomed - used)


def cohort_names(project: Path) -> list[str]:
    """Cohorts of the working tree, versioned or not."""
    folders = {path.parent.name for path in (project / COHORTS).glob(f"*/{LEDGER}")}
    return sorted(folders | cohort_versions(project).keys())


def _holds(project: Path, name: str, revision: str | None, patient: str) -> bool:
    record = cohort_record(project, name, revision)
    return any(entry.scan is not None and entry.scan.patient == patient for entry in record.entries)


def _check_fetched(project: Path, names: list[str]) -> None:
    for name in names:
        folder = project / COHORTS / name
        if not (folder / LEDGER).is_file():
            raise ScintiflowError(
                "holds the patient and has not been fetched",
                where=folder,
                remedy=f"Run `dvc pull {COHORTS / name}.dvc`, then the same command again",
            )


def _removed_from(cohorts: Path, name: str, patient: str) -> int:
    """Rewrite a cohort without the patient; how many objects that removes."""
    folder = cohorts / name
    with locked(cohorts, name):
        before = read_ledger(folder)
        entries = without_withdrawn(before.entries, frozenset({patient}))
        after = replace(
            before,
            entries=tuple(sorted(entries, key=lambda entry: (entry.sha256, entry.outcome, entry.code, entry.detail))),
        )
        kept = {str(entry.path) for entry in after.entries if entry.is_kept}
        missing = [path for path in kept if not (folder / path).is_file()]
        if missing:
            raise ScintiflowError(
                f"{len(missing)} objects of the cohort are missing",
                where=folder,
                remedy=f"Fetch them with `dvc pull {folder}.dvc`, then run the same command again",
            )
        write_cohort(folder, after, {}, kept, workers=1)
    return len({entry.path for entry in before.entries if entry.is_kept} - kept)
