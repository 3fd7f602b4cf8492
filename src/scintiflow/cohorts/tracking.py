"""From a cohort's folder to a version that a team can fetch: `dvc add`, `dvc push`, and git left to a person."""

from pathlib import Path

from scintiflow.cohorts.remote import first_trouble
from scintiflow.cohorts.versioning import add_folder, default_remote, pull_pointers, push_pointer
from scintiflow.errors import ScintiflowError

AGAIN = "Run the same command again; what has been pushed is not pushed twice"
PULL_AGAIN = "Run the same command again; what has arrived is not fetched twice"


def tracking_steps(cohort: Path) -> list[str]:
    """The commands that version a cohort, for people who run them by hand."""
    pointer = cohort.with_name(f"{cohort.name}.dvc")
    return [
        f"dvc add {cohort}",
        f"git add {pointer} {cohort.parent / '.gitignore'}",
        f'git commit -m "Cohort {cohort.name}"',
        f"dvc push {pointer}",
    ]


def track_cohort(cohort: Path, project: Path = Path()) -> list[str]:
    """`dvc add` the cohort and `dvc push` it to the configured remote; returns what to say about it.

    Committing the `.dvc` file is left to a person: it is the moment when a cohort is accepted.
    Raises ScintiflowError with DVC's own words when it refuses, and if the push failed with what the remote says.
    """
    pointer = cohort.with_name(f"{cohort.name}.dvc")
    before = pointer.read_bytes() if pointer.is_file() else None
    add_folder(cohort)
    push_cohort(pointer, project)
    if pointer.read_bytes() == before:
        return [f"DVC: {pointer} is up to date and pushed"]
    steps = tracking_steps(cohort)
    return [f"DVC: {pointer} written and pushed; accept the cohort with", f"  {steps[1]}", f"  {steps[2]}"]


def push_cohort(pointer: Path, project: Path = Path()) -> None:
    """`dvc push` one cohort. Raises ScintiflowError that says what is wrong with the remote, if something is."""
    try:
        push_pointer(pointer)
    except ScintiflowError as refused:
        trouble = first_trouble(default_remote(project), read_only=False)
        if trouble is not None:
            raise ScintiflowError(
                f"is written but not pushed: {trouble.reason}", where=pointer, remedy=f"{trouble.remedy}. {AGAIN}"
            ) from None
        raise ScintiflowError(f"{refused.reason}, though the remote works now", where=pointer, remedy=AGAIN) from None


def pull_cohorts(project: Path, pointers: list[Path]) -> None:
    """`dvc pull` cohorts. Raises ScintiflowError that says what is wrong with the remote, if something is."""
    try:
        pull_pointers(project, pointers)
    except ScintiflowError as refused:
        trouble = first_trouble(default_remote(project), read_only=True)
        if trouble is None:
            raise
        raise ScintiflowError(
            f"not all is pulled: {trouble.reason}", where=refused.where, remedy=f"{trouble.remedy}. {PULL_AGAIN}"
        ) from None
