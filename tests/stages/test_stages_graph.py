"""One graph, spelt three times: for the product, for Kubeflow, for DVC. They must agree."""

import inspect
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from scintiflow.cluster import placement
from scintiflow.cluster.compilation import compile_retrain
from scintiflow.params import load_params
from scintiflow.stages import graph
from scintiflow.stages.code_version import stage_modules

ROOT = Path(__file__).parents[2]
# Doors and ground-floor helpers; a change there does not change what DVC should recompute.
NOT_TRACKED_BY_DVC = {"errors", "files", "params", "progress", "tracking", "structures"}


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
    assert tasks == set(graph.BY_NAME)
    assert artifact_edges(compiled) == graph.edges()


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


def test_every_task_carries_the_hash_of_its_own_code(compiled):
    executors = compiled["deploymentSpec"]["executors"]
    for spec in graph.STAGES:
        environment = executors[f"exec-{spec.name.replace('_', '-')}"]["container"]["env"]
        assert {"name": "CODE_VERSION", "value": placement.code_version(spec.name)} in environment
    assert placement.code_version("ingest") != placement.code_version("train_cascade")


def test_compilation_is_reproducible(tmp_path):
    for name in ("a", "b"):
        compile_retrain(tmp_path / f"{name}.yaml", load_params(ROOT / "params.yaml"))
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()
