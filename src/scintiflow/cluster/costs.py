"""What a stage will cost, judged by what it cost before. Medians of MLflow runs; nothing is guessed."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from scintiflow.registry.lineage import History, StageRecord

RECENT = 20  # runs of a stage that count


@dataclass(frozen=True)
class Cost:
    """Of one stage. None where no past run tells.

    Attributes:
        seconds, output_bytes: medians. runs: how many past runs they come from.
        same_params: whether those runs had the parameters that are planned; else they are all runs of the stage.
        device: of the newest of them; 'cpu', 'unknown' or the name of a GPU.
    """

    seconds: float | None
    output_bytes: float | None
    runs: int
    same_params: bool
    device: str

    @property
    def gpu_seconds(self) -> float | None:
        if self.seconds is None or self.device == "unknown":
            return None
        return 0.0 if self.device == "cpu" else self.seconds


@dataclass(frozen=True)
class Total:
    """Of all stages that will run; None as soon as one of them is unknown."""

    seconds: float | None
    gpu_hours: float | None
    output_bytes: float | None


def stage_cost(stage: str, params: dict[str, str], history: History) -> Cost:
    of_stage = [record for record in history.records if record.stage == stage]
    alike = [record for record in of_stage if record.params == params]
    pool = (alike or of_stage)[:RECENT]
    sizes = [record.output_bytes for record in pool if record.output_bytes is not None]
    return Cost(
        seconds=median(record.seconds for record in pool) if pool else None,
        output_bytes=median(sizes) if sizes else None,
        runs=len(pool),
        same_params=bool(alike),
        device=pool[0].device if pool else "unknown",
    )


def total_cost(costs: list[Cost], history: History) -> Total:
    """Sum over stages; the time between one stage's end and the next one's start is added for each."""
    between = median(gaps) if (gaps := _gaps(history.records)) else 0.0
    seconds = _sum(cost.seconds for cost in costs)
    gpu_seconds = _sum(cost.gpu_seconds for cost in costs)
    return Total(
        seconds=None if seconds is None else seconds + between * len(costs),
        gpu_hours=None if gpu_seconds is None else gpu_seconds / 3600,
        output_bytes=_sum(cost.output_bytes for cost in costs),
    )


def _gaps(records: list[StageRecord]) -> list[float]:
    """Seconds between stages that followed each other in one pipeline run."""
    ordered = sorted(records, key=lambda record: (record.parent_run_id, record.started))
    return [
        max(0.0, (after.started - before.started) / 1000 - before.seconds)
        for before, after in pairwise(ordered)
        if before.parent_run_id and before.parent_run_id == after.parent_run_id
    ]


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if any(value is None for value in known) else sum(value for value in known if value is not None)
