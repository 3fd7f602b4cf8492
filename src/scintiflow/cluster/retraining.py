"""Retrain: plan, refuse what cannot be repeated, claim the work, run it, leave the provenance behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from scintiflow.cluster.local_cache import STATE
from scintiflow.cluster.local_run import Order, Outcome, retrain_locally
from scintiflow.cluster.plan_display import show_stages_to_run
from scintiflow.cluster.planning import NOTHING, Plan, make_plan
from scintiflow.errors import ScintiflowError
from scintiflow.params import Params
from scintiflow.registry.claims import Attempt, claim
from scintiflow.registry.models import tag_version
from scintiflow.registry.runs import registry_identity
from scintiflow.registry.surroundings import EXPERIMENT, GIT_SHA, PIPELINE_RUN, TRACKING_URI, git_sha, surroundings

ATTEMPTS = 2  # how often a scheduler tries the same work before a person must look
LOCK = "retrain.lock"


@dataclass(frozen=True)
class Skipped:
    """A scheduler's retrain that had no reason to start. `failed` if a person should look."""

    reason: str
    failed: bool = False


def retrain(
    params: Params,
    root: Path,
    console: Console,
    *,
    again: tuple[str, ...] = (),
    allow_dirty: bool = False,
    if_needed: bool = False,
) -> Outcome | Skipped:
    """Run the stages that the plan names, with every cohort pinned to its version and the code to its commit.

    Args:
        again: stages that run even if nothing has changed.
        allow_dirty: also run what no commit holds; the run then keeps the difference and its hash.
        if_needed: for schedulers: do nothing if this very work is done, under way, or has failed twice.

    Raises ScintiflowError if something is in the way, see `obstacles`, or if another retrain does this work.
    """
    try:
        with _one_at_a_time(root):
            return _retrain(params, root, console, again, allow_dirty, if_needed)
    except Timeout:
        busy = "another retrain is running in this project"
        if if_needed:
            return Skipped(busy)
        raise ScintiflowError(busy, where=root / STATE / LOCK, remedy="Wait for it, or stop it") from None


def _retrain(
    params: Params, root: Path, console: Console, again: tuple[str, ...], allow_dirty: bool, if_needed: bool
) -> Outcome | Skipped:
    _name_the_run(params)
    registry_identity()  # it must be there before it is planned with: it is an argument of the pipeline
    plan = make_plan(params, root, again, allow_dirty)
    if if_needed and (reason := _no_need(plan)):
        return reason
    if plan.obstacles:
        first, *others = plan.obstacles
        more = f" ({len(others)} more: `scintiflow plan` lists them)" if others else ""
        raise ScintiflowError(first.reason, where=first.where, remedy=f"{first.remedy}{more}")
    show_stages_to_run(plan, console)
    tags = provenance(plan)
    run_id = None
    if plan.to_run:
        claimed = claim(plan.work_key, tags)
        if isinstance(claimed, Attempt):
            sentence = f"run {claimed.name} ({claimed.run_id}) is doing this very work"
            if if_needed:
                return Skipped(sentence)
            raise ScintiflowError(sentence, where=surroundings().experiment, remedy="Wait for it, or stop it")
        run_id = claimed
    order = Order(params, plan.arguments, again, tags, plan.tree.diff, run_id)
    outcome = retrain_locally(order, root, console)
    if "register" in outcome.ran:
        registration = outcome.registration
        tag_version(
            registration["name"], registration["version"], tags | {"pipeline_run_id": outcome.parent_run or ""}
        )
    return outcome


def provenance(plan: Plan) -> dict[str, str]:
    """What a run and its model version say of where they come from."""
    tree = "clean" if not plan.tree.changes else "dirty"
    found = {
        "work_key": plan.work_key,
        "git_sha": plan.tree.sha or "none",
        "tree": tree,
        "cohorts_sha256": plan.arguments["cohorts_sha256"],
        "truth_sha256": plan.arguments["truth_sha256"],
        **{f"cohort.{pin.name}": pin.version for pin in plan.pins},
        **{f"cohort_objection.{pin.name}": pin.objection for pin in plan.pins if pin.objection},
    }
    return found | ({"diff_sha256": plan.tree.diff_sha256} if plan.tree.changes else {})


def _no_need(plan: Plan) -> Skipped | None:
    """Why a scheduler should leave this work alone; None if it should start it."""
    if plan.verdict == NOTHING:
        done = f"run {plan.finished.name} did exactly this work" if plan.finished else "every result is there already"
        return Skipped(f"nothing to do: {done}")
    running = next((attempt for attempt in plan.done if attempt.is_running), None)
    if running is not None:
        return Skipped(f"run {running.name} ({running.run_id}) is doing this very work")
    failed = [attempt for attempt in plan.done if attempt.status == "FAILED"]
    if len(failed) >= ATTEMPTS:
        sentence = f"this work has failed {len(failed)} times, last in run {failed[-1].name} ({failed[-1].run_id}); "
        return Skipped(sentence + "look there, then run `scintiflow retrain` without --if-needed", failed=True)
    return None


def _name_the_run(params: Params) -> None:
    """Tell every stage, through the environment, which run it belongs to and which commit it is."""
    os.environ[PIPELINE_RUN] = f"retrain-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    os.environ[EXPERIMENT] = params.tracking.experiment
    os.environ[TRACKING_URI] = surroundings().tracking_uri
    os.environ[GIT_SHA] = git_sha()


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Two retrains of one project would fight for its cache. Raises filelock.Timeout for the second."""
    (root / STATE).mkdir(exist_ok=True)
    with FileLock(root / STATE / LOCK, timeout=0):
        yield
