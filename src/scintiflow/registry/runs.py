"""One MLflow parent run for a pipeline run, one child run for each stage that really ran."""

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run
from mlflow.exceptions import MlflowException

from scintiflow.errors import ScintiflowError
from scintiflow.registry.surroundings import Surroundings, git_sha, surroundings

PIPELINE_RUN_TAG = "scintiflow.pipeline_run"
STAGE_TAG = "scintiflow.stage"
PARENT_TAG = "mlflow.parentRunId"
KIND_TAG = "mlflow.experimentKind"
LONGEST_VALUE = 500
LONGEST_DIGEST = 32  # MLflow allows 36 characters


class MlflowTracker:
    """Sends what a stage tells to its MLflow run. Numbers that are not finite are left out."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.client, self.run_id = client, run_id

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        now = int(time.time() * 1000)
        known = [Metric(name, float(value), now, step or 0) for name, value in values.items() if math.isfinite(value)]
        self.client.log_batch(self.run_id, metrics=known)

    def artifact(self, path: Path, folder: str = "") -> None:
        self.client.log_artifact(self.run_id, str(path), folder or None)


@dataclass(frozen=True)
class StageRun:
    """The child run of a stage while it runs."""

    run_id: str
    tracker: MlflowTracker
    client: MlflowClient

    def tag(self, name: str, value: str) -> None:
        self.client.set_tag(self.run_id, f"scintiflow.{name}", value)

    def used(self, name: str, path: Path, sha256: str) -> None:
        """Show a data set in MLflow's own column: its name and the beginning of its hash."""
        data = Dataset(name, sha256[:LONGEST_DIGEST], "local", json.dumps({"uri": str(path)}))
        self.client.log_inputs(self.run_id, [DatasetInput(data, [])])


def open_client(where: Surroundings | None = None) -> MlflowClient:
    """A client for the tracking server; also tells MLflow's fluent functions where it is."""
    where = where or surroundings()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # hundreds of lines in a log
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # what it says of its tables helps no one here
    mlflow.set_tracking_uri(where.tracking_uri)
    mlflow.set_registry_uri(where.tracking_uri)
    return MlflowClient(where.tracking_uri, registry_uri=where.tracking_uri)


def experiment_id(client: MlflowClient, where: Surroundings) -> str:
    """The experiment's id; it is created if absent. Raises ScintiflowError if the server does not answer."""
    try:
        found = client.get_experiment_by_name(where.experiment)
        if found is not None:
            return found.experiment_id
        return create_experiment(client, where.experiment, where.artifact_root)
    except MlflowException as error:
        raise ScintiflowError(
            f"MLflow does not answer ({error.error_code})",
            where=where.tracking_uri.split("@")[-1],
            remedy="Check MLFLOW_TRACKING_URI and that the server runs",
        ) from None


def create_experiment(client: MlflowClient, name: str, artifact_root: str | None) -> str:
    """A new experiment that MLflow shows as one of training runs, not of conversations with a language model."""
    return client.create_experiment(
        name, artifact_location=artifact_root, tags={KIND_TAG: "custom_model_development"}
    )


def registry_identity() -> str:
    """Which registry this is. A cached registration in a registry that was deleted is no registration."""
    where = surroundings()
    experiment_id(open_client(where), where)
    return existing_registry()


def existing_registry() -> str:
    """`registry_identity` of an experiment that is there; '' if it is not, and it is not created."""
    where = surroundings()
    found = open_client(where).get_experiment_by_name(where.experiment)
    return "" if found is None else f"{found.experiment_id}@{found.creation_time}"


@contextmanager
def stage_run(stage: str, params: dict, tags: dict[str, str]) -> Iterator[StageRun]:
    """Open the child run of `stage` under the pipeline's parent run; FAILED for both on any error."""
    where = surroundings()
    client = open_client(where)
    parent = find_parent(client, where) or _create_parent(client, where)
    own_tags = {f"scintiflow.{name}": value for name, value in tags.items()}
    child = client.create_run(
        parent.info.experiment_id,
        run_name=stage,
        tags={PARENT_TAG: parent.info.run_id, STAGE_TAG: stage, "mlflow.source.git.commit": git_sha()} | own_tags,
    )
    run_id = child.info.run_id
    _log_params(client, run_id, params)
    client.set_tag(parent.info.run_id, f"scintiflow.stage.{stage}", run_id)
    try:
        yield StageRun(run_id, MlflowTracker(client, run_id), client)
    except BaseException as error:
        client.set_tag(run_id, "scintiflow.error", f"{type(error).__name__}: {error}"[:LONGEST_VALUE])
        client.set_terminated(run_id, "FAILED")
        client.set_terminated(parent.info.run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")


def find_parent(client: MlflowClient, where: Surroundings) -> Run | None:
    """The parent run of this pipeline run, if a stage has opened it."""
    found = client.search_runs(
        [experiment_id(client, where)],
        filter_string=f"tags.`{PIPELINE_RUN_TAG}` = '{where.pipeline_run}'",
        max_results=1,
    )
    return found[0] if found else None


def _create_parent(client: MlflowClient, where: Surroundings) -> Run:
    return client.create_run(
        experiment_id(client, where),
        run_name=where.pipeline_run,
        tags={PIPELINE_RUN_TAG: where.pipeline_run, "mlflow.source.git.commit": git_sha()},
    )


def close_parent(status: str, params: dict, tags: dict[str, str], artifacts: list[Path]) -> str | None:
    """`end_parent` of this pipeline run's parent run; its id, or None if no stage opened one."""
    where = surroundings()
    client = open_client(where)
    parent = find_parent(client, where)
    if parent is None:
        return None
    end_parent(client, parent, status, params, tags, artifacts)
    return parent.info.run_id


def end_parent(
    client: MlflowClient, parent: Run, status: str, params: dict, tags: dict[str, str], artifacts: list[Path]
) -> None:
    """End the parent run with the recipe and the pages that belong to all.

    `status` is FINISHED, FAILED or KILLED; a stage that could not say so itself gets it too, but in a run that
    finished such a stage is an attempt whose pod was killed.
    """
    run_id = parent.info.run_id
    _log_params(client, run_id, params)
    for name, value in tags.items():
        client.set_tag(run_id, f"scintiflow.{name}", value)
    for path in artifacts:
        client.log_artifact(run_id, str(path))
    _end(client, parent, status)


def end_abandoned(pipeline_run: str, status: str) -> bool:
    """End the parent run of a pipeline run that is over and whose pod was killed before it could say so.

    What its stages left open gets the same `status`, FAILED or KILLED. False if there is nothing to end.
    """
    client = open_client()
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.`{PIPELINE_RUN_TAG}` = '{pipeline_run}' and attributes.status = 'RUNNING'"
    open_parents = client.search_runs(everywhere, filter_string=wanted)
    for parent in open_parents:
        _end(client, parent, status)
    return bool(open_parents)


def _end(client: MlflowClient, parent: Run, status: str) -> None:
    """End a parent run and the stages that could not say so themselves."""
    left_running = f"tags.`{PARENT_TAG}` = '{parent.info.run_id}' and attributes.status = 'RUNNING'"
    for child in client.search_runs([parent.info.experiment_id], filter_string=left_running):
        client.set_terminated(child.info.run_id, "KILLED" if status == "FINISHED" else status)
    client.set_terminated(parent.info.run_id, status)


def _log_params(client: MlflowClient, run_id: str, params: dict) -> None:
    client.log_batch(run_id, params=[Param(name, value) for name, value in kept_params(params).items()])


def kept_params(params: dict) -> dict[str, str]:
    """Parameters as a run keeps them: flat, as text, long values cut."""
    return {name: str(value)[:LONGEST_VALUE] for name, value in flat(params).items()}


def flat(values: dict, prefix: str = "") -> dict[str, object]:
    """Nested mapping to dotted names."""
    result: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result
