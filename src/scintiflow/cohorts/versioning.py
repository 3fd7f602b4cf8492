"""Cohorts under DVC: one `.dvc` file for each delivery. The only module that calls DVC."""

import json
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
    _dvc("add", str(cohort))
    _dvc("push", str(pointer))
    if pointer.read_bytes() == before:
        return [f"DVC: {pointer} is up to date and pushed"]
    steps = tracking_steps(cohort)
    return [f"DVC: {pointer} written and pushed; accept the cohort with", f"  {steps[1]}", f"  {steps[2]}"]


def _dvc(*arguments: str, cwd: Path | None = None) -> str:
    """What `dvc ARGUMENTS` prints."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd=cwd,
    )
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip().splitlines()
        errors = [line.removeprefix("ERROR:").strip() for line in said if line.startswith("ERROR:")]
        reason = (errors or said or [f"exit code {result.returncode}"])[0]  # advice and traces follow
        raise ScintiflowError(
            f"`dvc {arguments[0]}` refused: {reason}",
            where=arguments[-1],
            remedy="Mend that and run `scintiflow cohort add` again, or add --no-dvc and version it yourself",
        )
    return result.stdout


def tracked_bytes(project: Path, revision: str | None, path: Path) -> bytes:
    """One file that DVC tracks, at a git revision or as the working tree's `.dvc` file has it.

    It comes from the cache or else from the remote; its neighbours are not fetched.
    Raises ScintiflowError if neither has it, with DVC's own words.
    """
    import dvc.api

    try:
        with dvc.api.open(path.as_posix(), repo=str(project), rev=revision, mode="rb") as source:
            return source.read()
    except Exception as error:  # DVC and each of its file systems raise their own kinds
        raise ScintiflowError(
            f"cannot be fetched: {error or type(error).__name__}",
            where=f"{revision}:{path.as_posix()}" if revision else path,
            remedy="Whoever added the cohort must `dvc push` it; try the remote with `scintiflow remote check`",
        ) from None


def modified_folders(project: Path, pointers: list[Path]) -> set[Path]:
    """Folders, of those that `pointers` (`.dvc` files inside `project`) name, whose files differ from them.

    A folder that is not there was never fetched, and is not modified. Takes a hash of each file that DVC has not
    seen before. Raises ScintiflowError with DVC's own words.
    """
    present = [pointer for pointer in pointers if (project / pointer).with_suffix("").is_dir()]
    if not present:
        return set()
    said = _dvc("status", "--json", *(pointer.as_posix() for pointer in present), cwd=project)
    changes = [
        change for listed in json.loads(said or "{}").values() for change in listed if isinstance(change, dict)
    ]
    states = [state for change in changes for state in change.get("changed outs", {}).items()]
    return {Path(path) for path, state in states if state == "modified"}
