"""An independent judge of what we write: `dciodvfy` of David Clunie's dicom3tools."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from scintiflow.errors import ScintiflowError

LONGEST_SECONDS = 120


class Verdict(NamedTuple):
    path: Path
    errors: list[str]
    warnings: list[str]


def validate(paths: Iterable[Path]) -> list[Verdict]:
    """What `dciodvfy` says about each DICOM file, in the order given. Raises ScintiflowError if it is absent."""
    program = Path(sys.executable).parent / "dciodvfy"
    if not program.is_file():
        raise ScintiflowError("dciodvfy is not installed", where=program, remedy="Install the package dicom3tools")
    return [_verdict(program, path) for path in paths]


def _verdict(program: Path, path: Path) -> Verdict:
    done = subprocess.run(
        [str(program), str(path.resolve())],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LONGEST_SECONDS,
        check=False,
    )
    lines = (done.stdout + "\n" + done.stderr).splitlines()
    errors = [line for line in lines if line.startswith("Error")]
    if done.returncode != 0 and not errors:
        errors = [f"Error - dciodvfy ended with {done.returncode}"]
    return Verdict(path, errors, [line for line in lines if line.startswith("Warning")])
