"""Why a retrain cannot start here and now, each with its remedy."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scintiflow.cluster.costs import Total
from scintiflow.cluster.pins import Pin
from scintiflow.cluster.source_tree import TreeState
from scintiflow.cohorts.versions import COHORTS, cohort_record
from scintiflow.cohorts.withdrawals import withdrawn_patients
from scintiflow.params import Params
from scintiflow.registry.verdict import counted
from scintiflow.stages.graph import SOURCES

PATHS_NAMED = 5


@dataclass(frozen=True)
class Obstacle:
    """`where` is a path of the project or a key of the recipe."""

    where: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}. {self.remedy}."


def find_obstacles(
    params: Params,
    root: Path,
    pins: tuple[Pin, ...],
    tree: TreeState,
    total: Total,
    free_bytes: int,
    allow_dirty: bool,
) -> tuple[Obstacle, ...]:
    """What stands in the way of a retrain; what `allow_dirty` waives is left out."""
    unversioned = () if allow_dirty else _unversioned(pins, tree)
    return (
        *_missing(params, root, pins),
        *withdrawn_obstacles(root, pins),
        *unversioned,
        *_too_large(total, free_bytes),
    )


def _missing(params: Params, root: Path, pins: tuple[Pin, ...]) -> Iterator[Obstacle]:
    for pin in pins:
        where = f"data/cohorts/{pin.name}"
        if not pin.version:
            yield Obstacle(
                where,
                "the recipe names this cohort and the project does not have it",
                "Merge the branch that has its .dvc file, run `make data` for the sample cohorts, "
                "or take its name out of the recipe",
            )
        elif not pin.is_here:
            yield Obstacle(where, "this cohort's scans are not on this machine", f"Fetch them: `dvc pull {where}`")
    if not (root / SOURCES["truth"]).is_dir():
        yield Obstacle(str(SOURCES["truth"]), "is not there", "Run `git checkout data/truth`")
    weights = {
        "adapt_sam.architecture.checkpoint": params.adapt_sam.architecture.checkpoint,
        "evaluate.lpips_trunk": params.evaluate.lpips_trunk,
        "evaluate.inception": params.evaluate.inception,
    }
    for key, path in weights.items():
        if path and not (root / path).is_file():
            yield Obstacle(key, f"{path} is not there", "Get the weights (docs/how-to/weights.md) or empty the key")


def withdrawn_obstacles(root: Path, pins: tuple[Pin, ...]) -> Iterator[Obstacle]:
    """A cohort that was versioned before a withdrawal, or without knowledge of it, must not be trained on."""
    withdrawn = withdrawn_patients(root / COHORTS)
    for pin in pins:
        entries = cohort_record(root, pin.name).entries if withdrawn and pin.is_here and pin.has_record else ()
        held = {entry.scan.patient for entry in entries if entry.scan is not None} & withdrawn
        if held:
            yield Obstacle(
                f"data/cohorts/{pin.name}",
                f"holds {counted(len(held), 'patient')} whose data were withdrawn: "
                f"{', '.join(sorted(held)[:PATHS_NAMED])}",
                "Run `scintiflow cohort withdraw` for each of them again, then commit",
            )


def _unversioned(pins: tuple[Pin, ...], tree: TreeState) -> Iterator[Obstacle]:
    for pin in pins:
        if pin.version and pin.objection:
            yield Obstacle(
                f"data/cohorts/{pin.name}",
                pin.objection,
                "Version it (`dvc add`, `git commit`), or allow it with --allow-dirty",
            )
    if tree.changes:
        named = ", ".join(tree.changes[:PATHS_NAMED])
        more = f" and {len(tree.changes) - PATHS_NAMED} more" if len(tree.changes) > PATHS_NAMED else ""
        yield Obstacle(
            "code and recipe",
            f"what would run is in no commit: {named}{more}",
            "Commit it, or allow it with --allow-dirty; the run then keeps the difference",
        )


def _too_large(total: Total, free_bytes: int) -> Iterator[Obstacle]:
    if total.output_bytes is not None and total.output_bytes > free_bytes:
        yield Obstacle(
            "disk",
            f"past runs wrote {total.output_bytes / 1e9:.1f} GB and {free_bytes / 1e9:.1f} GB are free",
            "Make room, for example with `make clean`",
        )
