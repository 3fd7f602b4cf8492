"""Retrain: plan, refuse what cannot be repeated, claim the work, run it, leave the provenance behind."""

from pathlib import Path

from rich.console import Console

from scintiflow.cluster.local_locks import RETRAIN, BusyError, alone
from scintiflow.cluster.local_run import Order, Outcome, retrain_locally
from scintiflow.cluster.once import Skipped, reason_to_leave, under_way
from scintiflow.cluster.plan_display import show_stages_to_run
from scintiflow.cluster.planning import NOTHING, Plan, make_plan
from scintiflow.cluster.provenance import provenance
from scintiflow.cluster.remote_runs import run_name
from scintiflow.errors import ScintiflowError
from scintiflow.params import Params
from scintiflow.registry.claims import Attempt, claim
from scintiflow.registry.models import tag_version
from scintiflow.registry.runs import registry_identity
from scintiflow.registry.surroundings import name_the_run, stamp_the_code, surroundings


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
        with alone(RETRAIN, root):
            return _retrain(params, root, console, again, allow_dirty, if_needed)
    except BusyError as busy:
        if if_needed:
            return Skipped(busy.reason)
        raise


def _retrain(
    params: Params, root: Path, console: Console, again: tuple[str, ...], allow_dirty: bool, if_needed: bool
) -> Outcome | Skipped:
    name_the_run(params.tracking.experiment, run_name())
    registry_identity()  # it must be there before it is planned with: it is an argument of the pipeline
    plan = make_plan(params, root, again, allow_dirty)
    if if_needed and (reason := _no_need(plan)):
        return reason
    if plan.obstacles:
        first, *others = plan.obstacles
        more = f" ({len(others)} more: `scintiflow plan` lists them)" if others else ""
        raise ScintiflowError(first.reason, where=first.where, remedy=f"{first.remedy}{more}")
    show_stages_to_run(plan, console)
    tags = provenance(plan.work_key, plan.arguments, plan.pins, plan.tree)
    run_id = None
    if plan.to_run:
        claimed = claim(plan.work_key, tags)
        if isinstance(claimed, Attempt):
            if if_needed:
                return Skipped(under_way([claimed]))
            raise ScintiflowError(
                under_way([claimed]), where=surroundings().experiment, remedy="Wait for it, or stop it"
            )
        run_id = claimed
    order = Order(params, plan.arguments, again, tags, plan.tree.diff, run_id)
    stamp_the_code()
    outcome = retrain_locally(order, root, console)
    if "register" in outcome.ran:
        registration = outcome.registration
        tag_version(
            registration["name"], registration["version"], tags | {"pipeline_run_id": outcome.parent_run or ""}
        )
    return outcome


def _no_need(plan: Plan) -> Skipped | None:
    """Why a scheduler should leave this work alone; None if it should start it."""
    if plan.verdict == NOTHING:
        done = f"run {plan.finished.name} did exactly this work" if plan.finished else "every result is there already"
        return Skipped(f"nothing to do: {done}")
    return reason_to_leave(plan.done)
