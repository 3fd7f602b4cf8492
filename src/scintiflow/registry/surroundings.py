"""Where runs are kept and which code made them, from the environment with embedded defaults."""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TRACKING_URI = "MLFLOW_TRACKING_URI"
EXPERIMENT = "SCINTIFLOW_EXPERIMENT"
PIPELINE_RUN = "SCINTIFLOW_PIPELINE_RUN"
GIT_SHA = "SCINTIFLOW_GIT_SHA"

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"


@dataclass(frozen=True)
class Surroundings:
    """What a stage's MLflow run belongs to.

    Attributes:
        tracking_uri: MLflow server or database; SQLite in the working directory by default.
        artifact_root: where a new experiment keeps files; None when a server decides.
        experiment: name of the MLflow experiment.
        pipeline_run: identity of the pipeline run whose parent run the stage joins.
    """

    tracking_uri: str
    artifact_root: str | None
    experiment: str
    pipeline_run: str


def surroundings() -> Surroundings:
    uri = os.environ.get(TRACKING_URI) or f"sqlite:///{Path.cwd() / DATABASE}"
    is_local = uri.startswith("sqlite:")
    folder = Path(uri.removeprefix("sqlite:///")).parent / ARTIFACTS if is_local else None
    return Surroundings(
        tracking_uri=uri,
        artifact_root=folder.absolute().as_uri() if folder else None,
        experiment=os.environ.get(EXPERIMENT, "scintiflow"),
        pipeline_run=os.environ.get(PIPELINE_RUN, "single-stages"),
    )


def name_the_run(experiment: str, name: str) -> None:
    """Tell every stage, through the environment, which run it belongs to and where that is kept."""
    os.environ[PIPELINE_RUN] = name
    os.environ[EXPERIMENT] = experiment
    os.environ[TRACKING_URI] = surroundings().tracking_uri


def stamp_the_code() -> None:
    """Fix, for every stage, which commit the code is. What differs from it must have been looked at before."""
    os.environ[GIT_SHA] = git_sha()


def git_sha() -> str:
    """The commit of the code that runs, '+changes' appended when the tree differs, or 'unknown'.

    An image carries it in `SCINTIFLOW_GIT_SHA`; in a checkout git is asked, once for each process.
    """
    return os.environ.get(GIT_SHA) or _asked_of_git()


@cache
def _asked_of_git() -> str:
    here = Path(__file__).parent
    try:
        sha = _git("rev-parse", "HEAD", cwd=here)
        changed = _git("status", "--porcelain", "--untracked-files=no", cwd=here)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{sha}+changes" if changed else sha


def _git(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()
