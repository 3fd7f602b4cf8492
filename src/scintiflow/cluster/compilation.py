"""From the pipeline function to IR YAML, and the arguments of one run."""

import hashlib
from pathlib import Path

from kfp import compiler

from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree, whole_file
from scintiflow.params import Params
from scintiflow.registry.runs import registry_identity
from scintiflow.stages.graph import SOURCES, STAGES


def compile_retrain(target: Path, params: Params) -> None:
    """Write the retrain pipeline, placed as `params` say, as IR YAML, whole or not at all."""
    from pipelines.retrain import retrain_pipeline

    pipeline = retrain_pipeline(params.placement, params.tracking.experiment)
    with whole_file(target) as partial:
        compiler.Compiler().compile(pipeline, str(partial))


def retrain_arguments(params: Params, root: Path) -> dict[str, str]:
    """Arguments of a run on this machine, which reads the sources under `root`."""
    sources = {name: str(root / SOURCES[name]) for name in ("cohorts", "truth")}
    return _arguments(params, sources, source_hashes(params, root), registry_identity())


def cluster_arguments(params: Params, hashes: dict[str, str], registry: str) -> dict[str, str]:
    """Arguments of a run on a cluster, whose steps read the folders that `placement` names.

    `hashes` are those of `source_hashes`: what the folders on the cluster hold.
    """
    sources = {"cohorts": params.placement.cohorts, "truth": params.placement.truth}
    return _arguments(params, sources, hashes, registry)


def source_hashes(params: Params, root: Path) -> dict[str, str]:
    """Hex SHA-256 of what a run reads of each source under `root`."""
    names = [*params.ingest.cohorts, *params.restore_real.cohorts]
    return {
        "cohorts": cohorts_sha256(root / SOURCES["cohorts"], names),
        "truth": sha256_tree(root / SOURCES["truth"]),
    }


def _arguments(params: Params, sources: dict[str, str], hashes: dict[str, str], registry: str) -> dict[str, str]:
    """Sections as JSON, sources with the hash of what is in them."""
    contents = {f"{name}_sha256": value for name, value in hashes.items()}
    sections = {f"{stage.name}_params": params.section(stage.name).model_dump_json() for stage in STAGES}
    return sources | contents | {"registry": registry} | sections


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
