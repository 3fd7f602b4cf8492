"""A registry of its own for each test with runs as the door would write them; a Kubeflow Pipelines API server."""

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from kfp_api_server import KfpApiServer

from scintiflow.cluster.compilation import cluster_arguments, compile_retrain
from scintiflow.cluster.connection import Connection
from scintiflow.cluster.endpoint import find_endpoint
from scintiflow.params import load_params
from scintiflow.registry.runs import open_client, stage_run
from scintiflow.registry.surroundings import EXPERIMENT, GIT_SHA, PIPELINE_RUN, TRACKING_URI, Surroundings
from scintiflow.stages.graph import STAGES

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "cohorts"))  # versioned_project


@pytest.fixture(scope="session", autouse=True)
def _quick_compilation(short_stacks):
    """Nearly every test here compiles a pipeline."""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """MLflow takes seconds to make one, and a copy is as good."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    open_client(Surroundings(f"sqlite:///{path}", None, "", "")).search_experiments()
    return path


@pytest.fixture(autouse=True)
def registry(tmp_path, monkeypatch, empty_database):
    """An empty registry that nobody else uses."""
    shutil.copy(empty_database, tmp_path)
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv(EXPERIMENT, "test")
    monkeypatch.setenv(PIPELINE_RUN, "retrain-1")
    monkeypatch.setenv(GIT_SHA, "c" * 40)


@pytest.fixture(scope="session")
def laptop():
    return load_params(ROOT / "params.yaml", ROOT / "profiles" / "laptop.yaml")


def content(*words: object) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


class Pipeline:
    """Writes the runs of a pipeline: each stage's outputs follow from its inputs, as real ones do."""

    def __init__(self, params, cohorts: dict[str, str], tmp_path: Path) -> None:
        self.params, self.cohorts, self.tmp_path = params, cohorts, tmp_path
        self.outputs: dict[str, str] = {"cohorts": content(cohorts), "truth": content("truth")}

    def run(self, name: str, stages: list[str] | None = None, patients: dict | None = None, **metrics: float) -> None:
        os.environ[PIPELINE_RUN] = name
        for spec in STAGES:
            section = self.params.section(spec.name)
            inputs = {read: self.outputs[read] for read in spec.reads}
            if stages is not None and spec.name not in stages:
                continue
            self.outputs[spec.writes] = content(spec.name, inputs, section.model_dump())
            tags = {f"input.{read}.sha256": sha256 for read, sha256 in inputs.items()} | {"code_version": spec.name}
            tags |= {
                f"cohort.{cohort}": self.cohorts[cohort]
                for cohort in getattr(section, "cohorts", [])
                if cohort in self.cohorts
            }
            with stage_run(spec.name, section.model_dump(), tags) as run:
                run.tag(f"output.{spec.writes}.sha256", self.outputs[spec.writes])
                run.tag(f"output.{spec.writes}.bytes", "1000")
                run.tag("device", "cpu")
                run.tracker.metrics(metrics)
                if spec.name == "ingest" and patients is not None:
                    path = self.tmp_path / "patients.json"
                    path.write_text(json.dumps({"manifest_sha256": "m", "patients": patients}))
                    run.tracker.artifact(path, "lineage")
                if spec.name == "register":
                    self.register(run.run_id)

    def register(self, run_id: str) -> None:
        client = open_client()
        if not client.search_registered_models():
            client.create_registered_model("scintiflow")
        version = client.create_model_version("scintiflow", source="x:/none", run_id=run_id).version
        client.set_registered_model_alias("scintiflow", "champion", version)


@pytest.fixture
def pipeline(laptop, tmp_path):
    cohorts = {
        name: f"dvc:{content(name)[:32]}.dir" for name in {*laptop.ingest.cohorts, *laptop.restore_real.cohorts}
    }
    return Pipeline(laptop, cohorts, tmp_path)


# --- Kubeflow Pipelines

VARIABLES = (
    "KF_PIPELINES_ENDPOINT",
    "KF_PIPELINES_UI_ENDPOINT",
    "KF_PIPELINES_SA_TOKEN_PATH",
    "KUBERNETES_SERVICE_HOST",
    "SCINTIFLOW_KFP_TOKEN",
    "SCINTIFLOW_KFP_COOKIE",
    "SCINTIFLOW_KFP_CA",
    "SCINTIFLOW_KFP_NAMESPACE",
)


@pytest.fixture(autouse=True)
def _no_endpoint_from_outside(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with KfpApiServer() as running:
        yield running


@pytest.fixture
def connection(server):
    return Connection(find_endpoint(host=server.url))


@pytest.fixture(scope="session")
def production():
    return load_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def package(production, tmp_path_factory):
    """The retrain pipeline, compiled."""
    target = tmp_path_factory.mktemp("package") / "retrain.yaml"
    compile_retrain(target, production)
    return target


@pytest.fixture(scope="session")
def arguments(production):
    return cluster_arguments(production, {"cohorts": "c0", "truth": "7u"}, registry="one") | {
        "champion_to_beat": "none"
    }
