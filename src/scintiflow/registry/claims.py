"""One retrain for one piece of work: who does it, who has done it, and who died trying.

A piece of work is cohorts, parameters and code, known by one hash. Whoever starts it first opens the pipeline's
parent run under that hash; a second trigger finds the run and leaves it alone. The tracking server is the only
place that every machine sees, so the claim lives there.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run

from scintiflow.registry.runs import PIPELINE_RUN_TAG, experiment_id, open_client
from scintiflow.registry.surroundings import git_sha, surroundings

WORK_TAG = "scintiflow.work_key"
ALIVE_TAG = "scintiflow.alive_at"  # seconds since 1970, renewed while the run goes on
HELD_TAG = "scintiflow.claim_held"
CLUSTER_TAG = "scintiflow.kubeflow_run"
SILENT_AFTER = 900.0  # seconds without a sign of life after which a run is taken for dead


@dataclass(frozen=True)
class Attempt:
    """A pipeline run that did, does or tried a piece of work.

    `status` is RUNNING, FINISHED, FAILED or KILLED. `cluster_run` is the id of the Kubeflow run that does it, '' on a
    machine that gives signs of life itself.
    """

    run_id: str
    name: str
    status: str
    started: int
    alive_at: float
    held: bool
    cluster_run: str = ""

    @property
    def is_running(self) -> bool:
        if self.status != "RUNNING":
            return False
        return bool(self.cluster_run) or time.time() - self.alive_at < SILENT_AFTER


def attempts(work_key: str) -> list[Attempt]:
    """Every attempt at this piece of work in the experiment, oldest first."""
    where = surroundings()
    client = open_client(where)
    experiment = client.get_experiment_by_name(where.experiment)
    if experiment is None:
        return []
    found = client.search_runs([experiment.experiment_id], filter_string=f"tags.`{WORK_TAG}` = '{work_key}'")
    return sorted((_attempt(run) for run in found), key=lambda attempt: (attempt.started, attempt.run_id))


def claim(work_key: str, tags: dict[str, str]) -> str | Attempt:
    """Open the parent run for this piece of work; its run id, or the attempt that is already running.

    Two who claim at the same moment see each other's run: the older stays, the other withdraws. A run that gave no
    sign of life is marked KILLED and taken over.
    """
    where = surroundings()
    client = open_client(where)
    own = client.create_run(
        experiment_id(client, where),
        run_name=where.pipeline_run,
        tags={
            PIPELINE_RUN_TAG: where.pipeline_run,
            WORK_TAG: work_key,
            ALIVE_TAG: str(time.time()),
            "mlflow.source.git.commit": git_sha(),
        }
        | {f"scintiflow.{name}": value for name, value in tags.items()},
    ).info
    for other in attempts(work_key):
        if other.run_id == own.run_id or other.status != "RUNNING":
            continue
        if not other.is_running:
            client.set_terminated(other.run_id, "KILLED")
        elif other.held or (other.started, other.run_id) < (own.start_time, own.run_id):
            client.delete_run(own.run_id)
            return other
    client.set_tag(own.run_id, HELD_TAG, "yes")
    return own.run_id


def keep_alive(run_id: str) -> None:
    open_client().set_tag(run_id, ALIVE_TAG, str(time.time()))


def hand_over(run_id: str, cluster_run: str, files: Iterable[Path]) -> None:
    """A Kubeflow run does the claimed work from now on: its stages join this parent run, which keeps `files`.

    Called while its first pod is being scheduled.
    """
    client = open_client()
    for tag in (PIPELINE_RUN_TAG, CLUSTER_TAG):
        client.set_tag(run_id, tag, cluster_run)
    for path in files:
        client.log_artifact(run_id, str(path))


def give_back(run_id: str) -> None:
    """The claimed work was not started."""
    open_client().delete_run(run_id)


def settle(run_id: str, status: str) -> None:
    """Close a run that ended without saying so itself."""
    open_client().set_terminated(run_id, status)


def _attempt(run: Run) -> Attempt:
    tags = run.data.tags
    return Attempt(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=run.info.status,
        started=run.info.start_time,
        alive_at=float(tags.get(ALIVE_TAG, 0)),
        held=HELD_TAG in tags,
        cluster_run=tags.get(CLUSTER_TAG, ""),
    )
