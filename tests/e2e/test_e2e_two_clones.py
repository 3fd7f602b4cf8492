"""A data team pushes a cohort; the MLOps clone sees it, plans it, trains on it, and the run says which data it was.

The MLOps side types what .github/workflows/retrain.yml does. Minutes of work: `pytest -m slow` with this file.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from projects import client_of, lay_out

import scintiflow
from scintiflow.stages.graph import STAGES

ROOT = Path(__file__).parents[2]
TITLES = {stage.title: stage.name for stage in STAGES}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def run(folder: Path, *command: str, expect: int = 0, **environment: str) -> str:
    """What a command says, with the programs of this environment on the path and a stamped code version."""
    surroundings = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1",
        "SCINTIFLOW_GIT_SHA": "c"
        * 40,  # as in an image: this project is a recipe and cohorts, the code lies elsewhere
    }
    for name in ("MLFLOW_TRACKING_URI", "SCINTIFLOW_PIPELINE_RUN", "SCINTIFLOW_EXPERIMENT"):
        surroundings.pop(name, None)
    result = subprocess.run(
        command, cwd=folder, env=surroundings | environment, capture_output=True, text=True, check=False
    )
    said = result.stdout + result.stderr
    assert result.returncode == expect, said
    return said if expect else result.stdout


def git(folder: Path, *arguments: str) -> str:
    return run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments)


def cli(folder: Path, *arguments: str, expect: int = 0, **environment: str) -> str:
    return run(folder, sys.executable, "-m", "scintiflow.cli", *arguments, expect=expect, **environment)


def plan(folder: Path, expect: int, **environment: str) -> dict:
    said = cli(folder, "plan", "--profile", "tiny", "--json", expect=expect, **environment)
    return json.loads(said[said.index("{") : said.rindex("}") + 1])


def to_run(planned: dict) -> list[str]:
    return [stage["name"] for stage in planned["stages"] if stage["runs"]]


def ran(said: str) -> list[str]:
    return [TITLES[title] for title in re.findall(r"^  > (.+?) +running$", said, re.MULTILINE)]


@pytest.fixture(scope="module")
def clones(tmp_path_factory):
    """(the data team's clone, the MLOps clone)."""
    place = tmp_path_factory.mktemp("clones")
    run(place, "git", "init", "-q", "--bare", "-b", "main", "origin")
    run(place, "git", "clone", "-q", "origin", "data-team")
    team = place / "data-team"
    lay_out(team, ".gitignore")
    (team / "data" / "truth" / "README.md").write_text("The truth of simulated children; no clinic has one.\n")
    run(team, "dvc", "init", "-q")
    run(team, "dvc", "remote", "add", "-q", "-d", "shared", str(place / "remote"))
    cli(team, "sample-cohorts", "--profile", "tiny")
    git(team, "add", ".")
    git(team, "commit", "-qm", "First delivery")
    git(team, "push", "-q", "origin", "HEAD:main")
    run(place, "git", "clone", "-q", "origin", "mlops")
    return team, place / "mlops"


def fire(project: Path) -> str:
    git(project, "pull", "-q", "origin", "main")
    cli(project, "cohort", "pull", "--profile", "tiny")
    return cli(project, "retrain", "--if-needed", "--profile", "tiny")


def test_a_pushed_cohort_is_planned_trained_on_and_recorded(clones):
    team, project = clones
    first = fire(project)
    assert set(ran(first)) == set(TITLES.values())
    assert "No retrain: nothing to do" in fire(project)  # the trigger fires again for the same data

    deliver_second_cohort(team)
    git(project, "pull", "-q", "origin", "main")
    away = plan(project, expect=4)
    assert [found["where"] for found in away["obstacles"]] == ["data/cohorts/second"]
    assert {found["name"] for found in away["changed_cohorts"]} <= {"second"}

    run(project, "dvc", "pull", "-q", "data/cohorts/second.dvc")
    planned = plan(project, expect=3)
    assert to_run(planned)[0] == "ingest"
    assert any("second" in reason for reason in planned["stages"][0]["reasons"])
    assert planned["total"]["seconds"] > 0

    said = fire(project)
    assert sorted(ran(said)) == sorted(to_run(planned))
    assert "No retrain" in fire(project)
    the_reviewer_sees_the_cohort(project, planned)


def deliver_second_cohort(team: Path) -> None:
    export = team / "data" / "exports"
    cli(team, "phantom", "--profile", "tiny", "--children", "2", "--seed", "77",
        "--export", str(export / "more"), "--truth", str(export / "truth"))  # fmt: skip
    key = "profiles/public-demonstration.key"
    cli(team, "cohort", "add", str(export / "more"), "--name", "second", "--profile", "tiny", "--key-file", key)
    path = team / "profiles" / "tiny.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["ingest"]["cohorts"].append("second")
    path.write_text(yaml.safe_dump(recipe))
    git(team, "add", ".")
    git(team, "commit", "-qm", "Second delivery")
    git(team, "push", "-q", "origin", "HEAD:main")


def the_reviewer_sees_the_cohort(project: Path, planned: dict) -> None:
    version = f"dvc:{yaml.safe_load((project / 'data/cohorts/second.dvc').read_text())['outs'][0]['md5']}"
    client = client_of(project)
    experiment = client.get_experiment_by_name("tiny").experiment_id
    runs = client.search_runs([experiment], filter_string=f"tags.`scintiflow.work_key` = '{planned['work_key']}'")
    assert [found.info.status for found in runs] == ["FINISHED"]
    tags = runs[0].data.tags
    assert tags["scintiflow.cohort.second"] == version
    assert tags["scintiflow.tree"] == "clean"
    assert tags["scintiflow.git_sha"] == git(project, "rev-parse", "HEAD").strip()
    registered = client.search_model_versions("name='scintiflow'")[0]
    assert registered.tags["scintiflow.cohort.second"] == version
    told = json.loads(cli(project, "lineage", f"scintiflow@{registered.version}", "--json"))
    cohorts = {node["title"]: node["facts"]["version"] for node in told["nodes"] if node["kind"] == "cohort"}
    assert version.startswith(cohorts["second"])
    assert "second" in {file["cohort"] for file in told["files"]}


def test_changed_code_runs_what_the_plan_says(clones, tmp_path):
    """After the test above: a copy of the code with one stage edited, as another image would bring it."""
    _, project = clones
    code = tmp_path / "code"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(scintiflow.__file__).parents[1], code / "src", ignore=ignored)
    for name in ("components", "pipelines"):
        shutil.copytree(ROOT / name, code / name, ignore=ignored)
    shutil.copy(ROOT / "requirements.lock", code)
    surroundings = {"PYTHONPATH": f"{code / 'src'}:{code}"}
    assert plan(project, expect=0, **surroundings)["verdict"] == "nothing to do"
    stage = code / "src" / "scintiflow" / "stages" / "restore_real.py"
    stage.write_text(stage.read_text() + "\n")
    planned = plan(project, expect=3, **surroundings)
    assert to_run(planned) == ["restore_real"]
    assert planned["stages"][-1]["reasons"] == ["code"]
    said = cli(project, "retrain", "--profile", "tiny", **surroundings)
    assert ran(said) == ["restore_real"]


def test_a_model_is_made_again_bit_for_bit(clones, tmp_path):
    """The project's own history holds no code, so the code comes from the repository of the installed package."""
    _, project = clones
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    if not head:
        pytest.skip("the code is in no git repository; run this in a checkout")
    cli(project, "retrain", "--profile", "tiny", "--again", "train_cascade", SCINTIFLOW_GIT_SHA=head)
    versions = client_of(project).search_model_versions("name='scintiflow'")
    newest = max(versions, key=lambda found: int(found.version)).version
    said = cli(project, "reproduce", f"scintiflow@{newest}", "--json", "--folder", str(tmp_path / "rerun"))
    result = json.loads(said[said.index("{") :])
    assert result["reproduced"], result
    same = {stage["stage"]: stage["same_bytes"] for stage in result["stages"]}
    assert all(same[stage] for stage in ("ingest", "adapt_sam", "distil_priors", "train_cascade"))
