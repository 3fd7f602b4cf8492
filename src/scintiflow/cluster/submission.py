"""From the recipe and this checkout to a run, or a schedule, on a cluster."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from scintiflow.cluster.compilation import cluster_arguments, compile_retrain, source_hashes
from scintiflow.cluster.connection import Connection
from scintiflow.cluster.obstacles import PATHS_NAMED, withdrawn_obstacles
from scintiflow.cluster.once import Skipped, submit_once
from scintiflow.cluster.pins import Pin, pin_cohorts, pinned_source, used_cohorts
from scintiflow.cluster.provenance import provenance, work_key
from scintiflow.cluster.remote_runs import Submitted, find_experiment, run_name, submit
from scintiflow.cluster.schedules import Scheduled, schedule
from scintiflow.cluster.source_tree import TreeState, tree_state
from scintiflow.errors import ScintiflowError
from scintiflow.params import Params
from scintiflow.registry.champion import champion_to_beat
from scintiflow.registry.runs import registry_identity
from scintiflow.registry.surroundings import TRACKING_URI, name_the_run

IMAGE = "SCINTIFLOW_IMAGE"
FOUND_ON_THE_DAY = "found by the first step of each run"


def submit_retrain(
    connection: Connection,
    params: Params,
    root: Path,
    experiment: str = "",
    account: str = "",
    *,
    allow_dirty: bool = False,
    if_needed: bool = False,
    pinned: bool = False,
) -> Submitted | Skipped:
    """Start the retrain pipeline on a cluster, for the cohorts that `root` holds.

    The steps read them on a volume, or fetch them at a pinned commit if `placement.cohorts_from` says from where.
    Where this machine knows the cluster's registry, the run is opened there with its provenance before it starts,
    and the same work is not started while it goes on.

    Args:
        experiment: name of an experiment that exists; '' for that of params.yaml, created if absent.
        account: ServiceAccount of the steps; '' for the installation's own.
        allow_dirty: also a recipe that no commit holds; the run then keeps the difference and its hash.
        if_needed: for schedulers: do nothing if this very work is done, under way, or has failed twice.
        pinned: refuse a recipe whose steps would read a volume, for who cannot see to it that both hold the same.

    Raises ScintiflowError if the run could not be repeated, holds withdrawn patients, or is under way.
    """
    _check_image()
    source = params.placement.cohorts_from
    if pinned and not source:
        raise ScintiflowError(
            "is empty: the steps would read a volume, and it may hold other versions than this checkout",
            where="placement.cohorts_from",
            remedy="Name this project's git repository there, and the steps fetch the cohorts at the pinned commit",
        )
    if if_needed and not knows_registry():
        raise ScintiflowError(
            "asks the registry who has done this work, and none is known here",
            where="--if-needed",
            remedy=f"Set {TRACKING_URI} to the MLflow server of the cluster",
        )
    name = run_name()
    tree = _repeatable(tree_state(root), allow_dirty)
    if knows_registry():
        name_the_run(params.tracking.experiment, name)
    pins = _fetchable(pin_cohorts(used_cohorts(params), root), root)
    cohorts = pinned_source(source, pins, root) if source else ""
    arguments = cluster_arguments(params, source_hashes(params, root, pins), _registry(otherwise=name), cohorts)
    key = work_key(params, arguments)
    arguments["champion_to_beat"] = _champion(params, key, otherwise=name)
    identity = find_experiment(connection, experiment or params.tracking.experiment, create=not experiment)
    with _compiled(params) as package:
        start = partial(submit, connection, package, arguments, identity, name, account)
        if not knows_registry():
            return start()
        tags = provenance(key, arguments, pins, tree)
        return submit_once(connection, key, tags, (params, tree.diff), start, if_needed)


def schedule_retrain(
    connection: Connection, params: Params, root: Path, cron: str, name: str, experiment: str = "", account: str = ""
) -> Scheduled:
    """Retrain at fixed times from what the cluster's volume holds then. Arguments as in `submit_retrain`.

    No version of a cohort is pinned: it would be the same for ever. A first step finds those of the day
    (`first_look`), and its run keeps them, the recipe and the commit of the recipe.

    Raises ScintiflowError if no commit holds the recipe or the code.
    """
    _check_image()
    tree = _repeatable(tree_state(root), allow_dirty=False)
    unknown = {"cohorts": FOUND_ON_THE_DAY, "truth": FOUND_ON_THE_DAY}
    arguments = cluster_arguments(params, unknown, registry=FOUND_ON_THE_DAY) | {"champion_to_beat": FOUND_ON_THE_DAY}
    identity = find_experiment(connection, experiment or params.tracking.experiment, create=not experiment)
    with _compiled(params, scheduled_at=tree.sha or "none") as package:
        return schedule(connection, package, arguments, identity, name, cron, account)


@contextmanager
def _compiled(params: Params, scheduled_at: str = "") -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "retrain.yaml"
        compile_retrain(package, params, scheduled_at)
        yield package


def _repeatable(tree: TreeState, allow_dirty: bool) -> TreeState:
    """The tree, if a commit holds what would run. The steps themselves compare their code with the submitter's."""
    if tree.changes and not allow_dirty:
        raise ScintiflowError(
            f"what would run is in no commit: {', '.join(tree.changes[:PATHS_NAMED])}",
            where="code and recipe",
            remedy="Commit it; `pipeline submit` can be allowed it with --allow-dirty, and keeps the difference",
        )
    return tree


def _fetchable(pins: tuple[Pin, ...], root: Path) -> tuple[Pin, ...]:
    """The pins, if the cluster can have the same cohorts as this checkout; it gets only what is versioned."""
    for pin in pins:
        if pin.objection or not pin.version:
            raise ScintiflowError(
                pin.objection or "is not in this project",
                where=f"data/cohorts/{pin.name}",
                remedy="Version it (`dvc add`, `git commit`, `dvc push`) or merge the branch that has its .dvc file",
            )
    for obstacle in withdrawn_obstacles(root, pins):
        raise ScintiflowError(obstacle.reason, where=obstacle.where, remedy=obstacle.remedy)
    return pins


def _check_image() -> None:
    image = os.environ.get(IMAGE, "")
    name, _, version = image.rpartition("/")[2].partition(":")
    if not name or version in ("", "latest"):
        raise ScintiflowError(
            "names no image with a version" if image else "names no image",
            where=IMAGE,
            remedy="Set it to what the steps run in, as registry.example/scintiflow-python:<git SHA>",
        )


def _registry(otherwise: str) -> str:
    """Which registry is meant, if this machine knows it; otherwise a value that never hits the cache."""
    return registry_identity() if knows_registry() else otherwise


def _champion(params: Params, work: str, otherwise: str) -> str:
    """The champion to beat, if this machine knows the registry; otherwise a value that never hits the cache."""
    return champion_to_beat(params.register_.model_name, work) if knows_registry() else otherwise


def knows_registry() -> bool:
    """Whether this machine is told which MLflow server the steps on a cluster use."""
    return os.environ.get(TRACKING_URI, "").startswith("http")
