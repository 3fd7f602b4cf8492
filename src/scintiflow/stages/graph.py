"""The graph of stages as data: what each reads, what each writes, where a laptop keeps it.

`pipelines/retrain.py` and `dvc.yaml` spell the same graph for Kubeflow and for DVC; a test holds
all three together. Edges follow from names: a stage that reads `dataset` runs after the one that
writes `dataset`.
"""

from dataclasses import dataclass
from pathlib import Path

from scintiflow.errors import ScintiflowError

# Inputs that no stage makes: a hospital's deliveries, and the truth of simulated children.
SOURCES = {"cohorts": Path("data/cohorts"), "truth": Path("data/truth")}
BUILD = Path("build")
REPORTS = BUILD / "reports"


@dataclass(frozen=True)
class StageSpec:
    """One stage: module `scintiflow.stages.<name>`, params section `<name>`."""

    name: str
    title: str
    reads: tuple[str, ...]
    writes: str


STAGES = (
    StageSpec("ingest", "Ingest cohorts", reads=("cohorts",), writes="dataset"),
    StageSpec("adapt_sam", "Adapt SAM", reads=("dataset", "truth"), writes="sam"),
    StageSpec("distil_priors", "Distil semantic priors", reads=("dataset", "sam"), writes="priors"),
    StageSpec("train_cascade", "Train the cascade", reads=("dataset", "priors"), writes="cascade"),
    StageSpec("fetch_champion", "Fetch the champion", reads=(), writes="champion"),
    StageSpec(
        "evaluate",
        "Evaluate on held-out patients",
        reads=("dataset", "sam", "priors", "cascade", "champion", "truth"),
        writes="evaluation",
    ),
    StageSpec("register", "Register the model", reads=("cascade", "evaluation"), writes="registration"),
    StageSpec(
        "restore_real",
        "Restore the real scan",
        reads=("cohorts", "evaluation", "registration"),
        writes="restored",
    ),
)

# What pipelines/ablation.py adds; `scores` are those of one training.
ABLATION_STAGES = (
    StageSpec("unadapted_sam", "SAM as it comes", reads=(), writes="sam"),
    StageSpec(
        "ablation_arm",
        "Train and score one arm",
        reads=("dataset", "priors", "unadapted_priors", "truth"),
        writes="scores",
    ),
    StageSpec("ablation_table", "Ablation table", reads=("scores",), writes="table"),
)

BY_NAME = {stage.name: stage for stage in STAGES}
TITLES = {stage.name: stage.title for stage in (*STAGES, *ABLATION_STAGES)}


def find_stage(name: str, where: str) -> StageSpec:
    """The stage of that name; a ScintiflowError that lists all of them if `where` named another."""
    if name not in BY_NAME:
        raise ScintiflowError(f"there is no stage '{name}'", where=where, remedy=f"Stages: {', '.join(BY_NAME)}")
    return BY_NAME[name]


def edges() -> set[tuple[str, str]]:
    """(upstream, downstream) pairs of stage names."""
    maker = {stage.writes: stage.name for stage in STAGES}
    return {(maker[read], stage.name) for stage in STAGES for read in stage.reads if read in maker}


def upstream_of(stage: str) -> set[str]:
    """Names of all stages that must have finished before this one starts."""
    direct = {before for before, after in edges() if after == stage}
    return direct.union(*(upstream_of(before) for before in direct))


def laptop_path(name: str) -> Path:
    """Where DVC and `scintiflow stage` keep an input or output, relative to the project."""
    return SOURCES.get(name, BUILD / name)
