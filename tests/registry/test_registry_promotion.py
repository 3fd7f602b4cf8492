"""Who became champion, by whom and why: logged for ever, in a chain that shows every change; MLflow on SQLite."""

import json
import shutil
import threading
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from scintiflow.errors import ScintiflowError
from scintiflow.registry.champion import CHECKPOINT_TAG, WORK_TAG, champion_to_beat, current_champion
from scintiflow.registry.models import RegisteredModel
from scintiflow.registry.promotion import Papers, problems, promote, roll_back, settle_by_gate
from scintiflow.registry.promotion_log import (
    ANCHOR,
    REFUSED,
    WITHDRAWN,
    Entry,
    append,
    log_experiment,
    move_champion,
    read_log,
    verified,
)
from scintiflow.registry.runs import open_client
from scintiflow.registry.surroundings import TRACKING_URI
from scintiflow.registry.verdict import ABSOLUTE, Champion, Decision, Verdict

PAPERS = Papers("e" * 64, "d" * 64)
NAME = "toy"


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """MLflow takes seconds to make its tables: they are made once and copied."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def client(empty_database, tmp_path, monkeypatch):
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    client = open_client()
    client.create_registered_model(NAME)
    return client


def new_version(client, compared_with: str = "none", recipe: str = "") -> RegisteredModel:
    """A version as the register stage leaves it before the gate's decision is settled."""
    number = len(client.search_model_versions(f"name='{NAME}'")) + 1
    tags = {CHECKPOINT_TAG: f"{number:064d}", "compared_with": compared_with, WORK_TAG: recipe}
    found = client.create_model_version(NAME, f"runs:/{number}/model", tags=tags)
    client.set_registered_model_alias(NAME, "challenger", found.version)
    return RegisteredModel(NAME, str(found.version), "challenger", "", tags[CHECKPOINT_TAG])


def gate(client, passed: bool) -> RegisteredModel:
    """A new version, and the gate's word on it."""
    model = new_version(client)
    verdict = Verdict(ABSOLUTE, "Missed lesions", "at most 10%", 0.0 if passed else 0.4, passed)
    champion = current_champion(NAME)
    settle_by_gate(model, Decision(passed, "as the gate said", champion, (verdict,)), PAPERS)
    return model


def holder(client) -> str:
    return str(client.get_registered_model(NAME).aliases.get("champion", ""))


def test_the_gate_promotes_and_refuses_and_both_are_logged(client):
    gate(client, True)
    gate(client, False)
    gate(client, True)
    assert holder(client) == "3"
    assert client.get_registered_model(NAME).aliases.get("challenger") is None
    log, found = problems(NAME)
    assert found == []
    assert [(entry.kind, entry.version, entry.champion_before) for entry in log.entries] == [
        ("promoted", "1", ""), ("refused", "2", "1"), ("promoted", "3", "1"),
    ]  # fmt: skip
    assert {entry.by for entry in log.entries} == {"the gate"}
    assert {entry.report_sha256 for entry in log.entries} == {PAPERS.report_sha256}
    assert "Missed lesions" in log.entries[1].failed_rules[0]
    assert log.entries[1].previous == (log.entries[0].sha256,)


def test_a_person_cannot_overrule_the_gate_without_saying_so(client):
    gate(client, True)
    gate(client, False)
    with pytest.raises(ScintiflowError, match="--overrule-gate"):
        promote(NAME, "2", "Dr Physicist", "the pictures are nicer")
    assert holder(client) == "1"
    entry = promote(NAME, "2", "Dr Physicist", "the missed lesion was a marker", overrule=True)
    assert holder(client) == "2"
    assert entry.overruled
    log, found = problems(NAME)
    assert found == []
    refused, overruled = log.entries[-2:]
    assert (refused.kind, refused.by, refused.overruled) == (REFUSED, "Dr Physicist", False)
    assert "the pictures are nicer" in refused.reason
    assert (overruled.by, overruled.gate_passed) == ("Dr Physicist", False)
    assert "Missed lesions" in overruled.failed_rules[0]


def test_a_version_that_no_gate_saw_or_that_beat_another_champion_needs_the_same_words(client):
    gate(client, True)
    new_version(client)
    with pytest.raises(ScintiflowError, match="no gate has ever decided"):
        promote(NAME, "2", "A", "why")
    third = new_version(client)
    passed = Decision(True, "passed", Champion(NAME, "1", "x"), ())
    promote(NAME, "2", "A", "why", overrule=True)
    settle_by_gate(third, passed, PAPERS)  # the gate compared it with version 1
    promote(NAME, "2", "A", "back", overrule=True)
    fourth = new_version(client)
    append(client, replace(read_log(client, NAME).entries[0], version=fourth.version, champion_before="1"))
    with pytest.raises(ScintiflowError, match="compared this version with version 1, and the champion is now"):
        promote(NAME, fourth.version, "A", "why")


def test_promoting_needs_a_name_a_reason_and_a_version(client):
    gate(client, True)
    gate(client, True)
    for arguments, words in (
        (("9", "A", "why"), "no such version"), (("2", " ", "why"), "--by"), (("1", "A", ""), "--reason"),
        (("2", "A", "why"), "champion already"),
    ):  # fmt: skip
        with pytest.raises(ScintiflowError, match=words):
            promote(NAME, *arguments)


def test_rolling_back_goes_to_the_champion_before_and_only_to_former_champions(client):
    with pytest.raises(ScintiflowError, match="no champion"):
        roll_back(NAME, "A", "why")
    gate(client, True)
    with pytest.raises(ScintiflowError, match="no other version"):
        roll_back(NAME, "A", "why")
    gate(client, False)
    gate(client, True)
    gate(client, True)
    assert roll_back(NAME, "A", "ghosts in the ribs").champion_after == "3"
    assert roll_back(NAME, "A", "still there").champion_after == "1"
    with pytest.raises(ScintiflowError, match="never been champion"):
        roll_back(NAME, "A", "why", version="2")
    assert roll_back(NAME, "A", "mended", version="4").champion_after == "4"
    assert holder(client) == "4"
    log, found = problems(NAME)
    assert found == []
    assert [entry.reason for entry in log.entries[-3:]] == ["ghosts in the ribs", "still there", "mended"]


def test_the_log_outlives_runs_versions_and_the_model(client):
    experiment = client.create_experiment("runs")
    run = client.create_run(experiment)
    gate(client, True)
    gate(client, True)
    client.delete_run(run.info.run_id)
    client.delete_registered_model_alias(NAME, "champion")
    client.delete_model_version(NAME, "2")
    assert len(read_log(client, NAME).entries) == 2
    client.delete_registered_model(NAME)
    log = read_log(client, NAME)
    assert [entry.version for entry in log.entries] == ["1", "2"]
    assert log.problems == ()


def tags_of_log(client) -> dict[str, str]:
    tags = client.get_experiment_by_name(log_experiment(NAME)).tags
    return {key: value for key, value in tags.items() if key.startswith("decision.")}


def test_every_change_of_the_log_shows(client):
    for passed in (True, False, True):
        gate(client, passed)
    tags = tags_of_log(client)
    anchor = client.get_registered_model(NAME).tags[ANCHOR]
    first, second, third = sorted(tags)
    assert verified(tags, anchor).problems == ()

    changed = tags[second].replace("the gate", "the gatf")
    assert any("was changed" in problem for problem in verified(tags | {second: changed}, anchor).problems)
    for lost in (first, second):
        rest = {key: value for key, value in tags.items() if key != lost}
        assert any("missing" in problem for problem in verified(rest, anchor).problems)
    cut = {key: value for key, value in tags.items() if key != third}
    assert any("newest decision" in problem for problem in verified(cut, anchor).problems)
    # rewritten with a fitting key: what came after names another hash
    forged = Entry.from_text(json.dumps(json.loads(tags[second]) | {"kind": "promoted"}))
    swapped = {first: tags[first], third: tags[third], f"decision.000002.{forged.sha256}": forged.as_text()}
    assert any("missing or changed" in problem for problem in verified(swapped, anchor).problems)
    renumbered = {key: value for key, value in tags.items() if key != third}
    renumbered[third.replace("000003", "000007")] = tags[third]
    assert any("moved" in problem for problem in verified(renumbered, anchor).problems)


def test_an_alias_moved_by_hand_shows(client):
    gate(client, True)
    gate(client, False)
    client.set_registered_model_alias(NAME, "champion", "2")
    _, found = problems(NAME)
    assert any("version 2, but by the log it belongs to version 1" in problem for problem in found)


def test_writers_at_the_same_moment_lose_nothing(client):
    gate(client, True)
    drafts = [
        Entry(kind=REFUSED, model=NAME, version="1", by=f"person {number}", reason="r", gate_passed=None,
              champion_before="1", champion_after="1")
        for number in range(6)
    ]  # fmt: skip
    threads = [threading.Thread(target=append, args=(client, draft)) for draft in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = read_log(client, NAME)
    assert log.problems == ()
    assert {entry.by for entry in log.entries[1:]} == {draft.by for draft in drafts}
    append(client, replace(drafts[0], by="last"))
    assert read_log(client, NAME).heads == (read_log(client, NAME).entries[-1].sha256,)


def test_of_two_promotions_at_the_same_moment_one_steps_back(client, monkeypatch):
    from scintiflow.registry import promotion_log

    gate(client, True)
    new_version(client)
    new_version(client)
    before = read_log(client, NAME)
    draft = Entry(kind="promoted", model=NAME, version="2", by="A", reason="r", gate_passed=True,
                  champion_before="1", champion_after="2")  # fmt: skip
    move_champion(client, draft)
    real = promotion_log.read_log
    answers = iter([before])  # B reads before A has written, and writes after A
    monkeypatch.setattr(promotion_log, "read_log", lambda *given: next(answers, None) or real(*given))
    with pytest.raises(ScintiflowError, match="at the same moment"):
        move_champion(client, replace(draft, version="3", by="B", champion_after="3"))
    assert holder(client) == "2"
    log, found = problems(NAME)
    assert found == []
    assert [entry.kind for entry in log.entries][-1] == WITHDRAWN
    assert log.champion == "2"


def test_what_a_cache_must_know_of_the_champion(client):
    assert champion_to_beat(NAME, "recipe") == "none"
    assert champion_to_beat("absent", "recipe") == "none"
    first = new_version(client, recipe="recipe one")
    settle_by_gate(first, Decision(True, "s", None, ()), PAPERS)
    # the same recipe again would only repeat the run that made the champion: it had nobody to beat
    assert champion_to_beat(NAME, "recipe one") == "none"
    beaten = champion_to_beat(NAME, "recipe two")
    assert beaten == f"1:{first.checkpoint_sha256}"
    second = new_version(client, compared_with=beaten, recipe="recipe two")
    settle_by_gate(second, Decision(True, "s", current_champion(NAME), ()), PAPERS)
    assert champion_to_beat(NAME, "recipe two") == beaten
    assert champion_to_beat(NAME, "recipe one") == f"2:{second.checkpoint_sha256}"
    assert champion_to_beat(NAME, "") == f"2:{second.checkpoint_sha256}"
