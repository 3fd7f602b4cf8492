"""The scripts that run in pods, and the image of the MLflow server."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PULL = ROOT / "infra" / "kubernetes" / "pull-cohorts" / "pull.sh"
SCRIPTS = sorted((ROOT / "infra").rglob("*.sh"))
IMAGE = ROOT / "infra" / "images" / "mlflow"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses_and_stops_at_the_first_error(script):
    subprocess.run(["sh", "-n", str(script)], check=True)
    assert "set -eu" in script.read_text()


def run(*words: str, cwd: Path) -> str:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "DVC_NO_ANALYTICS": "1",
    }
    return subprocess.run(words, cwd=cwd, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with one cohort under DVC, of which two revisions were pushed."""
    folder = tmp_path_factory.mktemp("hospital")
    work = folder / "work"
    work.mkdir()
    run("git", "init", "-q", "-b", "main", cwd=work)
    run("git", "config", "user.email", "data@example.org", cwd=work)
    run("git", "config", "user.name", "data", cwd=work)
    (work / ".dvc").mkdir()
    (work / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (work / ".dvc" / "config").write_text(
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = {folder}/store\n"
    )
    for revision in ("first", "second"):
        (work / "data" / "cohorts" / "simulated").mkdir(parents=True, exist_ok=True)
        (work / "data" / "cohorts" / "simulated" / f"{revision}.dcm").write_text(revision)
        run("dvc", "add", "-q", "data/cohorts/simulated", cwd=work)
        run("git", "add", "-A", cwd=work)
        run("git", "commit", "-q", "-m", revision, cwd=work)
        run("git", "tag", revision, cwd=work)
    run("dvc", "push", "-q", "--all-tags", cwd=work)
    return work


def pull(repository: Path, revision: str, volume: Path, cohorts: str = "") -> subprocess.CompletedProcess:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(volume.parent),
        "PYTHONPATH": str(ROOT / "src"),
        "DATA": str(volume),
        "REPOSITORY": str(repository),
        "REVISION": revision,
        "COHORTS": cohorts,
        "DVC_NO_ANALYTICS": "1",
    }
    return subprocess.run(["sh", str(PULL)], env=environment, capture_output=True, text=True)


def forget(store: Path, content: bytes) -> None:
    """Take a file out of the remote."""
    digest = hashlib.md5(content).hexdigest()
    (store / "files" / "md5" / digest[:2] / digest[2:]).unlink()


def test_pull_cohorts_brings_one_revision_and_leaves_the_old_when_it_fails(repository, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    assert pull(repository, "first", volume).returncode == 0
    cohort = volume / "cohorts" / "simulated"
    assert sorted(path.name for path in cohort.iterdir()) == ["first.dcm"]
    assert (volume / "truth").is_dir()

    shutil.move(repository.parent / "store", repository.parent / "gone")
    assert pull(repository, "second", volume).returncode != 0
    assert sorted(path.name for path in cohort.iterdir()) == ["first.dcm"]
    shutil.move(repository.parent / "gone", repository.parent / "store")

    absent = pull(repository, "second", volume, "simulated absent")
    assert "there is no cohort 'absent'" in absent.stderr
    assert sorted(path.name for path in cohort.iterdir()) == ["first.dcm"]

    forget(repository.parent / "store", b"first")  # it is on the volume, so nobody asks for it
    assert pull(repository, "second", volume, "simulated").returncode == 0
    assert sorted(path.name for path in cohort.iterdir()) == ["first.dcm", "second.dcm"]
    assert not [path for path in cohort.iterdir() if path.stat().st_mode & 0o222], "steps only read"
    revision = run("git", "rev-parse", "second", cwd=repository).strip()
    assert (volume / "revision").read_text().strip() == revision
    assert {path.name for path in volume.iterdir()} == {"cohorts", "truth", "revision"}


def test_the_mlflow_server_has_the_version_of_its_clients():
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    versions = dict(re.fullmatch(r"([\w-]+)(?:\[.*\])?==(.+)", line).groups() for line in ours)
    locked = dict(re.findall(r"^([\w-]+)==([\w.]+)", (IMAGE / "requirements.lock").read_text(), re.MULTILINE))
    for package in ("mlflow", "boto3"):
        assert locked[package] == versions[package]
    for overlay in ("small", "gpu"):
        text = (ROOT / "infra" / "kubernetes" / "overlays" / overlay / "kustomization.yaml").read_text()
        assert f"scintiflow-mlflow, newTag: {versions['mlflow']}" in text


def test_the_mlflow_image_can_do_what_its_manifest_asks():
    locked = (IMAGE / "requirements.lock").read_text()
    for needed in ("psycopg2-binary", "flask-wtf", "boto3"):
        assert re.search(f"^{needed}==", locked, re.MULTILINE | re.IGNORECASE), needed
