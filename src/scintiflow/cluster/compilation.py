"""From the pipeline function to IR YAML, and the arguments of one run."""

from collections.abc import Iterable
from pathlib import Path

from kfp import compiler

from scintiflow.cluster.pins import Pin, pin_cohorts, pins_sha256, used_cohorts
from scintiflow.files import sha256_tree, whole_file
from scintiflow.params import Params
from scintiflow.registry.runs import registry_identity
from scintiflow.stages.graph import SOURCES, STAGES


def compile_retrain(target: Path) -> None:
    """Write the retrain pipeline as IR YAML, whole or not at all."""
    from pipelines.retrain import retrain

    with whole_file(target) as partial:
        compiler.Compiler().compile(retrain, str(partial))


def retrain_arguments(
    params: Params, root: Path, pins: Iterable[Pin] | None = None, registry: str | None = None
) -> dict[str, str]:
    """Arguments of a run: sections as JSON, source folders with the hash of what is in them.

    `pins` and `registry` are looked up if they are not given. The champion to beat depends on the work that these
    arguments describe, so the plan adds it.
    """
    cohorts, truth = (root / SOURCES[name] for name in ("cohorts", "truth"))
    arguments = {
        "cohorts": str(cohorts),
        "cohorts_sha256": pins_sha256(pin_cohorts(used_cohorts(params), root) if pins is None else pins),
        "truth": str(truth),
        "truth_sha256": sha256_tree(truth),
        "registry": registry_identity() if registry is None else registry,
    }
    sections = {f"{stage.name}_params": params.section(stage.name).model_dump_json() for stage in STAGES}
    return arguments | sections
