"""`scintiflow pipeline ...` as it is typed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner
from versioned_project import write_cohort

from scintiflow.cli import app
from scintiflow.cohorts.ledger import LEDGER, Ledger
from scintiflow.cohorts.versions import COHORTS
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.errors import ScintiflowError
from scintiflow.files import write_json

ROOT = Path(__file__).parents[2]
DVC = str(Path(sys.executable).parent / "dvc")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with one small sample cohort under DVC."""
    folder = tmp_path_factory.mktemp("checkout")
    cohort = folder / "data" / "cohorts" / "simulated"
    cohort.mkdir(parents=True)
    ledger = Ledger(name="simulated", key_fingerprint="f", key_is_public=True, protocol={}, entries=())
    write_json(cohort / LEDGER, ledger.to_json())
    (folder / "data" / "truth").mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    for command in (["git", "init", "-q"], [DVC, "init", "-q"], [DVC, "add", "-q", "data/cohorts/simulated"]):
        subprocess.run(command, cwd=folder, check=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["add", "."], ["commit", "-qm", "recipe"]):
        subprocess.run(["git", *who, *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(checkout, monkeypatch):
    """No MLflow server is known here."""
    monkeypatch.chdir(checkout)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("SCINTIFLOW_IMAGE", "registry.example/scintiflow-python:0123abc")
    return checkout


@pytest.fixture
def typed(project, server):
    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["pipeline", "--host", server.url, *words], catch_exceptions=True)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_submit_status_cancel(server, typed):
    said = typed("submit")
    run = re.search(r"Run:\s+(\S+)", said)[1]
    assert f"{server.url}/#/runs/details/{run}" in said
    assert [each["display_name"] for each in server.experiments.values()] == ["scintiflow"]
    sent = server.runs[run]["runtime_config"]["parameters"]
    assert sent["cohorts"] == "/data/cohorts"
    assert len(sent["cohorts_sha256"]) == 64
    assert sent["registry"] == server.runs[run]["display_name"]  # unknown here, so the gate is asked again
    assert "Train the cascade" in typed("status")
    typed("cancel", run)
    assert "canceling" in typed("status", run)


def test_schedule_and_unschedule(server, typed):
    assert "Scheduled retrain at '0 0 2 * * 6' UTC" in typed("schedule", "--cron", "0 2 * * 6")
    assert "Already scheduled" in typed("schedule", "--cron", "0 2 * * 6")
    assert "Removed 1 schedule 'retrain'" in typed("unschedule")
    assert server.schedules == {}


def test_a_named_experiment_must_exist(typed):
    with pytest.raises(ScintiflowError, match="no experiment 'scintifow'"):
        typed("submit", "--experiment", "scintifow")


def test_a_cohort_that_the_cluster_cannot_fetch_is_refused(typed, server, project):
    stray = project / "data" / "cohorts" / "simulated" / "stray.dcm"
    stray.write_text("not versioned")
    try:
        with pytest.raises(ScintiflowError, match=r"data/cohorts/simulated: differs from its \.dvc file"):
            typed("submit")
    finally:
        stray.unlink()
    assert server.requests == []


def test_a_recipe_that_no_commit_holds_is_refused_unless_told_otherwise(typed, server, project):
    recipe = project / "params.yaml"
    committed = recipe.read_text()
    recipe.write_text(committed + "# changed\n")
    try:
        with pytest.raises(ScintiflowError, match=r"in no commit: params\.yaml"):
            typed("submit")
        with pytest.raises(ScintiflowError, match=r"in no commit: params\.yaml"):
            typed("schedule", "--cron", "0 2 * * 6")  # its runs would go on for months
        assert server.requests == []
        assert "Submitted" in typed("submit", "--allow-dirty")
    finally:
        recipe.write_text(committed)


def test_a_cohort_that_holds_a_withdrawn_patient_is_not_submitted(typed, server, project):
    shutil.copytree(project / "data", project / "kept")
    write_cohort(project, "simulated", {"P-1": 1})
    record_withdrawal(project / COHORTS, Withdrawal(patient="P-1", by="Data manager", on="2026-11-22"))
    subprocess.run([DVC, "add", "-q", "data/cohorts/simulated"], cwd=project, check=True)
    try:
        with pytest.raises(ScintiflowError, match="holds 1 patient whose data were withdrawn: P-1"):
            typed("submit")
    finally:
        shutil.rmtree(project / "data")
        (project / "kept").rename(project / "data")
    assert server.requests == []


def test_a_scheduler_needs_the_registry_to_know_what_is_done(typed, server):
    with pytest.raises(ScintiflowError, match="--if-needed: asks the registry"):
        typed("submit", "--if-needed")
    assert server.requests == []


@pytest.mark.parametrize("image", ["", "scintiflow-python", "registry.example:5000/scintiflow-python:latest"])
def test_a_cluster_is_never_given_an_image_without_a_version(typed, server, monkeypatch, image):
    monkeypatch.setenv("SCINTIFLOW_IMAGE", image)
    with pytest.raises(ScintiflowError, match="SCINTIFLOW_IMAGE"):
        typed("submit")
    assert server.requests == []


def test_watching_a_failed_run_ends_with_a_failure(typed, server):
    run = re.search(r"Run:\s+(\S+)", typed("submit"))[1]
    server.runs[run]["state"] = "FAILED"
    with pytest.raises(AssertionError, match="failed"):
        typed("status", run, "--watch")


def test_a_refusal_is_one_sentence_and_no_traceback():
    command = [sys.executable, "-m", "scintiflow.cli", "pipeline", "status", "1"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.startswith("scintiflow: --host: no Kubeflow Pipelines host is known")
    assert len(result.stderr.splitlines()) == 1
