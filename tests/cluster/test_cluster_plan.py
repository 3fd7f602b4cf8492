"""What a plan says of cost, changes and obstacles. That it says what a retrain does is proved in tests/e2e."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "cohorts"))
from versioned_project import write_cohort

from scintiflow.cluster import planning, provenance
from scintiflow.cluster.changes import CohortChange, changed_cohorts, changed_params
from scintiflow.cluster.costs import stage_cost, total_cost
from scintiflow.cluster.obstacles import find_obstacles
from scintiflow.cluster.pins import Pin
from scintiflow.cluster.plan_display import duration, plan_as_json, size
from scintiflow.cluster.planning import CANNOT, NEEDED, make_plan
from scintiflow.cluster.provenance import work_key
from scintiflow.cluster.source_tree import TreeState
from scintiflow.cohorts.versions import COHORTS
from scintiflow.cohorts.withdrawals import Withdrawal, record_withdrawal
from scintiflow.params import changed
from scintiflow.registry.lineage import History
from scintiflow.registry.runs import kept_params

CLEAN = TreeState("c" * 40, (), b"")
DIRTY = TreeState("c" * 40, ("params.yaml",), b"diff")


def test_parameters_are_compared_section_by_section(laptop, pipeline):
    pipeline.run("first")
    lineage = History.read().of_pipeline(History.read().records[0].parent_run_id)
    assert changed_params(laptop, lineage) == ()
    other = laptop.model_copy(
        update={
            "train_cascade": changed(laptop.train_cascade, steps=7),
            "evaluate": changed(laptop.evaluate, gaussian_sigmas_pixels=[1.0]),
        }
    )
    found = {(change.section, change.key): (change.old, change.new) for change in changed_params(other, lineage)}
    assert found[("train_cascade", "steps")] == (str(laptop.train_cascade.steps), "7")
    assert found[("evaluate", "gaussian_sigmas_pixels")][1] == "[1.0]"
    assert len(found) == 2


def test_cohorts_are_added_changed_and_removed():
    pins = (Pin("new", "dvc:1", True), Pin("same", "dvc:2", True), Pin("grown", "dvc:4", True))
    changes = changed_cohorts({"same": "dvc:2", "grown": "dvc:3", "gone": "dvc:5"}, pins)
    assert changes == (
        CohortChange("gone", "dvc:5", ""),
        CohortChange("grown", "dvc:3", "dvc:4"),
        CohortChange("new", "", "dvc:1"),
    )
    assert [change.kind for change in changes] == ["removed", "changed", "added"]


def test_cost_comes_from_runs_with_the_same_parameters_if_there_are_any(laptop, pipeline):
    pipeline.run("first")
    history = History.read()
    same = stage_cost("train_cascade", kept_params(laptop.train_cascade.model_dump()), history)
    assert (same.runs, same.same_params, same.output_bytes, same.gpu_seconds) == (1, True, 1000, 0.0)
    other = stage_cost("train_cascade", {"steps": "9"}, history)
    assert (other.runs, other.same_params) == (1, False)
    nothing = stage_cost("train_cascade", {}, History([], []))
    assert (nothing.seconds, nothing.gpu_seconds, nothing.runs) == (None, None, 0)


def test_one_unknown_makes_the_sum_unknown(laptop, pipeline):
    pipeline.run("first")
    history = History.read()
    known = stage_cost("ingest", {}, history)
    assert total_cost([known], history).seconds is not None
    total = total_cost([known, stage_cost("ingest", {}, History([], []))], history)
    assert (total.seconds, total.gpu_hours, total.output_bytes) == (None, None, None)
    assert total_cost([], history).seconds == 0


@pytest.fixture
def project(tmp_path, laptop):
    (tmp_path / "data" / "truth").mkdir(parents=True)
    return tmp_path


def obstacles(laptop, project, pins, tree=CLEAN, allow_dirty=False, free=1e12):
    total = total_cost([], History([], []))
    return {found.where for found in find_obstacles(laptop, project, pins, tree, total, int(free), allow_dirty)}


def test_obstacles_name_what_is_missing(laptop, project):
    here, away, absent = Pin("here", "dvc:1", True), Pin("away", "dvc:2", False), Pin("absent", "", False)
    assert obstacles(laptop, project, (here,)) == set()
    assert obstacles(laptop, project, (here, away, absent)) == {"data/cohorts/away", "data/cohorts/absent"}
    needs_weights = laptop.model_copy(update={"evaluate": changed(laptop.evaluate, lpips_trunk="weights/none.pth")})
    assert obstacles(needs_weights, project, (here,)) == {"evaluate.lpips_trunk"}


def test_a_cohort_that_holds_a_withdrawn_patient_is_an_obstacle(laptop, project):
    write_cohort(project, "ward", {"P-1": 1, "P-2": 1})
    pin = Pin("ward", "dvc:1", True)
    assert obstacles(laptop, project, (pin,)) == set()
    record_withdrawal(project / COHORTS, Withdrawal(patient="P-2", by="Data manager", on="2026-11-22"))
    assert obstacles(laptop, project, (pin,), allow_dirty=True) == {"data/cohorts/ward"}


def test_dirt_is_an_obstacle_unless_it_is_allowed(laptop, project):
    unaccepted = Pin("hospital", "dvc:1", True, "is not accepted")
    assert obstacles(laptop, project, (unaccepted,), DIRTY) == {"data/cohorts/hospital", "code and recipe"}
    assert obstacles(laptop, project, (unaccepted,), DIRTY, allow_dirty=True) == set()


def test_the_identity_of_work_is_cohorts_parameters_code_and_nothing_else(laptop, monkeypatch):
    arguments = {"cohorts_sha256": "a", "truth_sha256": "b", "registry": "1", "cohorts": "/here"}
    key = work_key(laptop, arguments)
    assert work_key(laptop, arguments | {"registry": "2", "cohorts": "/there"}) == key
    assert work_key(laptop, arguments | {"cohorts_sha256": "other"}) != key
    other = laptop.model_copy(update={"evaluate": changed(laptop.evaluate, seed=99)})
    assert work_key(other, arguments) != key
    unrelated = laptop.model_copy(update={"phantom": changed(laptop.phantom, seed=99)})
    assert work_key(unrelated, arguments) == key
    monkeypatch.setattr(provenance, "code_version", lambda stage: "edited")
    assert work_key(laptop, arguments) != key


def test_an_empty_project_cannot_and_says_why_and_nothing_is_written(laptop, project):
    (project / "mlflow.db").unlink()
    before = sorted(project.rglob("*"))
    plan = make_plan(laptop, project, allow_dirty=True)
    assert (plan.verdict, plan.exit_code) == (CANNOT, 4)
    assert {found.where for found in plan.obstacles} == {f"data/cohorts/{pin.name}" for pin in plan.pins}
    assert all(stage.runs and stage.reasons == ("never run before",) for stage in plan.stages)
    assert plan.total.seconds is None
    assert json.loads(json.dumps(plan_as_json(plan)))["exit_code"] == 4
    assert sorted(project.rglob("*")) == before
    assert planning.EXIT_CODES[NEEDED] == 3


@pytest.mark.parametrize(("seconds", "words"), [(None, "unknown"), (9.4, "9 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_read_well(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (1500, "1.5 kB"), (19_181_438, "19 MB"), (7.3e10, "73 GB")])
def test_sizes_read_well(count, words):
    assert size(count) == words
