"""Old results go, what somebody uses stays, and nothing is taken from under a run."""

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scintiflow.cli import app
from scintiflow.cluster.local_cache import cache_root, cached_stages, pipeline_root
from scintiflow.cluster.local_locks import ABLATION, RETRAIN, BusyError, alone
from scintiflow.cluster.local_pruning import prune

DAY = 86_400


def aged(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    for one in (*path.rglob("*"), path):
        os.utime(one, (then, then))


@pytest.fixture
def result(tmp_path):
    """A function that leaves a stage's output as kfp.local does; it returns the stage's folder."""

    def left(run: str, stage: str, days: float, used_days: float | None) -> Path:
        folder = pipeline_root(tmp_path) / run / stage
        (folder / "dataset").mkdir(parents=True)
        (folder / "dataset" / "scan.npz").write_bytes(b"0" * 1000)
        aged(folder, days)
        if used_days is not None:
            entry = cache_root(tmp_path) / f"{run}-{stage}.json"
            entry.parent.mkdir(exist_ok=True)
            entry.write_text(json.dumps({"dataset": {"uri": str(folder / "dataset")}, "number": 3}))
            aged(entry, used_days)
        return folder

    return left


def test_what_was_used_lately_stays_and_the_rest_goes(tmp_path, result):
    used = result("first", "ingest", days=90, used_days=2)  # an old data set that yesterday's training read
    old = result("first", "evaluate", days=90, used_days=90)
    broken = result("second", "ingest", days=60, used_days=None)
    fresh = result("third", "evaluate", days=1, used_days=None)
    done = prune(tmp_path, unused_days=30)
    assert (done.results, done.freed) == (2, 2000)
    assert [folder.is_dir() for folder in (used, old, broken, fresh)] == [True, False, False, True]
    assert [entry.name for entry in cache_root(tmp_path).iterdir()] == ["first-ingest.json"]
    assert not broken.parent.exists(), "an empty run"
    assert prune(tmp_path, unused_days=30).results == 0


@pytest.mark.parametrize("work", [RETRAIN, ABLATION])
def test_nothing_is_pruned_under_a_run(tmp_path, result, work):
    old = result("first", "ingest", days=90, used_days=90)
    with alone(work, tmp_path), pytest.raises(BusyError, match=f"another {work} is running"):
        prune(tmp_path, unused_days=30)
    assert old.is_dir()


def test_the_command_says_what_it_freed(tmp_path, result, monkeypatch):
    result("first", "ingest", days=90, used_days=90)
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(app, ["pipeline", "prune", "--unused-days", "30"])
    assert said.output == "Removed the results of 1 stages, 0 MiB\n"
    assert CliRunner().invoke(app, ["pipeline", "prune", "--unused-days", "0"]).exit_code == 2


def test_what_a_plan_finds_counts_as_used(tmp_path, result, monkeypatch):
    from kfp import dsl
    from kfp.local.cache import LocalCache

    from pipelines.retrain import retrain

    asked = []
    find = LocalCache.get
    monkeypatch.setattr(LocalCache, "get", lambda self, key: asked.append(key) or find(self, key))
    arguments = dict.fromkeys(retrain.pipeline_spec.root.input_definitions.parameters, "")
    cache_root(tmp_path).mkdir(parents=True)
    assert not any(cached_stages(arguments, tmp_path).values())
    entry = cache_root(tmp_path) / f"{asked[0]}.json"
    data = result("first", "ingest", days=90, used_days=None)
    outputs = {name: dsl.Artifact(name, str(data / "dataset"), {}) for name in ("dataset", "report")}
    LocalCache(str(cache_root(tmp_path))).put(asked[0], outputs)
    aged(entry, 90)
    assert sum(cached_stages(arguments, tmp_path).values()) == 1
    assert time.time() - entry.stat().st_mtime < DAY
    prune(tmp_path, unused_days=30)
    assert entry.exists()
    assert data.is_dir()
