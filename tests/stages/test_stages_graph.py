"""One graph, spelt three times: for the product, for Kubeflow, for DVC. They must agree."""

import inspect
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from pipelines import first_steps, retrain
from scintiflow.cluster.compilation import compile_retrain
from scintiflow.errors import ScintiflowError
from scintiflow.params import load_params
from scintiflow.progress import EVENTS_FILE
from scintiflow.stages import door, graph
from scintiflow.stages.code_version import code_version, stage_modules

ROOT = Path(__file__).parents[2]
CLOSING = "close_run"  # what a cluster's pipeline has beside the stages
# Doors and ground-floor helpers; a change there does not change what DVC should recompute.
NOT_TRACKED_BY_DVC = {"errors", "files", "params", "progress", "tracking", "structures"}


@pytest.fixture(scope="module", autouse=True)
def _quick_compilation(short_stacks):
    """Ten pipelines are compiled here."""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    target = tmp_path_factory.mktemp("ir") / "retrain.yaml"
    compile_retrain(target, load_params(ROOT / "params.yaml"))
    return next(yaml.safe_load_all(target.read_text()))


def artifact_edges(compiled) -> set[tuple[str, str]]:
    found = set()
    for name, task in compiled["root"]["dag"]["tasks"].items():
        for source in task["inputs"].get("artifacts", {}).values():
            found.add((source["taskOutputArtifact"]["producerTask"].replace("-", "_"), name.replace("-", "_")))
    return found


def test_kubeflow_has_the_same_stages_and_edges(compiled):
    tasks = {name.replace("-", "_") for name in compiled["root"]["dag"]["tasks"]}
    assert tasks == {*graph.BY_NAME, CLOSING}
    assert {edge for edge in artifact_edges(compiled) if CLOSING not in edge} == graph.edges()


def test_a_cluster_closes_the_parent_run_last_and_never_from_a_cache(compiled):
    closing = compiled["root"]["dag"]["tasks"]["close-run"]
    assert {edge for edge in artifact_edges(compiled) if CLOSING in edge} == {("restore_real", CLOSING)}
    assert not closing.get("cachingOptions", {}).get("enableCache", False)
    on_this_machine = retrain.retrain.pipeline_spec.root.dag.tasks
    assert {name.replace("-", "_") for name in on_this_machine} == set(graph.BY_NAME)


def test_dvc_has_the_same_stages_and_edges():
    stages = {stage.addressing: stage for stage in Repo(ROOT).index.stages if stage.path.endswith("dvc.yaml")}
    assert set(stages) == set(graph.BY_NAME)
    maker = {str(out): name for name, stage in stages.items() for out in stage.outs}
    found = {(maker[str(dep)], name) for name, stage in stages.items() for dep in stage.deps if str(dep) in maker}
    assert found == graph.edges()


def test_dvc_reads_and_writes_what_the_graph_says():
    written = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for spec in graph.STAGES:
        stage = written[spec.name]
        data = {dep for dep in stage["deps"] if not dep.startswith("src/")}
        assert data == {str(graph.laptop_path(name)) for name in spec.reads}
        assert stage["outs"] == [str(graph.laptop_path(spec.writes))]
        assert {key for entry in stage["params"] for key in next(iter(entry.values()))} == {spec.name}


@pytest.mark.parametrize("stage", graph.BY_NAME)
def test_dvc_tracks_the_code_that_a_stage_imports(stage):
    written = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    tracked = {dep.removeprefix("src/scintiflow/") for dep in written["deps"] if dep.startswith("src/scintiflow/")}
    for module in stage_modules(stage):
        parts = module.split(".")[1:]
        if not parts or parts[0] in NOT_TRACKED_BY_DVC or len(parts) == 1:
            continue
        as_file = "/".join(parts) + ".py"
        assert parts[0] in tracked or as_file in tracked, f"{stage} imports {module}, which dvc.yaml does not track"


@pytest.mark.parametrize("spec", graph.STAGES, ids=lambda spec: spec.name)
def test_components_and_stages_have_the_inputs_of_the_graph(spec):
    component = getattr(__import__(f"components.{spec.name}", fromlist=[spec.name]), spec.name)
    arguments = set(inspect.signature(component.python_func).parameters)
    assert {*spec.reads, spec.writes, "params", "report"} <= arguments
    module = __import__(f"scintiflow.stages.{spec.name}", fromlist=["run"])
    assert set(module.Inputs.__dataclass_fields__) == set(spec.reads)
    assert set(module.Outputs.__dataclass_fields__) - {"checkpoints"} == {spec.writes}


def cache_key(pipeline: dict, task: str) -> dict:
    """What the driver of Kubeflow Pipelines 2.17 compares for a task: not environment, nor what the image holds."""
    component = pipeline["components"][pipeline["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    container = pipeline["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    return {
        "container": [container["image"], *container["command"], *container["args"]],
        "inputs": pipeline["root"]["dag"]["tasks"][task]["inputs"],
        "outputs": component.get("outputDefinitions"),
    }


@pytest.mark.parametrize("spec", graph.STAGES, ids=lambda spec: spec.name)
def test_a_cluster_does_not_reuse_what_other_code_has_made(compiled, spec, tmp_path, monkeypatch):
    edited = {spec.name: "edited"}
    for module in (retrain, first_steps):
        monkeypatch.setattr(module, "code_version", lambda stage: edited.get(stage) or code_version(stage))
    compile_retrain(tmp_path / "retrain.yaml", load_params(ROOT / "params.yaml"))
    after = next(yaml.safe_load_all((tmp_path / "retrain.yaml").read_text()))
    tasks = compiled["root"]["dag"]["tasks"]
    changed = {task for task in tasks if cache_key(compiled, task) != cache_key(after, task)}
    assert changed == {spec.name.replace("_", "-")}  # what follows reads another output, and so runs too


def test_every_task_carries_the_hash_of_its_own_code(compiled):
    for spec in graph.STAGES:
        inputs = compiled["root"]["dag"]["tasks"][spec.name.replace("_", "-")]["inputs"]["parameters"]
        assert inputs["code_version"] == {"runtimeValue": {"constant": code_version(spec.name)}}
    assert code_version("ingest") != code_version("train_cascade")


def test_a_stage_refuses_to_run_for_a_pipeline_of_other_code(tmp_path, monkeypatch):
    monkeypatch.setenv(EVENTS_FILE, str(tmp_path / "events.jsonl"))
    section = load_params(ROOT / "params.yaml").fetch_champion.model_dump_json()
    with pytest.raises(ScintiflowError, match="is not that of the pipeline") as refusal:
        door.run_stage("fetch_champion", section, {}, {"champion": str(tmp_path / "c")}, tmp_path / "r", "0" * 64)
    assert "SCINTIFLOW_IMAGE" in str(refusal.value)
    assert '"refusal"' in (tmp_path / "events.jsonl").read_text()  # the launcher can say it
    assert not (tmp_path / "c").exists()


def test_compilation_is_reproducible(tmp_path):
    for name in ("a", "b"):
        compile_retrain(tmp_path / f"{name}.yaml", load_params(ROOT / "params.yaml"))
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()
