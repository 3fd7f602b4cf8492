"""Runs and schedules against an API server that checks every field against the OpenAPI."""

from datetime import timedelta
from pathlib import Path

import kfp_server_api
import pytest
import yaml
from kfp.client.client import _extract_pipeline_yaml
from kfp_api_server import BEGIN
from kfp_server_api import PipelineTaskDetailChildTask as Child
from kfp_server_api import V2beta1PipelineTaskDetail as Task
from mlflow import MlflowClient

from scintiflow.cluster import abandoned, remote_runs
from scintiflow.cluster.compilation import compile_retrain
from scintiflow.cluster.remote_runs import find_experiment, newest_run, pipeline_document, state_of, submit
from scintiflow.cluster.run_table import duration, status_lines
from scintiflow.cluster.schedules import checked_cron, schedule, unschedule
from scintiflow.cluster.watching import looks
from scintiflow.errors import ScintiflowError
from scintiflow.params import load_params
from scintiflow.registry.runs import open_client, stage_run
from scintiflow.registry.surroundings import PIPELINE_RUN
from scintiflow.stages.graph import BY_NAME

ROOT = Path(__file__).parents[2]


@pytest.fixture
def experiment(connection):
    return find_experiment(connection, "scintiflow", create=True)


@pytest.fixture
def run(connection, package, arguments, experiment):
    return submit(connection, package, arguments, experiment, "retrain-1").run_id


def refused(call, *arguments, **options) -> str:
    with pytest.raises(ScintiflowError) as refusal:
        call(*arguments, **options)
    return str(refusal.value)


# --- submit ------------------------------------------------------------------------------------------------


def test_submit_sends_the_arguments_and_returns_id_and_url(server, connection, package, arguments, experiment):
    submitted = submit(connection, package, arguments, experiment, "retrain-1", account="pipeline-runner")
    kept = server.runs[submitted.run_id]
    assert kept["runtime_config"]["parameters"] == arguments
    assert (kept["display_name"], kept["service_account"]) == ("retrain-1", "pipeline-runner")
    assert submitted.url == f"{server.url}/#/runs/details/{submitted.run_id}"


def test_the_pipeline_travels_as_kubeflows_own_client_would_send_it(package):
    assert pipeline_document(package) == _extract_pipeline_yaml(str(package)).to_dict()


def test_an_argument_that_the_pipeline_lacks_is_refused_by_the_server(connection, package, arguments, experiment):
    said = refused(submit, connection, package, arguments | {"epochs": "3"}, experiment, "retrain")
    assert "parameter epochs is not an input" in said


def test_the_experiment_is_created_once(server, connection):
    first = find_experiment(connection, "scintiflow", create=True)
    assert find_experiment(connection, "scintiflow", create=True) == first
    assert len(server.experiments) == 1


def test_the_newest_run_is_found(connection, package, arguments, experiment):
    runs = [submit(connection, package, arguments, experiment, f"retrain-{number}").run_id for number in range(3)]
    assert newest_run(connection, experiment) == runs[-1]


# --- status and logs ---------------------------------------------------------------------------------------


def minutes(number: float):
    return BEGIN + timedelta(minutes=number)


def task(number: int, name: str, state: str, begin: float, end: float | None = None, children=(), error: str = ""):
    """A node of an Argo workflow as the API tells it: the node's own name is its pod's, a child's is its node's."""
    return Task(
        task_id=str(number),
        display_name=name,
        state=state,
        start_time=minutes(begin),
        end_time=minutes(end) if end is not None else None,
        pod_name=f"retrain-x7-system-container-{number}",
        child_tasks=[Child(pod_name=f"retrain-x7-{child}") for child in children],
        error=kfp_server_api.GoogleRpcStatus(message=error) if error else None,
    )


@pytest.fixture
def half_way(server, run):
    """Ingestion was reused, SAM needed two attempts, priors are done, training has failed once and runs again."""
    details = [
        task(1, "root-driver", "SUCCEEDED", 0, 0.5),
        task(10, "ingest-driver", "SUCCEEDED", 1, 1.2),
        task(11, "ingest", "SUCCEEDED", 1, 1.3, children=(12,)),
        task(12, "executor", "SKIPPED", 1.2, 1.2),
        task(20, "adapt-sam-driver", "SUCCEEDED", 2, 2.2),
        task(21, "adapt-sam", "SUCCEEDED", 2, 64, children=(22,)),
        task(22, "executor", "SUCCEEDED", 2.2, 64, children=(23, 24)),
        task(23, "executor(0)", "FAILED", 2.2, 30, error="node was preempted"),
        task(24, "executor(1)", "SUCCEEDED", 31, 64),
        task(31, "Distil semantic priors", "SUCCEEDED", 64, 65, children=(32,)),
        task(32, "executor", "SUCCEEDED", 64, 65),
        task(41, "train-cascade", "RUNNING", 66, children=(42,)),
        task(42, "executor", "RUNNING", 66, children=(43, 44)),
        task(43, "executor(0)", "FAILED", 66, 70, error="OOMKilled"),
        task(44, "executor(1)", "RUNNING", 71),
    ]
    server.runs[run]["run_details"] = kfp_server_api.V2beta1RunDetails(task_details=details)
    server.runs[run]["state"] = "RUNNING"
    return run


def test_status_knows_each_stage(connection, half_way):
    state = state_of(connection, half_way)
    assert [each.stage.name for each in state.stages] == list(BY_NAME)
    words = {each.stage.name: each.state for each in state.stages}
    assert words["ingest"] == "reused"
    assert words["adapt_sam"] == words["distil_priors"] == "succeeded"
    assert words["train_cascade"] == "running"
    assert {words[name] for name in ("fetch_champion", "evaluate", "register", "restore_real")} == {"waiting"}


def test_status_knows_times_attempts_and_the_reason_of_a_failed_attempt(connection, half_way):
    stages = {each.stage.name: each for each in state_of(connection, half_way).stages}
    assert stages["adapt_sam"].pods == ("retrain-x7-system-container-23", "retrain-x7-system-container-24")
    assert stages["adapt_sam"].seconds(minutes(1000)) == 62 * 60
    assert stages["train_cascade"].seconds(minutes(96)) == 30 * 60
    assert stages["train_cascade"].message == "OOMKilled"
    assert stages["evaluate"].seconds(minutes(96)) is None


def test_the_table_reads_like_the_one_on_a_laptop(connection, half_way):
    lines = list(status_lines(state_of(connection, half_way), "https://kubeflow.example/run", minutes(96)))
    text = "\n".join(lines)
    assert lines[0].startswith("retrain-1  running")
    assert "= Ingest cohorts" in text
    assert "unchanged, reused" in text
    assert "1 h 02 min  2026-11-20 02:02  attempt 2" in text
    assert "> Train the cascade" in text
    assert "      OOMKilled" in lines
    assert "node was preempted" not in text  # that stage is done
    assert lines[-1] == "https://kubeflow.example/run"


@pytest.fixture(scope="module")
def shared_package(tmp_path_factory):
    """Production's pipeline with three shards of ingest and two of distil_priors."""
    folder = tmp_path_factory.mktemp("shared")
    overlay = folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"placement": {"ingest": {"shards": 3}, "distil_priors": {"shards": 2}}}))
    compile_retrain(folder / "shared.yaml", load_params(ROOT / "params.yaml", overlay))
    return folder / "shared.yaml"


@pytest.fixture
def shared(server, connection, experiment, arguments, shared_package):
    """Starts a run of it that the server tells of as asked for."""
    run = submit(connection, shared_package, arguments, experiment, "retrain-shared").run_id

    def told(*tasks: Task) -> str:
        server.runs[run]["run_details"] = kfp_server_api.V2beta1RunDetails(task_details=list(tasks))
        server.runs[run]["state"] = "RUNNING"
        return run

    return told


def table(connection, run: str, now: float) -> list[str]:
    return list(status_lines(state_of(connection, run), "https://kubeflow.example/run", minutes(now)))


FIRST_SHARES = (
    task(11, "ingest-share", "SUCCEEDED", 1, 9, children=(12,)),
    task(12, "executor", "SUCCEEDED", 1, 9),
    task(21, "ingest-share-3", "SUCCEEDED", 1, 11, children=(22,)),
    task(22, "executor", "SKIPPED", 11, 11),
)


def test_pods_that_share_a_stage_are_one_line_before_it(connection, shared):
    under_way = (task(31, "ingest-share-2", "RUNNING", 2, children=(32,)), task(32, "executor", "RUNNING", 2))
    run = shared(*FIRST_SHARES, *under_way)
    lines = table(connection, run, now=21)
    assert lines[1].startswith("  > Ingest cohorts, shared")
    assert "2 of 3 shards" in lines[1]
    assert "20 min 00 s  2026-11-20 02:01" in lines[1]
    assert lines[2].strip() == "· Ingest cohorts                  waiting"
    (priors,) = [line for line in lines if "priors, shared" in line]
    assert priors.strip() == "· Distil semantic priors, shared  0 of 2 shards"
    assert sum(", shared" in line for line in lines) == 2, "nobody wants a line for each of fifty pods"


def test_shards_that_are_done_have_ended_and_one_that_failed_says_why(connection, shared):
    last = task(31, "Ingest cohorts, share 2 of 3", "SUCCEEDED", 2, 33, children=(32,))
    lines = table(connection, shared(*FIRST_SHARES, last, task(32, "executor", "SUCCEEDED", 2, 33)), now=90)
    assert lines[1].startswith("  + Ingest cohorts, shared")
    assert "3 of 3 shards " in lines[1]
    assert "32 min 00 s" in lines[1]
    failed = task(31, "ingest-share-2", "FAILED", 2, 5, children=(32,), error="OOMKilled")
    lines = table(connection, shared(*FIRST_SHARES, failed, task(32, "executor", "FAILED", 2, 5)), now=90)
    assert lines[1].startswith("  x Ingest cohorts, shared")
    assert lines[2] == "      OOMKilled"


def test_the_log_of_a_shard_that_failed_is_shown(server, connection, shared):
    failed = task(31, "ingest-share-2", "FAILED", 2, 5, children=(32,), error="OOMKilled")
    run = shared(*FIRST_SHARES, failed, task(32, "executor", "FAILED", 2, 5))
    server.logs = {"retrain-x7-system-container-32": "registering and packing pairs 40/400\n"}
    said = {pod[-2:]: (spec.name, text) for spec, pod, text in remote_runs.logs(connection, run)}
    assert said["32"] == ("ingest", "registering and packing pairs 40/400\n")


def test_watching_shows_each_shard_that_ends(server, connection, shared):
    run = shared(*FIRST_SHARES[:2])
    seen = []
    for _, lines in looks(connection, run, seconds_between=0.0):
        seen.append(lines[1])
        if len(seen) == 1:
            shared(*FIRST_SHARES)
        else:
            server.runs[run] |= {"state": "SUCCEEDED", "finished_at": minutes(120)}
    assert ["1 of 3" in seen[0], "2 of 3" in seen[1]] == [True, True]


def test_watching_ends_with_the_run_and_shows_only_what_changed(server, connection, half_way):
    seen = []
    for state, lines in looks(connection, half_way, seconds_between=0.0):
        seen.append(state)
        assert lines
        server.runs[half_way] |= {"state": "SUCCEEDED", "finished_at": minutes(120)}
    assert seen == ["running", "succeeded"]


def test_logs_are_those_of_the_running_stage_attempt_by_attempt(server, connection, half_way):
    server.logs = {"retrain-x7-system-container-44": "step 10 of 60000\n"}
    said = [(spec.name, pod[-2:], text) for spec, pod, text in remote_runs.logs(connection, half_way)]
    assert said == [("train_cascade", "43", None), ("train_cascade", "44", "step 10 of 60000\n")]


def test_logs_of_a_named_stage_come_from_the_user_interface_where_the_gateway_forwards_only_that(
    server, connection, half_way
):
    server.ui_logs = {"retrain-x7-system-container-32": "137 studies\n"}
    assert [text for _, _, text in remote_runs.logs(connection, half_way, "distil_priors")] == ["137 studies\n"]


def test_a_failed_stage_speaks_first(server, connection, half_way):
    details = server.runs[half_way]["run_details"].task_details
    next(each for each in details if each.display_name == "Distil semantic priors").state = "FAILED"
    assert remote_runs.logs(connection, half_way)[0][0].name == "distil_priors"


@pytest.mark.parametrize(
    ("stage", "sentence"),
    [("ingest", "its result was reused"), ("evaluate", "it is waiting"), ("nonsense", "Stages: ingest")],
)
def test_logs_that_cannot_be_say_why(connection, half_way, stage, sentence):
    assert sentence in refused(remote_runs.logs, connection, half_way, stage)


def test_a_run_that_has_only_been_accepted_is_pending(connection, run):
    state = state_of(connection, run)
    assert state.state == "pending"
    assert {each.state for each in state.stages} == {"waiting"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (60, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7620, "2 h 07 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


# --- what a killed pod leaves in MLflow -------------------------------------------------------------------


@pytest.fixture
def left_running(run, monkeypatch):
    """MLflow after a pod was killed in its stage: the parent run and that stage are open, an earlier stage is not."""
    monkeypatch.setenv(PIPELINE_RUN, run)
    with stage_run("ingest", {}, {}):
        pass
    with monkeypatch.context() as killed:
        killed.setattr(MlflowClient, "set_terminated", lambda *_, **__: None)  # nobody is left to say it
        with stage_run("train_cascade", {}, {}):
            pass
    return run


def in_mlflow() -> dict[str, str]:
    client = open_client()
    found = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    return {each.info.run_name: each.info.status for each in found}


@pytest.mark.parametrize(("ended", "status"), [("FAILED", "FAILED"), ("CANCELED", "KILLED")])
def test_asking_for_a_run_that_ended_hard_ends_it_in_mlflow(
    server, connection, left_running, monkeypatch, ended, status
):
    monkeypatch.setattr(abandoned, "knows_registry", lambda: True)
    before = in_mlflow()
    assert before == {left_running: "RUNNING", "ingest": "FINISHED", "train_cascade": "RUNNING"}
    server.runs[left_running]["state"] = "RUNNING"
    list(looks(connection, left_running, None))
    assert in_mlflow() == before, "it may still end by itself"
    server.runs[left_running] |= {"state": ended, "finished_at": minutes(9)}
    ((_, lines),) = looks(connection, left_running, None)
    assert lines[-1].endswith(f"it is {status} now")
    assert in_mlflow() == {left_running: status, "ingest": "FINISHED", "train_cascade": status}
    ((_, lines),) = looks(connection, left_running, None)
    assert "MLflow" not in lines[-1]


def test_where_mlflow_is_not_known_it_is_said_that_nobody_looked(server, connection, run, monkeypatch):
    server.runs[run] |= {"state": "FAILED", "finished_at": minutes(9)}
    ((_, lines),) = looks(connection, run, None)
    assert "set MLFLOW_TRACKING_URI" in lines[-1]


# --- cancel ------------------------------------------------------------------------------------------------


def test_cancel_stops_a_run_and_refuses_one_that_has_ended(server, connection, run):
    remote_runs.cancel(connection, run)
    assert server.runs[run]["state"] == "CANCELING"
    server.runs[run]["state"] = "SUCCEEDED"
    assert "already succeeded" in refused(remote_runs.cancel, connection, run)
    assert "no run 'f00'" in refused(remote_runs.cancel, connection, "f00")


# --- schedules ---------------------------------------------------------------------------------------------


@pytest.fixture
def on_time(connection, package, arguments, experiment):
    def make(cron: str = "0 2 * * 6", name: str = "retrain"):
        return schedule(connection, package, arguments, experiment, name, cron)

    return make


def test_a_schedule_runs_one_at_a_time_and_makes_up_no_missed_times(server, on_time):
    kept = server.schedules[on_time().schedule_id]
    assert kept["trigger"]["cron_schedule"]["cron"] == "0 0 2 * * 6"
    assert (kept["max_concurrency"], kept["no_catchup"], kept["mode"]) == ("1", True, "ENABLE")


def test_a_schedule_keeps_the_pipeline_as_it_was_compiled(server, on_time, package):
    assert server.schedules[on_time().schedule_id]["pipeline_spec"] == pipeline_document(package)


def test_the_same_schedule_twice_stays_one(server, on_time):
    first, second = on_time(), on_time()
    assert (first.changed, second.changed) == (True, False)
    assert first.schedule_id == second.schedule_id
    assert len(server.schedules) == 1


def test_another_time_replaces_the_schedule(server, on_time):
    first, second = on_time("0 2 * * 6"), on_time("30 3 * * 0")
    assert second.replaced == 1
    assert set(server.schedules) == {second.schedule_id} != {first.schedule_id}


def test_a_disabled_schedule_is_made_anew(server, on_time):
    server.schedules[on_time().schedule_id]["status"] = "DISABLED"
    assert on_time().changed
    assert [each["status"] for each in server.schedules.values()] == ["ENABLED"]


def test_doubles_on_any_page_are_cleared_and_other_names_stay(server, on_time):
    others = {on_time(name=name).schedule_id for name in ("a", "b", "c", "d")}
    kept = on_time().schedule_id
    for number in range(3):
        server.schedules[f"double-{number}"] = server.schedules[kept] | {"recurring_run_id": f"double-{number}"}
    assert on_time().replaced == 3
    assert set(server.schedules) == others | {kept}


def test_unschedule_removes_what_has_the_name_and_nothing_else(server, connection, on_time, experiment):
    on_time()
    other = on_time(name="monthly").schedule_id
    assert unschedule(connection, experiment, "retrain") == 1
    assert set(server.schedules) == {other}
    said = refused(unschedule, connection, experiment, "retrain")
    assert "There are: monthly" in said


def test_cron_of_five_or_six_fields():
    assert checked_cron("0 2 * * 6") == "0 0 2 * * 6"
    assert checked_cron("0 0 9 ? * MON-FRI") == "0 0 9 ? * MON-FRI"
    for wrong in ("", "daily", "* * * *", "0 2 * * 6; rm", "@daily"):
        assert "is no cron expression" in refused(checked_cron, wrong)
