"""Whether a rerun gave the same: bytes of what stages wrote, numbers that they measured, stage by stage."""

import math
from dataclasses import dataclass

from scintiflow.registry.lineage import StageRecord
from scintiflow.stages.graph import STAGES

# The other outputs hold timings, version numbers and new object identifiers; their numbers are compared instead.
BYTE_EQUAL = ("dataset", "sam", "priors", "cascade")
# What a stage measured of the machine, of its own cache or of the registry, and not of the model.
NOT_COMPARED = frozenset(
    {"seconds", "seconds_per_scan", "patches_per_second", "studies_computed", "studies_taken_over"}
)
REGISTRY_STAGES = ("fetch_champion", "register")  # a rerun has a registry of its own
GPU_TOLERANCE = 0.01  # relative, and absolute below 1; sums on a GPU depend on the order of its threads


@dataclass(frozen=True)
class Difference:
    """A number or a hash that is not the same; None where one of the two runs does not have it."""

    name: str
    old: float | str | None
    new: float | str | None


@dataclass(frozen=True)
class StageComparison:
    """One stage of the two runs.

    Attributes:
        same_bytes: of what the stage wrote; None where bytes are not compared.
        differences: what decides against it; numbers within the tolerance are not in it.
        metrics: how many numbers were compared.
    """

    stage: str
    same_bytes: bool | None
    differences: tuple[Difference, ...]
    metrics: int

    @property
    def is_same(self) -> bool:
        return not self.differences


@dataclass(frozen=True)
class Comparison:
    """Of two runs of the graph. `on_gpu`: whether either used one, so that numbers are held to `GPU_TOLERANCE`."""

    stages: tuple[StageComparison, ...]
    on_gpu: bool

    @property
    def is_same(self) -> bool:
        return all(stage.is_same for stage in self.stages)

    @property
    def first_difference(self) -> str | None:
        """The stage where the two runs part; what follows differs because of it."""
        return next((stage.stage for stage in self.stages if not stage.is_same), None)


def compare_runs(old: dict[str, StageRecord], new: dict[str, StageRecord]) -> Comparison:
    """Compare the stages of `old` with those of `new`: bit for bit on CPUs, within the tolerance on a GPU."""
    on_gpu = any(record.device not in ("cpu", "unknown") for record in [*old.values(), *new.values()])
    names = [stage.name for stage in STAGES if stage.name in old and stage.name not in REGISTRY_STAGES]
    return Comparison(tuple(_compare(name, old[name], new.get(name), on_gpu) for name in names), on_gpu)


def _compare(stage: str, old: StageRecord, new: StageRecord | None, on_gpu: bool) -> StageComparison:
    if new is None:
        return StageComparison(stage, None, (Difference("the stage", "ran", None),), 0)
    differences: list[Difference] = []
    hashes = {name: sha256 for name, sha256 in old.outputs.items() if name in BYTE_EQUAL}
    same_bytes = all(new.outputs.get(name) == sha256 for name, sha256 in hashes.items()) if hashes else None
    if not on_gpu:
        differences += [
            Difference(f"SHA-256 of {name}", sha256, new.outputs.get(name))
            for name, sha256 in hashes.items()
            if new.outputs.get(name) != sha256
        ]
    names = sorted((set(old.metrics) & set(new.metrics)) - NOT_COMPARED)
    tolerance = GPU_TOLERANCE if on_gpu else 0.0
    differences += [
        Difference(name, old.metrics[name], new.metrics[name])
        for name in names
        if not math.isclose(old.metrics[name], new.metrics[name], rel_tol=tolerance, abs_tol=tolerance)
    ]
    return StageComparison(stage, same_bytes, tuple(differences), len(names))
