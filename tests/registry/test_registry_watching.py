"""A registered version carries what it was trained on, is compared with it, and says so where a plan looks."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from small_cascade import small_cascade

sys.path.append(str(Path(__file__).parents[1] / "drift"))
from watched_scans import cohort_of, watched_scans

from scintiflow.cluster.drift_reason import drift_reason
from scintiflow.drift.check import check_drift
from scintiflow.drift.cohort import TRAINING_COHORT
from scintiflow.drift.store import Journal
from scintiflow.drift.verdict import DRIFT
from scintiflow.errors import ScintiflowError
from scintiflow.files import write_json
from scintiflow.params import WatchParams
from scintiflow.registry.champion import CHAMPION, CHECKPOINT_TAG
from scintiflow.registry.lineage import History
from scintiflow.registry.models import register_model
from scintiflow.registry.surroundings import TRACKING_URI
from scintiflow.restoration.model_folder import checkpoint_sha256
from scintiflow.stages.register import TRAINING_COHORT as REGISTERED_AS
from scintiflow.tracking import SilentTracker


def test_drift_from_a_registered_version_reaches_the_plan_of_another_machine(tmp_path, monkeypatch):
    monkeypatch.setenv(TRACKING_URI, f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    assert REGISTERED_AS == TRAINING_COHORT
    cascade = small_cascade(tmp_path / "cascade")
    tags = {CHECKPOINT_TAG: checkpoint_sha256(cascade)}
    register_model(SilentTracker(), "toy", CHAMPION, cascade, tags)
    watch = WatchParams(folder=str(tmp_path / "watch"), to_mlflow=True)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    for row in watched_scans(30, seed=1, counts=2.0):
        Journal(tmp_path / "watch").append(replace(row, day=today, model_sha256=tags[CHECKPOINT_TAG]))
    with pytest.raises(ScintiflowError, match="registered before"):
        check_drift(watch, "toy", CHAMPION, 30)

    write_json(cascade / TRAINING_COHORT, cohort_of(watched_scans(137, seed=0)))
    register_model(SilentTracker(), "toy", CHAMPION, cascade, tags)
    assert check_drift(watch, "toy", CHAMPION, 30).verdict == DRIFT
    champion = History.read().model("toy", CHAMPION)
    assert champion.version == "2"
    reason = drift_reason(WatchParams(), champion)  # no watch folder there
    assert reason.features == ("anterior counts", "posterior counts")
    assert reason.scans == 30
