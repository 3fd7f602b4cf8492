"""A plan as people and as programs read it."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from scintiflow.cluster.changes import version_text
from scintiflow.cluster.costs import Cost
from scintiflow.cluster.planning import CANNOT, NEEDED, NOTHING, Plan, StagePlan

COLOURS = {NOTHING: "green", NEEDED: "yellow", CANNOT: "red"}
UNKNOWN = "unknown"


def show_plan(plan: Plan, console: Console) -> None:
    """The whole plan: verdict, obstacles, changes, stages, cost, gate."""
    console.print(Text(f"Plan: {plan.verdict}", style=f"bold {COLOURS[plan.verdict]}"))
    for line in _first_lines(plan):
        console.print(line, highlight=False, markup=False)
    console.print(_changes(plan))
    if not plan.to_run:
        return
    console.print(_stages(plan.stages))
    for line in (*_cost_lines(plan), "Gate:", *(f"  {line}" for line in plan.gate)):
        console.print(line, highlight=False, markup=False)


def show_stages_to_run(plan: Plan, console: Console) -> None:
    """A line for each stage that will run, for the head of a retrain."""
    if not plan.to_run:
        return
    for stage in plan.stages:
        if stage.runs:
            console.print(f"  {stage.title}: {'; '.join(stage.reasons)}", highlight=False, markup=False)
    console.print(_cost_lines(plan)[0], highlight=False, markup=False)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Everything in the plan; numbers in seconds, hours and bytes, None where nothing is known."""
    return {
        "verdict": plan.verdict,
        "exit_code": plan.exit_code,
        "work_key": plan.work_key,
        "champion": plan.champion and {"name": plan.champion.name, "version": plan.champion.version},
        "done_by": plan.finished and {"run_id": plan.finished.run_id, "name": plan.finished.name},
        "drift": plan.drift and {**vars(plan.drift), "features": list(plan.drift.features)},
        "obstacles": [
            {"where": found.where, "reason": found.reason, "remedy": found.remedy} for found in plan.obstacles
        ],
        "changed_cohorts": [{"name": found.name, "old": found.old, "new": found.new} for found in plan.cohorts],
        "changed_params": [
            {"section": found.section, "key": found.key, "old": found.old, "new": found.new} for found in plan.params
        ],
        "cohorts": {
            pin.name: {"version": pin.version, "is_here": pin.is_here, "objection": pin.objection}
            for pin in plan.pins
        },
        "git": {"sha": plan.tree.sha, "changes": list(plan.tree.changes), "diff_sha256": plan.tree.diff_sha256},
        "stages": [_stage_as_json(stage) for stage in plan.stages],
        "total": {
            "seconds": plan.total.seconds,
            "gpu_hours": plan.total.gpu_hours,
            "output_bytes": plan.total.output_bytes,
        },
        "free_bytes": plan.free_bytes,
        "gate": list(plan.gate),
    }


def _stage_as_json(stage: StagePlan) -> dict[str, Any]:
    return {
        "name": stage.name,
        "runs": stage.runs,
        "reasons": list(stage.reasons),
        "seconds": stage.cost.seconds,
        "gpu_seconds": stage.cost.gpu_seconds,
        "output_bytes": stage.cost.output_bytes,
        "past_runs": stage.cost.runs,
        "past_runs_had_these_params": stage.cost.same_params,
        "device": stage.cost.device,
    }


def _first_lines(plan: Plan) -> Iterator[str]:
    if plan.drift is not None:
        yield f"Reason: {plan.drift}."
    if plan.verdict == NOTHING and plan.finished is not None:
        yield f"Run {plan.finished.name} ({plan.finished.run_id}) did exactly this work."
        if plan.to_run:
            yield "Its results are not on this machine: a retrain here would run the stages below."
    elif plan.verdict == NOTHING:
        yield "Every stage's result is there already."
    for obstacle in plan.obstacles:
        yield f"  x {obstacle}"


def _changes(plan: Plan) -> RenderableType:
    if plan.champion is None:
        return Text("No champion yet: there is nothing to compare with.")
    title = f"Changed since {plan.champion.title}"
    if not plan.cohorts and not plan.params:
        return Text(f"{title}: no cohort, no parameter.")
    table = Table(title=title, title_justify="left", title_style="", box=None, padding=(0, 2, 0, 2))
    for heading in ("what", "was", "will be"):
        table.add_column(heading, overflow="fold")
    for cohort in plan.cohorts:
        was, now = (version_text(version) or "-" for version in (cohort.old, cohort.new))
        table.add_row(Text(f"cohort {cohort.name}"), Text(was), Text(now))
    for change in plan.params:
        was, now = ("-" if value is None else value or "''" for value in (change.old, change.new))
        table.add_row(Text(f"{change.section}.{change.key}"), Text(was), Text(now))
    return table


def _stages(stages: tuple[StagePlan, ...]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True)
    table.add_column("")
    table.add_column("why", overflow="fold")
    table.add_column("time, from past runs", no_wrap=True)
    for stage in stages:
        if not stage.runs:
            table.add_row(Text(stage.title, style="dim"), Text("cached", style="dim"), "", "")
            continue
        table.add_row(
            stage.title,
            Text("runs", style="yellow"),
            Text("; ".join(stage.reasons)),
            f"{duration(stage.cost.seconds)} {_basis(stage.cost)}".rstrip(),
        )
    return Group("", table, "")


def _basis(cost: Cost) -> str:
    if not cost.runs:
        return ""
    device = "" if cost.device == "unknown" else f" on {cost.device}"
    runs = "1 run" if cost.runs == 1 else f"median of {cost.runs}"
    return f"({runs}{device}{'' if cost.same_params else ', other params'})"


def _cost_lines(plan: Plan) -> list[str]:
    total = plan.total
    gpu = UNKNOWN if total.gpu_hours is None else f"{total.gpu_hours:.2g}"
    disk = UNKNOWN if total.output_bytes is None else size(total.output_bytes)
    return [f"Expected: {duration(total.seconds)}, GPU hours {gpu}, disk {disk} ({size(plan.free_bytes)} free)"]


def duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Bytes in decimal units."""
    units = ("B", "kB", "MB", "GB", "TB")
    step = 0
    while count >= 1000 and step < len(units) - 1:
        count, step = count / 1000, step + 1
    return f"{count:.0f} {units[step]}" if count >= 10 or step == 0 else f"{count:.1f} {units[step]}"
