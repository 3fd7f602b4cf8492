"""The whole retrain as a cluster runs it, a container for each step, from cohorts to a registered model."""

import json
from pathlib import Path

import mlflow
import pydicom
import pytest
from container_runs import EXPERIMENT, RUN, SHARDS
from mlflow import MlflowClient

from scintiflow.stages.graph import BY_NAME

pytestmark = [pytest.mark.containers, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def client(retrained):
    return MlflowClient(retrained.mlflow, registry_uri=retrained.mlflow)


@pytest.fixture(scope="module")
def runs(client):
    return client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])


def test_every_stage_ran_once_and_the_parent_run_is_closed_with_its_report(client, runs):
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [(run.info.run_name, run.info.status) for run in parents] == [(RUN, "FINISHED")]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert {(run.info.run_name, run.info.status) for run in children} == {(name, "FINISHED") for name in BY_NAME}
    assert len(runs) == 1 + len(BY_NAME)
    assert "report.html" in {file.path for file in client.list_artifacts(parents[0].info.run_id)}


def test_the_runs_name_the_commit_that_the_image_was_built_from(image, runs):
    revision = image.run("printenv", "SCINTIFLOW_GIT_SHA").strip()
    assert {run.data.tags["mlflow.source.git.commit"] for run in runs} == {revision}


def test_a_model_is_registered_under_an_alias_and_can_be_fetched(client, retrained, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", retrained.mlflow)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", retrained.mlflow)
    (version,) = client.search_model_versions("name='scintiflow'")
    aliases = client.get_registered_model("scintiflow").aliases
    assert set(aliases) <= {"champion", "challenger"}
    assert set(aliases.values()) == {version.version}
    fetched = mlflow.artifacts.download_artifacts(f"models:/scintiflow/{version.version}", dst_path=str(tmp_path))
    assert [path.stat().st_size > 0 for path in Path(fetched).rglob("*.safetensors")] == [True]


def test_the_real_scan_came_out_as_derived_dicom(retrained):
    (written,) = retrained.outputs["restored"].rglob("*.dcm")
    dataset = pydicom.dcmread(written)
    assert dataset.ImageType[0] == "DERIVED"
    assert (dataset.Rows, dataset.Columns) == (1024, 256)


@pytest.mark.parametrize(("stage", "done"), [("ingest", "pairs_prepared"), ("distil_priors", "studies_computed")])
def test_containers_shared_the_patients_and_the_step_found_what_they_did(retrained, stage, done):
    step = stage.replace("_", "-")
    (run,) = retrained.tasks.iterdir()
    shares = [json.loads(path.read_text())[done] for path in run.glob(f"{step}-share*/report")]
    assert len(shares) == SHARDS
    pairs = json.loads((run / "ingest" / "report").read_text())["pairs"]
    assert sum(shares) == pairs > 0
    if stage == "distil_priors":
        assert json.loads((run / step / "report").read_text())["studies_taken_over"] == pairs
    else:
        assert not [path for path in (retrained.volume / "pairs").rglob("*") if path.is_file()]


def test_the_image_did_the_work_as_its_own_user(retrained):
    assert retrained.outputs["registration"].stat().st_uid == 10001
