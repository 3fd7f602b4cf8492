"""One stage by itself, on the folders under build/: the door that `dvc repro` uses."""

import hashlib
import os
from pathlib import Path

from scintiflow.params import Params
from scintiflow.registry.runs import close_parent
from scintiflow.registry.surroundings import EXPERIMENT, PIPELINE_RUN
from scintiflow.stages.code_version import code_version
from scintiflow.stages.door import run_stage
from scintiflow.stages.graph import REPORTS, STAGES, find_stage, laptop_path


def run_single_stage(name: str, params: Params) -> dict[str, float]:
    """Run stage `name` from and to build/; its MLflow run joins the parent run of this recipe."""
    spec = find_stage(name, "scintiflow stage")
    os.environ.setdefault(EXPERIMENT, params.tracking.experiment)
    os.environ.setdefault(PIPELINE_RUN, f"stages-{_recipe_identity(params)}")
    numbers = run_stage(
        name,
        params.section(name).model_dump_json(),
        inputs={read: str(laptop_path(read)) for read in spec.reads},
        outputs={spec.writes: str(laptop_path(spec.writes))},
        report=Path(REPORTS) / f"{name}.json",
    )
    close_parent("FINISHED", params.model_dump(), {}, [])  # the next stage of the same recipe joins it again
    return numbers


def _recipe_identity(params: Params) -> str:
    """Separate processes of one `dvc repro` meet in one parent run: same recipe, same code, same run."""
    codes = "".join(code_version(stage.name) for stage in STAGES)
    return hashlib.sha256((params.sha256() + codes).encode()).hexdigest()[:12]
