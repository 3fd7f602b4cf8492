"""A project in a temporary folder: git, DVC, a remote that is a folder, and small cohorts written by hand."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from zlib import crc32

from dvc.config import Config
from dvc.repo import Repo

from scintiflow.cohorts.ledger import LEDGER, Entry, Ledger
from scintiflow.dicom.scan import ScanSummary
from scintiflow.files import sha256_file, write_json

WHO = ("-c", "user.name=Data team", "-c", "user.email=data@example.org")
PROTOCOL = {
    "standard_velocity_mm_s": 3.333,
    "rapid_velocity_mm_s": 6.667,
    "velocity_tolerance": 0.1,
    "youngest_years": 0.0,
    "oldest_years": 18.0,
    "pair_within_hours": 6.0,
    "smallest_counts_per_view": 1,
}


def git(project: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *WHO, *arguments], cwd=project, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def dvc(project: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def make_project(folder: Path, remote: str | None = None) -> Path:
    """An empty project whose default remote is `remote`, or a folder beside it."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    url = remote or str(folder.with_name(f"{folder.name}-remote"))
    (folder / ".dvc").mkdir()  # what `dvc init` makes, without waiting for it
    (folder / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / ".dvc/config").write_text(
        f"[core]\n    analytics = false\n    remote = team\n['remote \"team\"']\n    url = {url}\n"
    )
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


def set_option(project: Path, option: str, value: str | None, level: str = "repo") -> None:
    """A setting of the remote in .dvc/config ('repo') or .dvc/config.local ('local'); None takes it away."""
    with Config(dvc_dir=str(project / ".dvc")).edit(level) as config:
        options = config["remote"].setdefault("team", {})
        options.pop(option, None) if value is None else options.update({option: value})


def write_cohort(
    project: Path, name: str, patients: dict[str, int | list[int]], padding: int = 0, **facts: object
) -> Path:
    """A cohort with one accepted pair for each study of each patient; the number is the content of a study.

    Objects hold a few bytes and `padding`: whoever versions cohorts does not look into them. `facts` of the scans.
    """
    folder = project / "data/cohorts" / name
    entries = []
    for patient, contents in patients.items():
        for number, content in enumerate(contents if isinstance(contents, list) else [contents]):
            for speed, velocity in (("rapid", 6.667), ("standard", 3.333)):
                path = f"{patient}/S-{number:016x}/N-{speed}.dcm"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(f"{patient} {number} {speed} {content}".encode() + bytes(padding))
                entries.append(_entry(folder, path, patient, number, speed, velocity, content, facts))
    ledger = Ledger(
        name=name,
        key_fingerprint="0123456789abcdef",
        key_is_public=True,
        protocol=PROTOCOL,
        entries=tuple(sorted(entries, key=lambda entry: entry.sha256)),
    )
    (folder / "cohort.html").write_text(f"<p>{name}</p>")
    write_json(folder / LEDGER, ledger.to_json())
    return folder


def _entry(
    folder: Path, path: str, patient: str, number: int, speed: str, velocity: float, content: int, facts: dict
) -> Entry:
    digest = sha256_file(folder / path)
    summary = ScanSummary(
        patient=patient,
        study_uid=f"2.25.{crc32(patient.encode())}.{number}",
        instance_uid=f"2.25.{int(digest[:12], 16)}",
        acquired=f"2020-01-0{number + 1}T10:{10 if speed == 'rapid' else 40}:00",
        duration_s=300.0,
        velocity_mm_s=velocity,
        views=("anterior", "posterior"),
        shape=(2, 8, 8),
        spacing_mm=2.4,
        counts_per_view=(1000, 1000) if speed == "rapid" else (2000, 2000),
        counts_sha256=digest,
        age_years=5.0,
    )
    entry = Entry(
        sha256=digest[::-1], outcome="accepted", path=path, object_sha256=digest, patient_check="", scan=summary
    )
    return replace(entry, scan=replace(summary, **facts))


def commit_cohort(project: Path, name: str, message: str, push: bool = True) -> str:
    """Add to DVC, commit and push; the commit's SHA. What `dvc add` and `dvc push` do, without waiting for them."""
    pointer = f"data/cohorts/{name}.dvc"
    with Repo(str(project)) as repo:
        repo.add([str(project / "data/cohorts" / name)])
        to_folder = "://" not in repo.config["remote"]["team"]["url"]
        if push and to_folder:
            repo.push([str(project / pointer)])
    if push and not to_folder:
        dvc(project, "push", pointer)  # in a process of its own: clients of S3 are kept as long as the process
    git(project, "add", pointer, "data/cohorts/.gitignore")
    git(project, "commit", "--quiet", "--message", message)
    return git(project, "rev-parse", "HEAD")
