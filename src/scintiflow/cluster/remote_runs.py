"""Runs on a cluster: submit one, see how it fares, read its logs, cancel it."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp_server_api
import yaml

from scintiflow.cluster.connection import Connection, MissingError
from scintiflow.errors import ScintiflowError
from scintiflow.stages.graph import STAGES, StageSpec, find_stage

EQUALS = 1  # PredicateOperation of the API's filters
FINISHED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
WAITING, REUSED = "waiting", "reused"
DONE = ("succeeded", REUSED)


@dataclass(frozen=True)
class Submitted:
    """A run that the cluster has accepted."""

    run_id: str
    name: str
    url: str


@dataclass(frozen=True)
class StageState:
    """How a stage of a run fares.

    Attributes:
        state: the API's word in lower case; 'waiting' before it started, 'reused' if the cache had its result.
        started, ended: None where that has not happened.
        pods: of its attempts, in the order of their start.
        message: why it failed or waits; '' if nothing is said.
    """

    stage: StageSpec
    state: str
    started: datetime | None = None
    ended: datetime | None = None
    pods: tuple[str, ...] = ()
    message: str = ""

    def seconds(self, now: datetime) -> float | None:
        return ((self.ended or now) - self.started).total_seconds() if self.started else None


@dataclass(frozen=True)
class ShardsState(StageState):
    """How the tasks fare that share a stage's work ahead of it, all together.

    Attributes:
        done: how many have finished.
        number: how many there are.
    """

    done: int = 0
    number: int = 0


@dataclass(frozen=True)
class RunState:
    """How a run fares; `stages` in the order of the graph, `shards` of those that are shared."""

    run_id: str
    name: str
    state: str
    created: datetime | None
    ended: datetime | None
    message: str
    stages: tuple[StageState, ...]
    shards: tuple[ShardsState, ...] = ()

    @property
    def steps(self) -> tuple[StageState, ...]:
        """The stages, each after its shards."""
        ahead = {shards.stage: shards for shards in self.shards}
        return tuple(step for each in self.stages for step in (ahead.get(each.stage), each) if step)

    @property
    def finished(self) -> bool:
        return self.state.upper() in FINISHED


def submit(
    connection: Connection, package: Path, arguments: dict[str, str], experiment: str, name: str, account: str = ""
) -> Submitted:
    """Start a run of a compiled pipeline. Raises ScintiflowError if the cluster does not take it.

    Args:
        package: IR YAML of `compile_retrain`.
        arguments: values of all inputs of the pipeline.
        experiment: id, see `find_experiment`.
        name: what people will see.
        account: ServiceAccount of the steps; '' for the installation's own.
    """
    run = kfp_server_api.V2beta1Run(
        experiment_id=experiment,
        display_name=name,
        pipeline_spec=pipeline_document(package),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=arguments),
        service_account=account or None,
    )
    answer = connection.call(connection.runs.run_service_create_run, run)
    return Submitted(answer.run_id, name, connection.endpoint.run_url(answer.run_id))


def find_experiment(connection: Connection, name: str, create: bool = False) -> str:
    """The id of an experiment. An absent one is created, or refused with the names of those that exist."""
    service, namespace = connection.experiments, connection.endpoint.namespace
    wanted = {"predicates": [{"operation": EQUALS, "key": "display_name", "stringValue": name}]}
    found = connection.call(
        service.experiment_service_list_experiments, filter=json.dumps(wanted), namespace=namespace
    ).experiments
    if found:
        return found[0].experiment_id
    if not create:
        others = connection.call(
            service.experiment_service_list_experiments, namespace=namespace, page_size=20
        ).experiments
        names = ", ".join(sorted(other.display_name for other in others or [])) or "none yet"
        raise ScintiflowError(
            f"there is no experiment '{name}'", where=connection.endpoint.host, remedy=f"There are: {names}"
        )
    wanted_experiment = kfp_server_api.V2beta1Experiment(display_name=name, namespace=namespace or None)
    return connection.call(service.experiment_service_create_experiment, wanted_experiment).experiment_id


def newest_run(connection: Connection, experiment: str) -> str:
    """The id of the youngest run of an experiment (an id)."""
    runs = connection.call(
        connection.runs.run_service_list_runs,
        experiment_id=experiment,
        sort_by="created_at desc",
        page_size=1,
    ).runs
    if not runs:
        remedy = "Start one with `scintiflow pipeline submit`"
        raise ScintiflowError("the experiment has no runs", where=connection.endpoint.host, remedy=remedy)
    return runs[0].run_id


def state_of(connection: Connection, run_id: str) -> RunState:
    """How a run fares, stage by stage."""
    run = _get(connection, run_id)
    tasks = (run.run_details.task_details if run.run_details else None) or []
    planned = _planned(run)
    return RunState(
        run_id=run.run_id,
        name=run.display_name,
        state=_word(run.state),
        created=run.created_at,
        ended=run.finished_at if _word(run.state).upper() in FINISHED else None,
        message=run.error.message if run.error and run.error.message else "",
        stages=tuple(_stage_state(stage, tasks) for stage in STAGES),
        shards=tuple(found for stage in STAGES if (found := _shards_state(stage, tasks, planned))),
    )


def ended_as(connection: Connection, run_id: str) -> str:
    """How a run ended, in the API's own word; '' while it goes on, and GONE if the cluster knows it no more."""
    try:
        state = _word(_get(connection, run_id).state).upper()
    except MissingError:
        return "GONE"
    return state if state in FINISHED else ""


def cancel(connection: Connection, run_id: str) -> None:
    """Ask the cluster to stop a run. Raises ScintiflowError if it has ended already."""
    state = _word(_get(connection, run_id).state)
    if state.upper() in FINISHED:
        remedy = "`scintiflow pipeline status` shows how it ended"
        raise ScintiflowError(f"the run has already {state}", where=run_id, remedy=remedy)
    connection.call(connection.runs.run_service_terminate_run, run_id)


def logs(connection: Connection, run_id: str, stage: str = "") -> list[tuple[StageSpec, str, str | None]]:
    """(stage, pod, text) of each attempt of a stage; text None where the cluster has kept none.

    Without a stage: the one that failed, else the one that runs, else the last that ran. Those that share a stage's
    work speak before it.
    """
    state = state_of(connection, run_id)
    chosen = _chosen(state, stage)
    pods = [pod for step in state.steps if step.stage == chosen.stage for pod in step.pods]
    if not pods:
        said = "its result was reused, so it has no log" if chosen.state == REUSED else f"it is {chosen.state}"
        remedy = "Name another stage with --stage"
        raise ScintiflowError(f"no pod of '{chosen.stage.name}' has started: {said}", where=run_id, remedy=remedy)
    return [(chosen.stage, pod, _pod_log(connection, run_id, pod)) for pod in pods]


def pipeline_document(package: Path) -> dict[str, Any]:
    """A compiled pipeline in the form that the API takes: the pipeline, and what Kubernetes alone is told."""
    pipeline, *platform = yaml.safe_load_all(package.read_text(encoding="utf-8"))
    return {"pipeline_spec": pipeline, "platform_spec": platform[0]} if platform else pipeline


def run_name(now: datetime | None = None) -> str:
    return f"retrain-{now or datetime.now(UTC):%Y%m%d-%H%M%S}"


def _get(connection: Connection, run_id: str) -> kfp_server_api.V2beta1Run:
    return connection.call(connection.runs.run_service_get_run, run_id, missing=f"there is no run '{run_id}'")


def _stage_state(stage: StageSpec, tasks: list) -> StageState:
    """A stage is the task of its name."""
    names = (stage.name.replace("_", "-"), stage.title)
    own = [task for task in tasks if task.display_name in names]
    return _task_state(stage, own[-1], tasks) if own else StageState(stage, WAITING)


def _shards_state(stage: StageSpec, tasks: list, planned: list[str]) -> ShardsState | None:
    """The tasks that share a stage's work; None if it does all alone. `planned`: names of all tasks of the run."""
    name = re.compile(rf"{stage.name.replace('_', '-')}-share(-\d+)?|{re.escape(stage.title)}, share \d+ of \d+")
    own = [_task_state(stage, task, tasks) for task in tasks if name.fullmatch(task.display_name or "")]
    number = max(len(own), sum(name.fullmatch(task) is not None for task in planned))
    if not number:
        return None
    done = [each for each in own if each.state in DONE]
    open_ones = [each for each in own if each.state not in DONE]
    if len(done) == number:
        state = REUSED if all(each.state == REUSED for each in done) else "succeeded"
    else:
        words = [each.state for each in open_ones]
        state = next((word for word in ("failed", "canceled", "canceling", "running") if word in words), None) or (
            "running" if done else WAITING
        )
    begun = [each.started for each in own if each.started]
    return ShardsState(
        stage=stage,
        state=state,
        started=min(begun, default=None),
        ended=max((each.ended for each in done if each.ended), default=None) if len(done) == number else None,
        pods=tuple(pod for each in own for pod in each.pods),
        message=next((each.message for each in open_ones if each.message), ""),
        done=len(done),
        number=number,
    )


def _planned(run: kfp_server_api.V2beta1Run) -> list[str]:
    """Names of all tasks of a run, also of those that have not started; [] where the API does not say."""
    document = run.pipeline_spec or {}
    pipeline = document.get("pipeline_spec", document)
    return list(pipeline.get("root", {}).get("dag", {}).get("tasks", {}))


def _task_state(stage: StageSpec, task: Any, tasks: list) -> StageState:
    """The attempts of a task are pods below it.

    A result from the cache leaves a task that succeeded and below it an executor that was skipped.
    """
    below = _below(task, tasks)
    attempts = sorted(
        (attempt for attempt in below if attempt.pod_name and _word(attempt.state) not in ("skipped", "omitted")),
        key=lambda attempt: (attempt.start_time or datetime.max.replace(tzinfo=UTC), attempt.pod_name),
    )
    skipped = any(_word(attempt.state) == "skipped" for attempt in below)
    reused = _word(task.state) == "succeeded" and not attempts and skipped
    return StageState(
        stage=stage,
        state=REUSED if reused else _word(task.state),
        started=task.start_time,
        ended=task.end_time if _word(task.state).upper() in FINISHED else None,
        pods=tuple(attempt.pod_name for attempt in attempts),
        message=_first_message([task, *below]),
    )


def _below(task: Any, tasks: list) -> list:
    """Leaves under a task: the executor, or its attempts where it was retried.

    A child names the node of the workflow, the task itself its pod; both end in the same number.
    """
    by_number = {_number(other.pod_name): other for other in tasks if other.pod_name}
    children = [by_number.get(_number(child.pod_name)) for child in task.child_tasks or []]
    executors = [child for child in children if child and (child.display_name or "").startswith("executor")]
    leaves = []
    for executor in executors:
        leaves += _below(executor, tasks) or [executor]
    return leaves


def _number(pod: str | None) -> str:
    return (pod or "").rsplit("-", 1)[-1]


def _first_message(tasks: list) -> str:
    said = [" ".join(task.error.message.split()) for task in tasks if task.error and task.error.message]
    return said[0] if said else ""


def _word(state: str | None) -> str:
    return (state or "pending").lower()


def _chosen(state: RunState, stage: str) -> StageState:
    if stage:
        wanted = find_stage(stage, "--stage")
        return next(each for each in state.stages if each.stage == wanted)
    for word in ("failed", "running"):
        for each in state.steps:
            if each.state == word:
                return each
    ran = [each for each in state.steps if each.pods]
    return ran[-1] if ran else state.stages[0]


def _pod_log(connection: Connection, run_id: str, pod: str) -> str | None:
    """From the API server; behind a gateway that does not forward that address, from the user interface."""
    said = connection.text(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log")
    if said is None:
        said = connection.text(
            "/k8s/pod/logs", podname=pod, podnamespace=connection.endpoint.namespace or "kubeflow", runid=run_id
        )
    return said
