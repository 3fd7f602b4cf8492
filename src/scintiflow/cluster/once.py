"""One piece of work is started once, however often a trigger fires; on a cluster the registry and Kubeflow tell.

A run on this machine gives signs of life while it lasts. A run on a cluster has nobody who could: its MLflow parent
run names the Kubeflow run, and whoever wants to start the same work asks Kubeflow what became of it.
"""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from scintiflow.cluster.connection import Connection
from scintiflow.cluster.local_run import CHANGES
from scintiflow.cluster.remote_runs import Submitted, ended_as
from scintiflow.errors import ScintiflowError
from scintiflow.files import write_json
from scintiflow.params import Params
from scintiflow.registry.claims import Attempt, attempts, claim, give_back, hand_over, settle
from scintiflow.registry.lineage import RECIPE
from scintiflow.registry.surroundings import surroundings

ATTEMPTS = 2  # how often a scheduler tries the same work before a person must look
STATUS = {"SUCCEEDED": "FINISHED", "FAILED": "FAILED"}  # all other ends are KILLED


@dataclass(frozen=True)
class Skipped:
    """A scheduler's retrain that had no reason to start. `failed` if a person should look."""

    reason: str
    failed: bool = False


def under_way(done: Iterable[Attempt]) -> str:
    """A sentence about the attempt that is at this very work now; '' if none is."""
    running = next((attempt for attempt in done if attempt.is_running), None)
    return f"run {running.name} ({running.run_id}) is doing this very work" if running else ""


def reason_to_leave(done: Iterable[Attempt]) -> Skipped | None:
    """Why a scheduler should not start this unfinished work; None if it should."""
    done = tuple(done)
    if busy := under_way(done):
        return Skipped(busy)
    failed = [attempt for attempt in done if attempt.status == "FAILED"]
    if len(failed) >= ATTEMPTS:
        sentence = f"this work has failed {len(failed)} times, last in run {failed[-1].name} ({failed[-1].run_id}); "
        return Skipped(sentence + "look there, then start it again without --if-needed", failed=True)
    return None


def submit_once(
    connection: Connection,
    work_key: str,
    tags: dict[str, str],
    kept: tuple[Params, bytes],
    start: Callable[[], Submitted],
    if_needed: bool,
) -> Submitted | Skipped:
    """Claim the work in the registry, start it on the cluster, and tell the registry which Kubeflow run does it.

    Args:
        tags: provenance of the run.
        kept: the recipe, and what differs from the commit (b'' if nothing does); both stay with the run.
        start: submits the pipeline.
        if_needed: for schedulers: do nothing if this very work is done, under way, or has failed twice.

    Raises ScintiflowError if the work is under way and `if_needed` is not given.
    """
    for attempt in attempts(work_key):
        if attempt.status == "RUNNING" and attempt.cluster_run:
            end = ended_as(connection, attempt.cluster_run)
            if end:
                settle(attempt.run_id, STATUS.get(end, "KILLED"))
    done = attempts(work_key)
    finished = next((attempt for attempt in reversed(done) if attempt.status == "FINISHED"), None)
    if if_needed and finished is not None:
        return Skipped(f"nothing to do: run {finished.name} did exactly this work")
    if if_needed and (reason := reason_to_leave(done)):
        return reason
    claimed = claim(work_key, tags)
    if isinstance(claimed, Attempt):
        if if_needed:
            return Skipped(under_way([claimed]))
        raise ScintiflowError(
            under_way([claimed]),
            where=surroundings().experiment,
            remedy="Wait for it (`scintiflow pipeline status`), or stop it (`scintiflow pipeline cancel`)",
        )
    try:
        submitted = start()
    except BaseException:
        give_back(claimed)  # nobody works on it: the next trigger must not wait
        raise
    params, diff = kept
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / RECIPE]
        write_json(files[0], params.model_dump(by_alias=True))
        if diff:
            files.append(Path(folder) / CHANGES)
            files[-1].write_bytes(diff)
        hand_over(claimed, submitted.run_id, files)
    return submitted
