"""Cohorts under DVC: one `.dvc` file for each delivery. The only module that calls DVC."""

import os
import subprocess
import sys
from pathlib import Path

from scintiflow.errors import ScintiflowError


def tracking_steps(cohort: Path) -> list[str]:
    """The commands that version a cohort, for people who run them by hand."""
    pointer = cohort.with_name(f"{cohort.name}.dvc")
    return [
        f"dvc add {cohort}",
        f"git add {pointer} {cohort.parent / '.gitignore'}",
        f'git commit -m "Cohort {cohort.name}"',
        f"dvc push {pointer}",
    ]


def track_cohort(cohort: Path) -> list[str]:
    """`dvc add` the cohort and `dvc push` it to the configured remote; returns what to say about it.

    Committing the `.dvc` file is left to a person: it is the moment when a cohort is accepted.
    Raises ScintiflowError with DVC's own words when it refuses.
    """
    pointer = cohort.with_name(f"{cohort.name}.dvc")
    before = pointer.read_bytes() if pointer.is_file() else None
    _dvc("add", "--quiet", str(cohort))
    _dvc("push", "--quiet", str(pointer))
    if pointer.read_bytes() == before:
        return [f"DVC: {pointer} is up to date and pushed"]
    steps = tracking_steps(cohort)
    return [f"DVC: {pointer} written and pushed; accept the cohort with", f"  {steps[1]}", f"  {steps[2]}"]


def _dvc(*arguments: str) -> None:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, env=environment, check=False
    )
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines()
        reason = said[-1].removeprefix("ERROR: ") if said else f"exit code {result.returncode}"
        raise ScintiflowError(
            f"`dvc {arguments[0]}` refused: {reason}",
            where=arguments[-1],
            remedy="Mend that and run `scintiflow cohort add` again, or add --no-dvc and version it yourself",
        )
