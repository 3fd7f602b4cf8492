"""A pod that does a share of ingest fetches the scans of its own patients, at a pinned commit, and no others."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from container_runs import TINY, Image, hospital_project, scintiflow

from scintiflow.cohorts.fetch import patients_at
from scintiflow.cohorts.versioning import tracked_hashes
from scintiflow.cohorts.versions import COHORTS
from scintiflow.dataset.shares import Share
from scintiflow.params import IngestParams, changed, load_params

pytestmark = [pytest.mark.containers, pytest.mark.timeout(7200)]
USER = 10001  # of the image
COHORT = "tiny"
OWN, OTHER = Share(0, 2), Share(1, 2)


@dataclass(frozen=True)
class Hospital:
    """`folder` holds the repository and the DVC remote; `cohorts` is SOURCE@SHA; patients of both shares."""

    folder: Path
    cohorts: str
    own: list[str]
    others: list[str]


@pytest.fixture(scope="module")
def hospital():
    """Simulated children under git and DVC; of the second share's patients the remote has lost every scan."""
    folder = Path(tempfile.mkdtemp(prefix="scintiflow-share-"))  # not pytest's, which only root may enter
    folder.chmod(0o755)
    project = hospital_project(folder / "project")
    dvc = (sys.executable, "-m", "dvc")
    _run(project, *dvc, "remote", "add", "--quiet", "--default", "shared", str(folder / "remote"))
    scintiflow(project, "sample-cohorts", "--profile", "tiny")
    _run(project, *dvc, "push", "--quiet", str(COHORTS / f"{COHORT}.dvc"))
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    _run(project, "git", "add", ".")
    _run(project, "git", *who, "commit", "--quiet", "--message", "Delivery")
    commit = _run(project, "git", "rev-parse", "HEAD")
    source = f"file://{project}"
    patients = sorted(patients_at(f"{source}@{commit}", [COHORT]))
    others = [patient for patient in patients if OTHER.holds(patient)]
    for path, md5 in tracked_hashes(project, None, COHORTS / COHORT).items():
        if path.split("/")[0] in others:
            for store in (folder / "remote", project / ".dvc" / "cache"):
                (store / "files" / "md5" / md5[:2] / md5[2:]).unlink(missing_ok=True)
    for path in (project, *project.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)  # git reads no repository of another user
    yield Hospital(folder, f"{source}@{commit}", [patient for patient in patients if OWN.holds(patient)], others)
    shutil.rmtree(folder)


def run_share(image: Image, hospital: Hospital, share: Share, place: Path) -> subprocess.CompletedProcess[str]:
    params: IngestParams = load_params(hospital.folder / "project" / "params.yaml", TINY).ingest
    request = {
        "repository": str(hospital.folder),
        "ingest": changed(params, cohorts=[COHORT]).model_dump_json(),
        "cohorts": hospital.cohorts,
        "share": share.number,
        "shares": share.of,
        "environment": {"OMP_NUM_THREADS": "1", "SCINTIFLOW_CHECKPOINTS": "/checkpoints"},
    }
    place.mkdir(mode=0o777)
    for name in ("pipeline_root", "cache_root", "checkpoints"):
        (place / name).mkdir()
        (place / name).chmod(0o777)
        request[name] = str(place / name)
    (place / "request.json").write_text(json.dumps(request))
    here = {"DOCKER_HOST": image.host, "SCINTIFLOW_IMAGE": image.name, "TERM": "dumb"}
    command = [sys.executable, str(Path(__file__).with_name("share_in_container.py")), str(place / "request.json")]
    return subprocess.run(command, cwd=place, env=os.environ | here, capture_output=True, text=True, check=False)


def test_a_share_needs_no_scan_of_another_ones_patients(image, hospital):
    assert hospital.own
    assert hospital.others
    done = run_share(image, hospital, OWN, hospital.folder / "own")
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    (report,) = (hospital.folder / "own" / "pipeline_root").rglob("report")
    pairs = list((hospital.folder / "own" / "checkpoints" / "pairs").rglob("*.npz"))
    assert len(pairs) == json.loads(report.read_text())["pairs_prepared"] > 0

    done = run_share(image, hospital, OTHER, hospital.folder / "other")
    assert done.returncode != 0, "else the remote still had what the first share is said to do without"
    assert "cannot be fetched" in done.stdout + done.stderr


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()
