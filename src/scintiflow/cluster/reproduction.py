"""Make a registered model again from what its run recorded: commit, cohorts, parameters. And compare.

The rerun lives in a folder of its own with its own registry; the project and its registry are only read.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

import scintiflow
from scintiflow.cluster.comparison import Comparison, compare_runs
from scintiflow.cluster.local_run import CHANGES
from scintiflow.cluster.pins import CONTENT, DVC
from scintiflow.cluster.source_tree import CODE, applied_worktree
from scintiflow.cohorts.versioning import fetch_version
from scintiflow.cohorts.versions import COHORTS
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree
from scintiflow.registry.lineage import PREFIX, History, ModelRecord, StageRecord, download, recipe_of, tagged
from scintiflow.registry.surroundings import EXPERIMENT, GIT_SHA, PIPELINE_RUN, TRACKING_URI, Surroundings
from scintiflow.stages.checkpoints import CHECKPOINTS
from scintiflow.stages.graph import SOURCES

LOCK = "requirements.lock"


@dataclass(frozen=True)
class Original:
    """What a model version was made of, as its run recorded it."""

    model: ModelRecord
    run_id: str
    code_sha: str
    cohorts: dict[str, str]
    truth_sha256: str
    recipe: dict
    stages: dict[str, StageRecord]


@dataclass(frozen=True)
class Reproduction:
    """`notes` are what a reader must know to judge a difference."""

    original: Original
    comparison: Comparison
    notes: tuple[str, ...]
    folder: Path


def find_original(target: str, history: History) -> Original:
    """Everything that is needed to make MODEL@ALIAS again. Raises ScintiflowError if its run did not record it."""
    name, _, alias = target.partition("@")
    model = history.model(name, alias)
    if model is None:
        raise ScintiflowError("the registry has no such model", where=target, remedy="Name it as MODEL@ALIAS")
    tags = tagged(model.tags, PREFIX)
    run_id = tags.get("pipeline_run_id", "")
    recipe = recipe_of(run_id) if run_id else {}
    stages = history.of_pipeline(run_id) | history.lineage(model)
    if not recipe or "register" not in stages:
        raise ScintiflowError(
            "the run that made it kept no recipe, or is gone",
            where=target,
            remedy="Only models of `scintiflow retrain` can be made again; `scintiflow lineage` tells what is known",
        )
    return Original(
        model=model,
        run_id=run_id,
        code_sha=stages["register"].tags["git_sha"].removesuffix("+changes"),
        cohorts=tagged(tags, "cohort."),
        truth_sha256=tags["truth_sha256"],
        recipe=recipe,
        stages=stages,
    )


def reproduce(original: Original, project: Path, folder: Path) -> Reproduction:
    """Run the original's graph again in `folder`, which must not exist yet, and compare the two.

    Raises ScintiflowError if code or data cannot be had any more, or if the rerun fails.
    """
    folder.mkdir(parents=True)
    workplace = folder / "project"
    lay_out(original, project, workplace)
    with _code(original, folder) as code:
        notes = _notes(code)
        _run(workplace, code, original.code_sha)
    where = Surroundings(_registry(workplace), None, "", "")
    history = History.read(where)
    again = history.of_pipeline(history.records[0].parent_run_id)
    return Reproduction(original, compare_runs(original.stages, again), notes, folder)


def lay_out(original: Original, project: Path, workplace: Path) -> None:
    """A project with the original's recipe, cohorts and truth, and nothing else."""
    workplace.mkdir()
    (workplace / "params.yaml").write_text(yaml.safe_dump(original.recipe, sort_keys=False), encoding="utf-8")
    for name, version in original.cohorts.items():
        _fetch_cohort(project, name, version, workplace / COHORTS / name)
    truth = project / SOURCES["truth"]
    if sha256_tree(truth) != original.truth_sha256:
        raise ScintiflowError(
            "the truth of the simulated children is not what the run read",
            where=SOURCES["truth"],
            remedy="Make it again with `scintiflow sample-cohorts` and the profile of that time",
        )
    shutil.copytree(truth, workplace / SOURCES["truth"])
    for path in _weights(original.recipe):
        if not Path(path).is_absolute():
            (workplace / path).parent.mkdir(parents=True, exist_ok=True)
            (workplace / path).symlink_to((project / path).resolve())


def _fetch_cohort(project: Path, name: str, version: str, target: Path) -> None:
    if version.startswith(DVC):
        fetch_version(project, version.removeprefix(DVC), target)
        return
    here = project / COHORTS / name
    if not here.is_dir() or f"{CONTENT}{sha256_tree(here)}" != version:
        raise ScintiflowError(
            "the run read a state of this cohort that was never versioned, and it is gone",
            where=COHORTS / name,
            remedy="Nothing can bring it back; `scintiflow retrain` without --allow-dirty prevents it",
        )
    shutil.copytree(here, target)


def _weights(recipe: dict) -> list[str]:
    """Paths of weight files that the recipe names."""
    evaluate, checkpoint = recipe["evaluate"], recipe["adapt_sam"]["architecture"]["checkpoint"]
    return [path for path in (checkpoint, evaluate["lpips_trunk"], evaluate["inception"]) if path]


@contextmanager
def _code(original: Original, folder: Path) -> Iterator[Path]:
    """The code of the original's commit, with its uncommitted changes if there were any."""
    changed = original.model.tags.get(f"{PREFIX}tree") == "dirty"
    diff = download(original.run_id, CHANGES, folder) if changed else None
    with applied_worktree(Path(scintiflow.__file__).parent, original.code_sha, folder / "code", diff, CODE) as code:
        yield code


def _notes(code: Path) -> tuple[str, ...]:
    here = Path(scintiflow.__file__).parents[2] / LOCK
    if here.is_file() and sha256_file(here) != sha256_file(code / LOCK):
        return (f"That commit has another {LOCK} than this environment: differences may come from other packages.",)
    return ()


def _run(workplace: Path, code: Path, code_sha: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(code / "src"), str(code)]),
        TRACKING_URI: _registry(workplace),
        GIT_SHA: code_sha,
    }
    for name in (PIPELINE_RUN, EXPERIMENT, CHECKPOINTS):
        environment.pop(name, None)
    command = [sys.executable, "-m", "scintiflow.cli", "retrain", "--params", "params.yaml", "--allow-dirty"]
    result = subprocess.run(command, cwd=workplace, env=environment, stdout=sys.stderr, check=False)
    if result.returncode != 0:
        raise ScintiflowError(
            f"the rerun ended with exit code {result.returncode}",
            where=workplace,
            remedy="What it said is above; the folder is kept for a look",
        )


def _registry(workplace: Path) -> str:
    return f"sqlite:///{workplace.resolve()}/mlflow.db"
