"""A user's project: the recipe and folders for data, without the product's code; and what a user does there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from mlflow import MlflowClient

ROOT = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")


def lay_out(folder: Path, *more: str) -> Path:
    """The recipe with its profiles and `tiny.yaml`, empty folders for cohorts and truth, and `more` of our files."""
    for name in ("params.yaml", *more):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    shutil.copy(TINY, folder / "profiles")
    for name in ("truth", "cohorts"):
        (folder / "data" / name).mkdir(parents=True)
    return folder


def under_git_and_dvc(folder: Path) -> Path:
    """The same under git, nothing committed, with DVC as this project has it set up."""
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    return folder


def surroundings() -> dict[str, str]:
    """The environment of a user who set nothing."""
    chosen = ("MLFLOW_", "SCINTIFLOW_")
    return {name: value for name, value in os.environ.items() if not name.startswith(chosen)} | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
    }


def scintiflow(project: Path, *arguments: str, expect: int = 0) -> str:
    """What the command says, out and err, when it ends with `expect`."""
    if arguments[0] in ("retrain", "plan"):  # nothing in this project is committed
        arguments = (*arguments, "--allow-dirty")
    result = subprocess.run(
        [sys.executable, "-m", "scintiflow.cli", *arguments],
        cwd=project, env=surroundings(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = result.stdout + result.stderr
    assert result.returncode == expect, said
    return said


def change(project: Path, **sections: dict) -> None:
    """Change keys of sections of the profile `tiny`."""
    path = project / "profiles" / "tiny.yaml"
    values = yaml.safe_load(path.read_text())
    for section, changes in sections.items():
        values[section] = values[section] | changes
    path.write_text(yaml.safe_dump(values))


def client_of(project: Path) -> MlflowClient:
    store = f"sqlite:///{project}/mlflow.db"
    return MlflowClient(store, registry_uri=store)  # another test of this process may have set one for all


def runs(project: Path, experiment: str = "tiny"):
    """The client of the project's MLflow, the runs of the pipeline, the runs of its stages."""
    client = client_of(project)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    parents = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
    return client, parents, [run for run in found if "mlflow.parentRunId" in run.data.tags]
