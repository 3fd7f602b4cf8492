"""A Docker daemon that is started for these tests, the image built from the Dockerfile as it is, one retrain in it.

A daemon that DOCKER_HOST names is used instead of an own one; what it has built before makes the build short.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "registry"))

from container_runs import EXPERIMENT, ROOT, RUN, SHARDS, Image, Retrained, hospital_project, scintiflow
from docker_daemon import BASE, docker, docker_daemon, make_base_image
from mlflow_server import mlflow_server

BYTES_NEEDED = 25e9
# Values that a cluster takes from ConfigMaps, Secrets and claims; here the containers are given them directly.
NOTHING_OF_A_CLUSTER = {"settings": [], "secrets": [], "volumes": []}
PLACEMENT = {"every_step": NOTHING_OF_A_CLUSTER, "ingest": {"shards": SHARDS}, "distil_priors": {"shards": SHARDS}}


@pytest.fixture(scope="session")
def daemon(need):
    if os.environ.get("DOCKER_HOST"):
        yield os.environ["DOCKER_HOST"]
        return
    for program in ("dockerd", "mmdebstrap"):
        need(program, shutil.which(program))
    if os.geteuid() != 0:
        pytest.skip("dockerd and mmdebstrap need root: run the tests as root")
    if shutil.disk_usage(tempfile.gettempdir()).free < BYTES_NEEDED:
        pytest.skip(f"less than {BYTES_NEEDED / 1e9:.0f} GB are free under {tempfile.gettempdir()}")
    with docker_daemon(Path(tempfile.mkdtemp(prefix="scintiflow-docker-"))) as address:
        yield address


@pytest.fixture(scope="session")
def image(daemon, need, tmp_path_factory):
    """Built as `make images` builds it."""
    if docker("image", "inspect", BASE, host=daemon, check=False).returncode != 0:
        need("mmdebstrap", shutil.which("mmdebstrap"))
        make_base_image(daemon, tmp_path_factory.mktemp("base"))
    # The daemon has no network of its own; Debian's has no BuildKit either.
    chosen = {"DOCKER_HOST": daemon, "DOCKER_BUILDKIT": "0", "BUILD_OPTIONS": "--network host"}
    done = subprocess.run(
        [ROOT / "infra" / "images" / "build.sh"], env=os.environ | chosen, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    name = re.search(r"^Image: +(\S+)", done.stdout, re.MULTILINE)
    bill = re.search(r"^Bill of materials: +(\S+)", done.stdout, re.MULTILINE)
    assert name is not None
    assert bill is not None
    return Image(daemon, name[1], ROOT / bill[1])


@pytest.fixture(scope="session")
def retrained(image):
    """The cluster's pipeline with the tiny profile, one container for each step, against an MLflow server."""
    folder = Path(tempfile.mkdtemp(prefix="scintiflow-retrain-"))  # not pytest's, which only root may enter
    try:
        yield from _retrain(image, folder)
    finally:
        shutil.rmtree(folder)


def _retrain(image: Image, folder: Path) -> Iterator[Retrained]:
    folder.chmod(0o755)
    project = hospital_project(folder / "project")
    overlay = project / "profiles" / "tiny.yaml"
    scintiflow(project, "sample-cohorts", "--profile", "tiny")
    values = yaml.safe_load(overlay.read_text()) | {"placement": PLACEMENT}
    overlay.write_text(yaml.safe_dump(values))
    for name in ("pipeline", "cache", "checkpoints"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)

    with mlflow_server(f"sqlite:///{folder}/mlflow.db", folder / "artifacts") as address:
        surroundings = {
            "MLFLOW_TRACKING_URI": address,
            "SCINTIFLOW_EXPERIMENT": EXPERIMENT,
            "SCINTIFLOW_PIPELINE_RUN": RUN,
        }
        request = {
            "project": str(project),
            "overlay": str(overlay),
            "pipeline_root": str(folder / "pipeline"),
            "cache_root": str(folder / "cache"),
            "checkpoints": str(folder / "checkpoints"),
            "experiment": EXPERIMENT,
            "environment": surroundings | {"OMP_NUM_THREADS": "1", "SCINTIFLOW_CHECKPOINTS": "/checkpoints"},
            "result": str(folder / "result.json"),
        }
        (folder / "request.json").write_text(json.dumps(request))
        command = [
            sys.executable,
            str(Path(__file__).with_name("run_in_containers.py")),
            str(folder / "request.json"),
        ]
        here = surroundings | {"DOCKER_HOST": image.host, "SCINTIFLOW_IMAGE": image.name, "TERM": "dumb"}
        done = subprocess.run(command, cwd=folder, env=os.environ | here, capture_output=True, text=True, check=False)
        log = done.stdout + done.stderr
        assert done.returncode == 0, log[-8000:]
        outputs = json.loads((folder / "result.json").read_text())
        made = {name: Path(path) for name, path in outputs.items()}
        yield Retrained(address, made, folder / "pipeline", folder / "checkpoints", log)
