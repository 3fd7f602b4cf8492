"""A scheduled run looks first, on a CPU; what it finds is what a submitted run would have been told."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from versioned_project import write_cohort

from components.look import look
from scintiflow.cluster.compilation import compile_retrain, source_hashes
from scintiflow.cluster.first_look import look_around
from scintiflow.cluster.pins import Pin
from scintiflow.cluster.provenance import work_key
from scintiflow.cluster.reproduction import find_original, lay_out
from scintiflow.cohorts.versions import COHORTS
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree
from scintiflow.params import load_params
from scintiflow.registry.closing import close_cluster_run
from scintiflow.registry.lineage import History
from scintiflow.registry.models import tag_version
from scintiflow.registry.surroundings import PIPELINE_RUN

ROOT = Path(__file__).parents[2]
COMMIT = "a" * 40


@pytest.fixture(scope="module")
def scheduled(production, tmp_path_factory):
    """The pipeline of a schedule: its tasks and its executors."""
    target = tmp_path_factory.mktemp("scheduled") / "retrain.yaml"
    compile_retrain(target, production, scheduled_at=COMMIT)
    pipeline = next(yaml.safe_load_all(target.read_text()))
    return pipeline["root"]["dag"]["tasks"], pipeline["deploymentSpec"]["executors"]


@pytest.fixture
def volume(laptop, tmp_path):
    """data/ of a cluster's volume, as pull-cohorts leaves it: cohorts, their .dvc files, truth."""
    folder = tmp_path / "volume"
    (folder / "data" / "truth").mkdir(parents=True)
    (folder / "data" / "truth" / "README.md").write_text("none")
    for number, name in enumerate(cohorts_of(laptop)):
        write_cohort(folder, name, {f"P-{name}": 1})
        set_version(folder, name, f"{number}" * 32)
    return folder


def cohorts_of(params) -> list[str]:
    return sorted({*params.ingest.cohorts, *params.restore_real.cohorts})


def set_version(folder, name: str, md5: str) -> None:
    pointer = {"outs": [{"md5": f"{md5}.dir", "size": 1, "nfiles": 1, "hash": "md5", "path": name}]}
    (folder / COHORTS / f"{name}.dvc").write_text(yaml.safe_dump(pointer))


def found(laptop, volume):
    return look_around(laptop, COMMIT, volume / COHORTS, volume / "data" / "truth")


def as_submitted(laptop, volume) -> dict[str, str]:
    """The hashes that `pipeline submit` tells a run for the same versions."""
    names = cohorts_of(laptop)
    pins = [Pin(name, f"dvc:{str(number) * 32}.dir", is_here=True) for number, name in enumerate(names)]
    return {f"{name}_sha256": sha256 for name, sha256 in source_hashes(laptop, volume, pins).items()}


def source_of(task: dict, parameter: str) -> str:
    given = task["inputs"]["parameters"][parameter]
    return given.get("taskOutputParameter", {}).get("producerTask", "")


# --- the pipeline ------------------------------------------------------------------------------------------


def test_what_looks_asks_for_no_gpu_and_what_closes_the_run_neither(scheduled):
    tasks, executors = scheduled
    fresh = {name for name, task in tasks.items() if not task["cachingOptions"].get("enableCache")}
    assert fresh == {"look", "close-run"}  # all that runs where nothing is new
    for name in fresh:
        resources = executors[f"exec-{name}"]["container"]["resources"]
        assert "accelerator" not in resources
        assert resources["resourceCpuRequest"] == "1"


def test_every_step_that_reads_a_source_hears_of_it_from_the_first_one(scheduled):
    """So Kubeflow's cache, which compares parameters by value, knows the step again where nothing is new."""
    tasks, _ = scheduled
    for name, task in tasks.items():
        for parameter in ("cohorts_sha256", "truth_sha256", "registry"):
            if parameter in task.get("inputs", {}).get("parameters", {}):
                assert source_of(task, parameter) == "look", (name, parameter)
    assert source_of(tasks["fetch-champion"], "to_beat") == "look"
    assert source_of(tasks["close-run"], "tags") == "look"


def test_a_submitted_run_does_not_look(package):
    assert "look" not in next(yaml.safe_load_all(package.read_text()))["root"]["dag"]["tasks"]


def test_what_components_import_can_be_imported_where_kubeflow_runs_them():
    """There kfp.dsl is only half loaded, so that anything which compiles pipelines fails to import."""
    bodies = "\n".join(path.read_text() for path in (ROOT / "components").glob("*.py"))
    wanted = sorted(set(re.findall(r"^    from scintiflow[^\n]* import [^\n]*$", bodies, re.MULTILINE)))
    assert len(wanted) > 5
    code = "\n".join(["import kfp.dsl", *(line.strip() for line in wanted)])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"_KFP_RUNTIME": "true"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# --- what it finds -----------------------------------------------------------------------------------------


def test_the_same_versions_give_the_arguments_and_the_work_key_of_a_submitted_run(laptop, volume):
    seen, told = found(laptop, volume), as_submitted(laptop, volume)
    assert (seen.cohorts_sha256, seen.truth_sha256) == (told["cohorts_sha256"], told["truth_sha256"])
    assert seen.tags["work_key"] == work_key(laptop, told)
    assert seen.champion_to_beat == "none"
    assert (seen.tags["git_sha"], seen.tags["tree"]) == (COMMIT, "clean")
    assert found(laptop, volume) == seen


@pytest.mark.parametrize("change", ["version", "withdrawal", "unversioned content"])
def test_what_changes_the_data_changes_the_argument(laptop, volume, change):
    name = cohorts_of(laptop)[0]
    if change == "unversioned content":
        (volume / COHORTS / f"{name}.dvc").unlink()
    before = found(laptop, volume)
    if change == "version":
        set_version(volume, name, "f" * 32)
    elif change == "withdrawal":
        record_withdrawal(volume / COHORTS, Withdrawal(patient="P-1", by="Data manager", on="2026-11-22"))
    else:
        (volume / COHORTS / name / "stray").write_text("more")
    after = found(laptop, volume)
    assert after.cohorts_sha256 != before.cohorts_sha256
    assert after.truth_sha256 == before.truth_sha256


def test_its_own_model_is_no_new_champion_to_beat(laptop, volume, pipeline):
    """Else the run of the next week would judge the same model anew, on a GPU."""
    before = found(laptop, volume)
    pipeline.run("scheduled-1")
    tag_version("scintiflow", "1", {"work_key": before.tags["work_key"]})
    assert found(laptop, volume).champion_to_beat == before.champion_to_beat
    tag_version("scintiflow", "1", {"work_key": "of other work"})
    assert found(laptop, volume).champion_to_beat != before.champion_to_beat


def test_a_cohort_that_the_volume_lacks_is_named(laptop, volume):
    shutil.rmtree(volume / COHORTS / cohorts_of(laptop)[0])
    with pytest.raises(ScintiflowError, match="not on the volume"):
        found(laptop, volume)


# --- what is left of it ------------------------------------------------------------------------------------


def test_a_scheduled_model_can_be_made_again(laptop, volume, pipeline, tmp_path, monkeypatch):
    """From the component's own outputs to all that `scintiflow reproduce` needs."""
    recipe = laptop.model_dump_json(by_alias=True)
    seen = look.python_func(recipe, COMMIT, str(volume / COHORTS), str(volume / "data" / "truth"))
    monkeypatch.setenv(PIPELINE_RUN, "scheduled-7")
    pipeline.cohorts = {}  # the steps of this run fetched folders without .dvc files
    pipeline.run("scheduled-7")
    (tmp_path / "report.html").write_text("report")
    close_cluster_run(json.loads(seen.tags), tmp_path / "report.html", recipe)
    original = find_original("scintiflow@champion", History.read())
    assert original.recipe == laptop.model_dump(mode="json", by_alias=True)
    assert original.cohorts == {name: seen_version(volume, name) for name in cohorts_of(laptop)}
    assert original.truth_sha256 == sha256_tree(volume / "data" / "truth")
    monkeypatch.setattr("scintiflow.cluster.reproduction.fetch_version", lambda project, md5, target: None)
    lay_out(original, volume, tmp_path / "again")
    assert load_params(tmp_path / "again" / "params.yaml") == laptop


def seen_version(volume, name: str) -> str:
    return f"dvc:{yaml.safe_load((volume / COHORTS / f'{name}.dvc').read_text())['outs'][0]['md5']}"
