"""What a retrain would do, why, and at what cost, found without running anything."""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from scintiflow.cluster.changes import (
    CohortChange,
    ParamChange,
    changed_cohorts,
    changed_params,
    code_reason,
    section_changes,
)
from scintiflow.cluster.compilation import retrain_arguments
from scintiflow.cluster.costs import Cost, Total, stage_cost, total_cost
from scintiflow.cluster.drift_reason import DriftReason, drift_reason
from scintiflow.cluster.local_cache import cached_stages
from scintiflow.cluster.obstacles import Obstacle, find_obstacles
from scintiflow.cluster.pins import Pin, pin_cohorts, used_cohorts
from scintiflow.cluster.provenance import work_key
from scintiflow.cluster.source_tree import TreeState, tree_state
from scintiflow.params import Params
from scintiflow.registry.champion import CHAMPION, NO_CHAMPION, champion_to_beat
from scintiflow.registry.claims import Attempt, attempts
from scintiflow.registry.lineage import History, ModelRecord, StageRecord, registry_exists
from scintiflow.registry.runs import existing_registry, kept_params
from scintiflow.registry.surroundings import EXPERIMENT
from scintiflow.stages.graph import BY_NAME, STAGES, StageSpec, edges, find_stage

NOTHING, NEEDED, CANNOT = "nothing to do", "retrain needed", "cannot"
EXIT_CODES = {NOTHING: 0, NEEDED: 3, CANNOT: 4}


@dataclass(frozen=True)
class StagePlan:
    """One stage: whether it will run here, why, and what it cost before."""

    name: str
    title: str
    runs: bool
    reasons: tuple[str, ...]
    cost: Cost


@dataclass(frozen=True)
class Plan:
    """What `scintiflow retrain` would do now.

    Attributes:
        champion: what the changes are measured against; None if there is none.
        done: attempts at exactly this work, in this registry.
        work_key: hash of cohorts, truth, parameters and code: the identity of the work.
        arguments: of the pipeline.
        drift: why the champion no longer fits the scans that it restores.
    """

    champion: ModelRecord | None
    cohorts: tuple[CohortChange, ...]
    params: tuple[ParamChange, ...]
    stages: tuple[StagePlan, ...]
    total: Total
    gate: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]
    done: tuple[Attempt, ...]
    pins: tuple[Pin, ...]
    tree: TreeState
    free_bytes: int
    work_key: str
    arguments: dict[str, str]
    drift: DriftReason | None = None

    @property
    def to_run(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self.stages if stage.runs)

    @property
    def finished(self) -> Attempt | None:
        """The last run that did exactly this work, on whatever machine."""
        return next((attempt for attempt in reversed(self.done) if attempt.status == "FINISHED"), None)

    @property
    def is_done(self) -> bool:
        """Nothing has changed since the last run of this work."""
        return not self.to_run or self.finished is not None

    @property
    def verdict(self) -> str:
        if self.is_done:
            return NOTHING if self.drift is None else CANNOT
        return CANNOT if self.obstacles else NEEDED

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


def make_plan(params: Params, root: Path, again: tuple[str, ...] = (), allow_dirty: bool = False) -> Plan:
    """Look at the working tree, the registry and this machine's cache; nothing is written, nothing runs.

    Args:
        again: stages that shall run even if nothing has changed.
        allow_dirty: what no commit holds is no obstacle.

    Raises ScintiflowError if the project cannot be read or MLflow does not answer.
    """
    for name in again:
        find_stage(name, "--again")
    os.environ[EXPERIMENT] = params.tracking.experiment
    history = History.read()
    champion = history.model(params.register_.model_name, CHAMPION)
    lineage = _champion_lineage(history, champion)
    pins = pin_cohorts(used_cohorts(params), root)
    arguments = retrain_arguments(params, root, pins, existing_registry() if registry_exists() else "")
    key = work_key(params, arguments)
    arguments["champion_to_beat"] = (
        champion_to_beat(params.register_.model_name, key) if registry_exists() else NO_CHAMPION
    )
    reused = cached_stages(arguments, root, again)

    stages: list[StagePlan] = []
    for spec in STAGES:
        cost = stage_cost(spec.name, kept_params(params.section(spec.name).model_dump()), history)
        reasons: tuple[str, ...] = ()
        if not reused[spec.name]:
            reference = lineage.get(spec.name) or _latest(history, spec.name)
            reasons = _reasons(spec, params, pins, arguments, reference, reused, again)
        stages.append(StagePlan(spec.name, spec.title, not reused[spec.name], reasons, cost))
    total = total_cost([stage.cost for stage in stages if stage.runs], history)
    tree = tree_state(root)
    free_bytes = shutil.disk_usage(root).free
    plan = Plan(
        champion=champion,
        cohorts=changed_cohorts(_cohorts(lineage), pins) if champion else (),
        params=changed_params(params, lineage),
        stages=tuple(stages),
        total=total,
        gate=_gate(params, champion),
        obstacles=find_obstacles(params, root, pins, tree, total, free_bytes, allow_dirty),
        done=() if again or not registry_exists() else tuple(attempts(key)),
        pins=pins,
        tree=tree,
        free_bytes=free_bytes,
        work_key=key,
        arguments=arguments,
        drift=drift_reason(params.watch, champion),
    )
    if plan.drift is None or not plan.is_done:
        return plan
    return replace(plan, obstacles=(*plan.obstacles, plan.drift.obstacle()))


def _champion_lineage(history: History, champion: ModelRecord | None) -> dict[str, StageRecord]:
    """The champion's stage runs, and those that its pipeline run made after registering it."""
    if champion is None:
        return {}
    upstream = history.lineage(champion)
    register = upstream.get("register")
    return (history.of_pipeline(register.parent_run_id) if register else {}) | upstream


def _cohorts(lineage: dict[str, StageRecord]) -> dict[str, str]:
    return {name: version for record in lineage.values() for name, version in record.cohorts.items()}


def _latest(history: History, stage: str) -> StageRecord | None:
    return next((record for record in history.records if record.stage == stage), None)


def _reasons(
    spec: StageSpec,
    params: Params,
    pins: tuple[Pin, ...],
    arguments: dict[str, str],
    reference: StageRecord | None,
    reused: dict[str, bool],
    again: tuple[str, ...],
) -> tuple[str, ...]:
    """Why a stage will run: its own changes against the reference run, and what comes anew from upstream."""
    if reference is None:
        return ("never run before",)
    reasons = []
    if spec.name in again:
        reasons.append("asked for again")
    if "cohorts" in spec.reads:
        old = reference.cohorts
        own = [pin for pin in pins if pin.name in getattr(params.section(spec.name), "cohorts", ())]
        changes = changed_cohorts(old, tuple(own)) if old else ()
        reasons += [f"cohorts: {', '.join(map(str, changes))}"] if changes else []
    if "truth" in spec.reads and reference.inputs.get("truth") != arguments["truth_sha256"]:
        reasons.append("truth of simulated children")
    if spec.writes == CHAMPION and not _same_champion(reference, arguments["champion_to_beat"]):
        reasons.append("another champion to beat")
    changed = section_changes(spec.name, params, reference)
    reasons += [f"params: {', '.join(change.key for change in changed)}"] if changed else []
    code = code_reason(spec.name, reference)
    reasons += [code] if code else []
    upstream = sorted((b for b, after in edges() if after == spec.name and not reused[b]), key=list(BY_NAME).index)
    reasons += [f"upstream: {', '.join(upstream)}"] if upstream else []
    return tuple(reasons) or ("no result of this work is kept on this machine",)


def _same_champion(fetched: StageRecord, to_beat: str) -> bool:
    version = "0" if to_beat == NO_CHAMPION else to_beat.split(":")[0]
    return fetched.metrics.get("champion_version") == float(version)


def _gate(params: Params, champion: ModelRecord | None) -> tuple[str, ...]:
    """What the gate will hold the new model against, in words."""
    evaluate, rules = params.evaluate, params.register_.gate
    beside = ["the rapid scan", "the best Gaussian filter", *(["BM3D"] if evaluate.bm3d else [])]
    present = champion.title if champion else "none yet: the first model that passes becomes it"
    return (
        f"on the held-out patients, beside {', '.join(beside)}",
        f"champion: {present}",
        *(f"{name}: {value}" for name, value in kept_params(rules.model_dump()).items()),
    )
