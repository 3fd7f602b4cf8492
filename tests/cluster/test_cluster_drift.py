"""A plan knows drift as a reason: the verdict on the present champion, from the registry or from this machine."""

import json

from scintiflow.cluster import planning
from scintiflow.cluster.drift_reason import drift_reason
from scintiflow.cluster.plan_display import plan_as_json
from scintiflow.cluster.planning import CANNOT, NEEDED, NOTHING, make_plan
from scintiflow.files import write_json
from scintiflow.params import WatchParams
from scintiflow.registry.lineage import ModelRecord

FOUND = {
    "verdict": "drift",
    "drifted": ["counts_anterior", "scanner"],
    "scans": 41,
    "first_day": "2026-08-01",
    "last_day": "2026-10-30",
}


def champion(version="4", **tags):
    return ModelRecord("scintiflow", version, ("champion",), "run", tags)


def test_the_verdict_on_the_champion_counts_wherever_it_lies(tmp_path):
    watch = WatchParams(folder=str(tmp_path))
    assert drift_reason(watch, champion()) is None
    write_json(tmp_path / "verdicts" / "drift.json", {"model": "scintiflow version 4", **FOUND})
    here = drift_reason(watch, champion())
    assert here.features == ("anterior counts", "scanner")
    assert "41 restored scans, 2026-08-01 to 2026-10-30" in str(here)
    assert drift_reason(watch, champion("5")) is None  # another model learned from other scans
    assert drift_reason(watch, None) is None
    elsewhere = champion("5", **{"scintiflow.drift": json.dumps(FOUND)})
    assert drift_reason(WatchParams(), elsewhere) == here
    quiet = champion("5", **{"scintiflow.drift": json.dumps(FOUND | {"verdict": "no drift"})})
    assert drift_reason(watch, quiet) is None


def test_drift_is_said_and_stops_a_retrain_only_where_it_would_change_nothing(laptop, tmp_path, monkeypatch):
    (tmp_path / "data" / "truth").mkdir(parents=True)
    (tmp_path / "mlflow.db").unlink()
    reason = drift_reason(WatchParams(), champion(**{"scintiflow.drift": json.dumps(FOUND)}))
    monkeypatch.setattr(planning, "drift_reason", lambda watch, champion: reason)
    monkeypatch.setattr(planning, "find_obstacles", lambda *_: ())

    changed = make_plan(laptop, tmp_path, allow_dirty=True)
    assert (changed.verdict, changed.obstacles) == (NEEDED, ())
    assert plan_as_json(changed)["drift"]["scans"] == 41

    monkeypatch.setattr(planning, "cached_stages", lambda *_: dict.fromkeys(stage_names(), True))
    unchanged = make_plan(laptop, tmp_path, allow_dirty=True)
    assert (unchanged.verdict, unchanged.exit_code) == (CANNOT, 4)
    assert "cohort add" in unchanged.obstacles[0].remedy

    monkeypatch.setattr(planning, "drift_reason", lambda watch, champion: None)
    assert make_plan(laptop, tmp_path, allow_dirty=True).verdict == NOTHING


def stage_names():
    return [stage.name for stage in planning.STAGES]
