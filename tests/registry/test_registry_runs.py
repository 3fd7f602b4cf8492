"""Runs in a real MLflow on SQLite: one parent for the pipeline, one child for each stage."""

import pytest

from scintiflow.registry import runs
from scintiflow.registry.surroundings import EXPERIMENT, PIPELINE_RUN, TRACKING_URI, surroundings


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv(EXPERIMENT, "test")
    monkeypatch.setenv(PIPELINE_RUN, "pipeline-1")
    return runs.open_client()


def children(client):
    where = surroundings()
    found = client.search_runs([runs.experiment_id(client, where)])
    return {run.data.tags[runs.STAGE_TAG]: run for run in found if runs.STAGE_TAG in run.data.tags}


def test_stages_of_one_pipeline_run_share_a_parent(client, tmp_path):
    picture = tmp_path / "curve.txt"
    picture.write_text("x")
    with runs.stage_run("ingest", {"split": {"seed": 3}}, {"code_version": "c"}) as run:
        run.tracker.metrics({"pairs": 5.0, "broken": float("nan")})
        run.tracker.artifact(picture, "pictures")
        run.tag("output.dataset.sha256", "d")
        run.used("cohorts", tmp_path, "c" * 64)
    with runs.stage_run("adapt_sam", {}, {}):
        pass
    parent_id = runs.close_parent("FINISHED", {"a": {"b": 1}}, {"cohorts_sha256": "h"}, [picture])

    parent = client.get_run(parent_id)
    found = children(client)
    assert {run.data.tags[runs.PARENT_TAG] for run in found.values()} == {parent_id}
    assert {run.info.status for run in found.values()} | {parent.info.status} == {"FINISHED"}
    ingest = found["ingest"].data
    assert ingest.metrics == {"pairs": 5.0}
    (data,) = found["ingest"].inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("cohorts", "c" * 32)
    assert ingest.params == {"split.seed": "3"}
    assert ingest.tags["scintiflow.output.dataset.sha256"] == "d"
    assert ingest.tags["mlflow.source.git.commit"]
    assert [item.path for item in client.list_artifacts(found["ingest"].info.run_id, "pictures")] == [
        "pictures/curve.txt"
    ]
    assert parent.data.params == {"a.b": "1"}
    assert parent.data.tags["scintiflow.cohorts_sha256"] == "h"
    assert parent.data.tags["scintiflow.stage.ingest"] == found["ingest"].info.run_id


def test_a_failing_stage_fails_its_run_and_the_parent(client):
    with pytest.raises(ValueError, match="boom"), runs.stage_run("evaluate", {}, {}):
        raise ValueError("boom")
    run = children(client)["evaluate"]
    parent = client.get_run(run.data.tags[runs.PARENT_TAG])
    assert run.info.status == parent.info.status == "FAILED"
    assert run.data.tags["scintiflow.error"] == "ValueError: boom"


def test_a_killed_pipeline_leaves_no_run_that_seems_to_run(client):
    where = surroundings()
    stage = runs.stage_run("train_cascade", {}, {})
    stage.__enter__()  # and never leaves: the process was killed
    parent_id = runs.close_parent("KILLED", {}, {}, [])
    statuses = {run.info.status for run in client.search_runs([runs.experiment_id(client, where)])}
    assert statuses == {"KILLED"}
    assert client.get_run(parent_id).info.status == "KILLED"


def test_an_attempt_whose_pod_was_killed_is_killed_in_a_run_that_finished(client):
    first = runs.stage_run("train_cascade", {}, {})
    first.__enter__()  # and never leaves: its pod was killed
    with runs.stage_run("train_cascade", {}, {}):
        pass
    parent_id = runs.close_parent("FINISHED", {}, {}, [])
    found = client.search_runs([runs.experiment_id(client, surroundings())])
    statuses = sorted(run.info.status for run in found if run.info.run_id != parent_id)
    assert statuses == ["FINISHED", "KILLED"]
    assert client.get_run(parent_id).info.status == "FINISHED"


def test_nothing_ran_leaves_no_run_behind(client):
    assert runs.close_parent("FINISHED", {}, {}, []) is None
    assert client.search_runs([runs.experiment_id(client, surroundings())]) == []


def test_registry_identity_changes_with_the_registry(client, tmp_path, monkeypatch):
    first = runs.registry_identity()
    assert runs.registry_identity() == first
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/other.db")
    assert runs.registry_identity() != first
