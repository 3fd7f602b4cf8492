"""What a user reads and what is left behind when a retrain cannot, breaks or is stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from projects import change, client_of, lay_out, runs, scintiflow, surroundings, under_git_and_dvc

from scintiflow import cli


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with data, in which no retrain has finished; every test has an experiment of its own."""
    folder = under_git_and_dvc(lay_out(tmp_path_factory.mktemp("project")))
    scintiflow(folder, "sample-cohorts", "--profile", "tiny")
    client_of(folder).search_experiments()  # makes the database, which a test may look into before a run does
    return folder


def test_a_refusing_stage_fails_readably_and_in_mlflow(project):
    change(project, tracking={"experiment": "refused"})
    path = project / "profiles" / "tiny.yaml"
    values = yaml.safe_load(path.read_text())
    values["ingest"]["split"]["smallest_test"] = 500
    path.write_text(yaml.safe_dump(values))
    try:
        said = scintiflow(project, "retrain", "--profile", "tiny", expect=2)
    finally:
        values["ingest"]["split"]["smallest_test"] = 1
        path.write_text(yaml.safe_dump(values))
        change(project, tracking={"experiment": "tiny"})
    assert "Traceback" not in said
    assert "smallest_test" in said.splitlines()[-1]
    _, parents, children = runs(project, "refused")
    assert [run.info.status for run in parents] == ["FAILED"]
    states = {run.info.run_name: run.info.status for run in children}
    states.pop("fetch_champion", None)  # waits for nobody, so kfp.local may run it before
    assert states == {"ingest": "FAILED"}


def test_a_breaking_stage_exits_with_one_and_names_the_log(project):
    truth = sorted((project / "data" / "truth").rglob("*.npz"))
    kept = {path: path.read_bytes() for path in truth}
    change(project, tracking={"experiment": "broken"})
    for path in truth:
        path.write_bytes(b"not a truth")
    try:
        said = scintiflow(project, "retrain", "--profile", "tiny", expect=1)
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
        change(project, tracking={"experiment": "tiny"})
    assert "Traceback" not in said
    assert re.search(r"stage \w+ failed: .*; the log is \S+pipeline\.log", said)
    assert runs(project, "broken")[1][0].info.status == "FAILED"


def test_an_interrupted_run_is_marked_and_leaves_no_process(project):
    change(project, tracking={"experiment": "interrupted"})
    command = [sys.executable, "-m", "scintiflow.cli", "retrain", "--profile", "tiny", "--allow-dirty"]
    log = project / "interrupted.log"  # not a pipe, which would fill while nobody reads it
    try:
        with log.open("w") as target:
            process = subprocess.Popen(
                command, cwd=project, env=surroundings(), stdout=target, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + 300
        while not started(project, "interrupted", "adapt_sam"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        process.terminate()  # like Ctrl-C, which a shell's background jobs ignore
        process.wait(timeout=60)
        said = log.read_text()
    finally:
        change(project, tracking={"experiment": "tiny"})
    assert process.returncode == 130
    assert "Traceback" not in said
    _, parents, children = runs(project, "interrupted")
    assert [run.info.status for run in parents] == ["KILLED"]
    statuses = {run.info.run_name: run.info.status for run in children}
    assert statuses.pop("adapt_sam") == "KILLED"
    assert set(statuses.values()) <= {"FINISHED"}  # what had ended before
    deadline = time.monotonic() + 20
    while running := processes_in(project):
        assert time.monotonic() < deadline, running
        time.sleep(0.2)


def started(project: Path, experiment: str, stage: str) -> bool:
    """Whether the stage has opened its run: before that there is nothing to mark."""
    return client_of(project).get_experiment_by_name(experiment) is not None and any(
        run.info.run_name == stage for run in runs(project, experiment)[2]
    )


def processes_in(folder: Path) -> list[str]:
    """Command lines of living processes that work in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder.resolve():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return [line for line in found if line]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retrain", "--profile", "absent"], "profiles/absent.yaml: no such file"),
        (["retrain", "--params", "absent.yaml", "--profile", ""], "absent.yaml: no such file"),
        (["stage", "nonsense", "--profile", "tiny"], "there is no stage 'nonsense'"),
        (["stage", "evaluate", "--profile", "tiny"], "Run the ingest stage first"),
        (["phantom", "--profile", "tiny", "--children", "0"], "greater than or equal to 1"),
        (["cohort", "add", "nowhere", "--name", "x", "--profile", "tiny"], "key"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_two(project, arguments, words, typed):
    code, said = typed(*arguments)
    assert code == 2
    assert words in said
    assert "Traceback" not in said


@pytest.fixture
def typed(project, monkeypatch, capsys):
    """Types a command in the project: its exit code, and what it says."""
    for name in set(os.environ) - set(surroundings()):
        monkeypatch.delenv(name)
    monkeypatch.chdir(project)
    told_to_stop = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["scintiflow", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, "".join(capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, told_to_stop)
