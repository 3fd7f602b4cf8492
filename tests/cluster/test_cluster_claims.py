"""A trigger that fires twice starts one run."""

import time

import pytest

from scintiflow.cluster.once import ATTEMPTS, Skipped, reason_to_leave
from scintiflow.registry import claims
from scintiflow.registry.claims import ALIVE_TAG, Attempt, attempts, claim, keep_alive
from scintiflow.registry.runs import close_parent, find_parent, open_client, stage_run
from scintiflow.registry.surroundings import PIPELINE_RUN, surroundings


def test_the_second_who_claims_the_same_work_is_told_who_does_it():
    first = claim("work", {"tree": "clean"})
    second = claim("work", {})
    assert isinstance(second, Attempt)
    assert second.run_id == first
    assert [attempt.run_id for attempt in attempts("work")] == [first]
    assert isinstance(claim("other work", {}), str)


def test_stages_join_the_claimed_run(monkeypatch):
    monkeypatch.setenv(PIPELINE_RUN, "retrain-7")
    run_id = claim("work", {"tree": "clean"})
    with stage_run("ingest", {}, {}):
        pass
    client = open_client()
    assert find_parent(client, surroundings()).info.run_id == run_id
    assert close_parent("FINISHED", {}, {}, []) == run_id
    (done,) = attempts("work")
    assert (done.status, done.is_running) == ("FINISHED", False)
    assert client.get_run(run_id).data.tags["scintiflow.tree"] == "clean"


def test_who_gives_no_sign_of_life_is_replaced():
    dead = claim("work", {})
    open_client().set_tag(dead, ALIVE_TAG, str(time.time() - claims.SILENT_AFTER - 1))
    follower = claim("work", {})
    assert isinstance(follower, str)
    assert open_client().get_run(dead).info.status == "KILLED"


def test_a_sign_of_life_keeps_the_claim():
    run_id = claim("work", {})
    open_client().set_tag(run_id, ALIVE_TAG, "0")
    keep_alive(run_id)
    assert isinstance(claim("work", {}), Attempt)


def test_of_two_who_claim_at_once_the_older_stays(monkeypatch):
    """Both have opened their run before either looks: the state that the protocol is for."""
    client = open_client()
    older = claim("work", {})
    client.delete_tag(older, claims.HELD_TAG)  # it has not looked yet
    younger = claim("work", {})
    assert isinstance(younger, Attempt)
    assert younger.run_id == older


@pytest.mark.parametrize(("statuses", "skips"), [([], False), (["FAILED"], False), (["FAILED"] * ATTEMPTS, True)])
def test_a_scheduler_stops_trying_what_keeps_failing(statuses, skips):
    tried = tuple(Attempt(str(i), f"run-{i}", status, i, 0.0, True) for i, status in enumerate(statuses))
    reason = reason_to_leave(tried)
    assert (reason is not None) is skips
    if skips:
        assert isinstance(reason, Skipped)
        assert reason.failed
        assert f"run-{ATTEMPTS - 1}" in reason.reason
