"""From the pipeline function to IR YAML, and the arguments of one run."""

import hashlib
from pathlib import Path

from kfp import compiler

from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree, whole_file
from scintiflow.params import Params
from scintiflow.registry.runs import registry_identity
from scintiflow.stages.graph import SOURCES, STAGES


def compile_retrain(target: Path) -> None:
    """Write the retrain pipeline as IR YAML, whole or not at all."""
    from pipelines.retrain import retrain

    with whole_file(target) as partial:
        compiler.Compiler().compile(retrain, str(partial))


def retrain_arguments(params: Params, root: Path) -> dict[str, str]:
    """Arguments of a run: sections as JSON, source folders with the hash of what is in them."""
    cohorts, truth = (root / SOURCES[name] for name in ("cohorts", "truth"))
    arguments = {
        "cohorts": str(cohorts),
        "cohorts_sha256": cohorts_sha256(cohorts, [*params.ingest.cohorts, *params.restore_real.cohorts]),
        "truth": str(truth),
        "truth_sha256": sha256_tree(truth),
        "registry": registry_identity(),
    }
    sections = {f"{stage.name}_params": params.section(stage.name).model_dump_json() for stage in STAGES}
    return arguments | sections


def cohorts_sha256(cohorts: Path, names: list[str]) -> str:
    """Hex SHA-256 over the content of the named cohorts; other cohorts in the folder do not count."""
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        folder = cohorts / name
        if not folder.is_dir():
            raise ScintiflowError(
                "this cohort is not there",
                where=folder,
                remedy="Run `make data` for the sample cohorts, `dvc pull`, or `scintiflow cohort add`",
            )
        digest.update(f"{name}\0{sha256_tree(folder)}\n".encode())
    return digest.hexdigest()
