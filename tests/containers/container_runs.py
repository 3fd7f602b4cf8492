"""What the tests of the image share: the built image, and what a retrain in it left."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from docker_daemon import docker

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests" / "e2e" / "tiny.yaml"
EXPERIMENT = "containers"
RUN = "retrain-in-containers"
SHARDS = 2  # of ingest and of distil_priors


@dataclass(frozen=True)
class Image:
    """The built image, and how to run a command in it as strictly as a cluster does."""

    host: str
    name: str
    bill: Path

    def run(self, *command: str, check: bool = True, network: str = "none", user: str = "") -> str:
        """What a command prints in a container with a read-only root, no capability and no network."""
        options = ["--rm", "--read-only", "--tmpfs", "/tmp:exec", "--cap-drop", "ALL", "--network", network]
        options += ["--security-opt", "no-new-privileges", *(["--user", user] if user else [])]
        done = docker("run", *options, self.name, *command, host=self.host, check=check)
        return done.stdout + ("" if check else done.stderr)


@dataclass(frozen=True)
class Retrained:
    """A finished retrain: the address of its MLflow, its outputs on this machine, what was printed.

    `tasks` holds the folder of the run with one of each task; `volume` is what all containers had mounted.
    """

    mlflow: str
    outputs: dict[str, Path]
    tasks: Path
    volume: Path
    log: str


def hospital_project(folder: Path) -> Path:
    """A hospital's project without the code, which only the image has."""
    for part in ("profiles", "data/truth", "data/cohorts"):
        (folder / part).mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    for profile in (*(ROOT / "profiles").iterdir(), TINY):
        shutil.copy(profile, folder / "profiles")
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def scintiflow(project: Path, *arguments: str) -> None:
    """A command of this checkout, typed in a project."""
    command = [sys.executable, "-m", "scintiflow.cli", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
