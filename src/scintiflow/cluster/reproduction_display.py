"""What a rerun gave, for people and for programs."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from scintiflow.cluster.comparison import GPU_TOLERANCE, Difference, StageComparison
from scintiflow.cluster.reproduction import Reproduction
from scintiflow.stages.graph import find_stage

DIFFERENCES_NAMED = 6


def reproduction_lines(result: Reproduction) -> Iterator[str]:
    comparison, original = result.comparison, result.original
    held = f"within {GPU_TOLERANCE:.0%}, because a GPU was used" if comparison.on_gpu else "bit for bit"
    yield f"{original.model.title}, commit {original.code_sha[:12]}, compared {held}:"
    for stage in comparison.stages:
        yield f"  {'=' if stage.is_same else 'x'} {find_stage(stage.stage, '').title:<32} {_found(stage)}"
        for difference in stage.differences[:DIFFERENCES_NAMED]:
            yield f"      {difference.name}: {_value(difference.old)} -> {_value(difference.new)}"
        if len(stage.differences) > DIFFERENCES_NAMED:
            yield f"      and {len(stage.differences) - DIFFERENCES_NAMED} more"
    yield from result.notes
    if comparison.is_same:
        yield "Reproduced."
    else:
        yield f"NOT reproduced: the runs part in {comparison.first_difference}. The rerun is kept in {result.folder}."


def reproduction_as_json(result: Reproduction) -> dict[str, Any]:
    return {
        "model": result.original.model.title,
        "commit": result.original.code_sha,
        "cohorts": result.original.cohorts,
        "reproduced": result.comparison.is_same,
        "on_gpu": result.comparison.on_gpu,
        "tolerance": GPU_TOLERANCE if result.comparison.on_gpu else 0.0,
        "first_difference": result.comparison.first_difference,
        "stages": [asdict(stage) | {"same": stage.is_same} for stage in result.comparison.stages],
        "notes": list(result.notes),
    }


def _found(stage: StageComparison) -> str:
    numbers = f"{stage.metrics} numbers"
    if not stage.is_same:
        return f"differs ({len(stage.differences)} of its hash and {numbers})"
    written = {True: "same bytes, ", False: "other bytes, ", None: ""}[stage.same_bytes]
    return f"{written}{numbers} equal"


def _value(value: Difference | float | str | None) -> str:
    if value is None:
        return "absent"
    return f"{value:.10g}" if isinstance(value, float) else str(value)[:16]
