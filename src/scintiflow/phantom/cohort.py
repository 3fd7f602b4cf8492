"""A cohort of simulated children: the hospital's export, and the truth apart from it."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scintiflow.counts import counts_sha256
from scintiflow.dicom import codes, whole_body
from scintiflow.errors import ScintiflowError
from scintiflow.files import read_json, whole_folder, write_json
from scintiflow.params import PhantomParams
from scintiflow.phantom.child import Velocities, child_generators, simulate_child
from scintiflow.phantom.export import save_child
from scintiflow.phantom.truth import save_truth
from scintiflow.processes import in_processes
from scintiflow.progress import track

MADE_BY = "phantom.json"  # inside the export: which recipe and which code made it
NO_INFLUENCE = ("components.py", "panel.py")  # changes no child


@dataclass(frozen=True)
class CohortSummary:
    """What `simulate_cohort` left behind; `made` is False where the cohort was there already."""

    cohort: str
    children: int
    export: Path
    truth: Path
    made: bool

    def sentence(self) -> str:
        deed = "simulated" if self.made else "already there, nothing to do"
        return f"{self.cohort}: {self.children} children {deed}; export {self.export}, truth {self.truth}"


def simulate_cohort(
    params: PhantomParams,
    standard_velocity_mm_s: float,
    rapid_velocity_mm_s: float,
    export: Path,
    truth: Path,
    workers: int | None = None,
) -> CohortSummary:
    """Simulate `params.children` children into `export` and their truth into `truth`/<cohort>.

    Both folders appear whole or not at all, and hold the same bytes for any number of `workers`
    (processes; default one for each core). Child i depends on the seed, i, the age range, the number of
    lesions and the velocities, so a larger cohort contains the smaller one. Nothing is done where the
    export was made with the same parameters by the same code.

    Raises:
        ScintiflowError: a folder in the way holds something else, or a worker died.
    """
    made_by = _made_by(params, standard_velocity_mm_s, rapid_velocity_mm_s)
    truths = truth / params.cohort
    summary = CohortSummary(params.cohort, params.children, export, truths, made=True)
    if _is_there(export, truths, made_by):
        return CohortSummary(**{**vars(summary), "made": False})
    _refuse_foreign(export, truths)
    velocities = Velocities(standard_velocity_mm_s, rapid_velocity_mm_s)
    # The truth takes its place first: an export with its phantom.json is the sign of a complete cohort.
    with whole_folder(export) as partial_export, whole_folder(truths) as partial_truths:
        make = partial(_make_child, params, velocities, partial_export, partial_truths)
        made = in_processes(make, range(params.children), workers or _cores(), params.cohort, preload=__name__)
        for _ in track(made, f"simulate {params.cohort}", params.children):
            pass
        write_json(partial_export / MADE_BY, made_by)
    return summary


def phantom_code_version() -> str:
    """Hex SHA-256 of every source that decides what a simulated child looks like and how it is exported."""
    here = Path(__file__).parent
    sources = [path for path in sorted(here.glob("*.py")) if path.name not in NO_INFLUENCE]
    digest = hashlib.sha256()
    for path in [*sources, *(Path(module.__file__ or "") for module in (codes, whole_body))]:
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _make_child(params: PhantomParams, velocities: Velocities, export: Path, truths: Path, index: int) -> None:
    child = simulate_child(
        params.seed, index, velocities, params.youngest_years, params.oldest_years, params.lesions_at_most
    )
    identity = child_generators(params.seed, index, ("identity",), first=100)["identity"]
    save_child(export, child, velocities, _recipe(params, velocities), identity)
    key = counts_sha256(child.counts_standard)
    save_truth(truths, key, child.truth)


def _recipe(params: PhantomParams, velocities: Velocities) -> str:
    """Everything but the index that decides how a child looks: not the cohort's name and not its size."""
    values = params.model_dump(exclude={"cohort", "children"}) | vars(velocities)
    return json.dumps(values, sort_keys=True)


def _made_by(params: PhantomParams, standard_velocity_mm_s: float, rapid_velocity_mm_s: float) -> dict:
    return {
        "code_sha256": phantom_code_version(),
        "params": params.model_dump(),
        "standard_velocity_mm_s": standard_velocity_mm_s,
        "rapid_velocity_mm_s": rapid_velocity_mm_s,
    }


def _is_there(export: Path, truths: Path, made_by: dict) -> bool:
    try:
        same = read_json(export / MADE_BY) == made_by
    except (OSError, ValueError):
        return False
    children = made_by["params"]["children"]
    return same and len(list(export.rglob("*.dcm"))) == 2 * children and len(list(truths.glob("*.npz"))) == children


def _refuse_foreign(export: Path, truths: Path) -> None:
    """An older cohort of simulated children may be replaced; anything else may not."""
    if export.exists() and (not export.is_dir() or (any(export.iterdir()) and not (export / MADE_BY).is_file())):
        raise ScintiflowError(
            f"is in the way: it holds no {MADE_BY}, so no simulated cohort",
            where=export,
            remedy="Name another export folder, or move this one away",
        )
    if truths.exists() and (not truths.is_dir() or any(path.suffix != ".npz" for path in truths.iterdir())):
        raise ScintiflowError(
            "is in the way: it holds more than the truth of simulated children",
            where=truths,
            remedy="Name another truth folder or cohort, or move this one away",
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
