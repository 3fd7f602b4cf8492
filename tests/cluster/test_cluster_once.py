"""A trigger that fires twice submits once: the registry knows the work, and Kubeflow what became of it."""

import json
from functools import partial

import pytest

from scintiflow.cluster.once import Skipped, submit_once
from scintiflow.cluster.remote_runs import Submitted, find_experiment, submit
from scintiflow.errors import ScintiflowError
from scintiflow.registry.claims import attempts
from scintiflow.registry.closing import close_cluster_run
from scintiflow.registry.lineage import History, recipe_of
from scintiflow.registry.runs import open_client
from scintiflow.registry.surroundings import PIPELINE_RUN

TAGS = {"work_key": "work", "tree": "dirty", "git_sha": "c" * 40, "cohort.simulated": "dvc:1.dir"}


@pytest.fixture
def trigger(connection, package, arguments, production):
    """Fires for the same work; keyword arguments as `if_needed`."""
    experiment = find_experiment(connection, "scintiflow", create=True)
    start = partial(submit, connection, package, arguments, experiment, "retrain-1")

    def fire(if_needed: bool = True, start=start):
        return submit_once(connection, "work", TAGS, (production, b"a difference"), start, if_needed)

    return fire


def run_of(submitted: Submitted) -> str:
    (attempt,) = [each for each in attempts("work") if each.cluster_run == submitted.run_id]
    return attempt.run_id


def test_the_registry_knows_before_the_first_stage_what_the_run_is_made_of(trigger, production):
    own = run_of(trigger())
    tags = open_client().get_run(own).data.tags
    assert {name: tags[f"scintiflow.{name}"] for name in TAGS} == TAGS
    assert recipe_of(own)["ingest"]["cohorts"] == production.ingest.cohorts
    assert "changes.diff" in {found.path for found in open_client().list_artifacts(own)}


def test_the_same_work_is_submitted_once(server, trigger):
    first = trigger()
    again = trigger()
    assert isinstance(again, Skipped)
    assert not again.failed
    assert run_of(first) in again.reason
    with pytest.raises(ScintiflowError, match="is doing this very work"):
        trigger(if_needed=False)
    assert list(server.runs) == [first.run_id]
    assert [attempt.status for attempt in attempts("work")] == ["RUNNING"]


def test_a_run_that_failed_without_a_word_is_tried_again_and_then_left_to_a_person(server, trigger):
    for _ in range(2):
        server.runs[trigger().run_id]["state"] = "FAILED"
    last = trigger()
    assert isinstance(last, Skipped)
    assert last.failed
    assert "has failed 2 times" in last.reason
    assert [attempt.status for attempt in attempts("work")] == ["FAILED", "FAILED"]
    assert isinstance(trigger(if_needed=False), Submitted), "a person may"


@pytest.mark.parametrize(("end", "status"), [("CANCELED", "KILLED"), ("SUCCEEDED", "FINISHED"), ("", "KILLED")])
def test_how_a_run_ended_is_asked_of_the_cluster(server, trigger, end, status):
    first = trigger()
    if end:
        server.runs[first.run_id]["state"] = end
    else:
        del server.runs[first.run_id]  # somebody deleted it
    again = trigger()
    assert next(attempt.status for attempt in attempts("work")) == status
    assert isinstance(again, Skipped if status == "FINISHED" else Submitted)


def test_work_that_the_cluster_did_not_take_is_free_again(trigger):
    def refuse():
        raise ScintiflowError("the quota is used up", where="cluster", remedy="Wait")

    with pytest.raises(ScintiflowError, match="quota"):
        trigger(start=refuse)
    assert attempts("work") == []
    assert isinstance(trigger(), Submitted)


def test_stages_join_the_run_and_the_model_says_what_it_was_made_of(trigger, pipeline, tmp_path, monkeypatch):
    submitted = trigger()
    monkeypatch.setenv(PIPELINE_RUN, submitted.run_id)
    pipeline.run(submitted.run_id)
    own = run_of(submitted)
    (tmp_path / "report.html").write_text("report")
    assert close_cluster_run({"cohorts_sha256": "c"}, tmp_path / "report.html") == own
    model = History.read().model("scintiflow", "champion")
    told = {name.removeprefix("scintiflow."): value for name, value in model.tags.items()}
    assert told["pipeline_run_id"] == own
    assert {name: told[name] for name in TAGS} == TAGS | {"cohort.simulated": TAGS["cohort.simulated"]}
    assert told["cohorts_sha256"] == "c"
    assert [attempt.status for attempt in attempts("work")] == ["FINISHED"]


def test_a_scheduled_run_says_which_cohorts_its_steps_found(pipeline, tmp_path, monkeypatch):
    """Nobody opened it and nobody knew them before: a schedule reads what the volume holds on the day."""
    monkeypatch.setenv(PIPELINE_RUN, "scheduled-7")
    pipeline.run("scheduled-7")
    (tmp_path / "report.html").write_text("report")
    own = close_cluster_run({"cohorts_sha256": "whatever the volume holds"}, tmp_path / "report.html")
    read = {f"cohort.{name}": version for name, version in pipeline.cohorts.items()}
    run, model = open_client().get_run(own).data.tags, History.read().model("scintiflow", "champion").tags
    for tags in (run, model):
        assert {name: tags[f"scintiflow.{name}"] for name in read} == read, json.dumps(tags)
