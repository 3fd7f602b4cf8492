"""From the pipeline function to IR YAML, and the arguments of one run."""

import hashlib
import json
from pathlib import Path

from kfp import compiler

from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree, whole_file
from scintiflow.params import Params
from scintiflow.registry.champion import champion_to_beat
from scintiflow.registry.runs import registry_identity
from scintiflow.stages.code_version import code_version
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
    }
    arguments |= {f"{stage.name}_params": params.section(stage.name).model_dump_json() for stage in STAGES}
    arguments["registry"] = registry_identity()
    arguments["champion_to_beat"] = champion_to_beat(params.register_.model_name, recipe_sha256(arguments))
    return arguments


def recipe_sha256(arguments: dict[str, str]) -> str:
    """Hex SHA-256 of what a run is asked to do: its arguments but the champion, and the code of its stages."""
    asked = {name: value for name, value in arguments.items() if name != "champion_to_beat"}
    asked |= {f"code of {stage.name}": code_version(stage.name) for stage in STAGES}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


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
