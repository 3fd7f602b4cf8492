"""From the pipeline function to IR YAML, and the arguments of one run."""

from collections.abc import Iterable
from pathlib import Path

from kfp import compiler

from scintiflow.cluster.pins import Pin, pin_cohorts, pins_sha256, used_cohorts
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_tree, whole_file
from scintiflow.params import Params
from scintiflow.registry.runs import registry_identity
from scintiflow.stages.graph import SOURCES, STAGES


def compile_retrain(target: Path, params: Params, scheduled_at: str = "") -> None:
    """Write the retrain pipeline, placed as `params` say, as IR YAML, whole or not at all.

    `scheduled_at`: the commit of the recipe, for a pipeline that starts by itself and looks first what is there.
    """
    from pipelines.retrain import OnSchedule, retrain_pipeline

    _check_devices(params)
    recipe = params.model_dump_json(by_alias=True)
    on_schedule = OnSchedule(recipe, scheduled_at) if scheduled_at else None
    pipeline = retrain_pipeline(params.placement, params.tracking.experiment, on_schedule)
    with whole_file(target) as partial:
        compiler.Compiler().compile(pipeline, str(partial))


def _check_devices(params: Params) -> None:
    """Training uses the GPUs that its place gives it, all of them; on several nodes the step itself only waits."""
    training, place = params.train_cascade, params.placement.train_cascade
    if training.nodes > 1 and place.gpus:
        raise ScintiflowError(
            f"would hold {place.gpus} GPU(s) while it waits for its {training.nodes} nodes",
            where="placement.train_cascade.gpus",
            remedy="Set it to 0; the TrainingRuntime in infra/kubernetes says what each node has",
        )
    if training.nodes == 1 and place.gpus not in (0, training.devices):
        raise ScintiflowError(
            f"is {place.gpus}, and train_cascade.devices is {training.devices}",
            where="placement.train_cascade.gpus",
            remedy="Give one GPU for each device",
        )


def retrain_arguments(
    params: Params, root: Path, pins: Iterable[Pin] | None = None, registry: str | None = None
) -> dict[str, str]:
    """Arguments of a run on this machine, which reads the sources under `root`.

    `pins` and `registry` are looked up if they are not given. The champion to beat depends on the work that these
    arguments describe, so the plan adds it.
    """
    sources = {name: str(root / SOURCES[name]) for name in ("cohorts", "truth")}
    hashes = source_hashes(params, root, pins)
    return _arguments(params, sources, hashes, registry_identity() if registry is None else registry)


def cluster_arguments(params: Params, hashes: dict[str, str], registry: str, cohorts: str = "") -> dict[str, str]:
    """Arguments of a run on a cluster, whose steps read the folders that `placement` names.

    `hashes` are those of `source_hashes`: what the folders on the cluster hold. `cohorts`, where given, is
    `SOURCE@SHA`, from which the steps fetch them instead.
    """
    sources = {"cohorts": cohorts or params.placement.cohorts, "truth": params.placement.truth}
    return _arguments(params, sources, hashes, registry)


def source_hashes(params: Params, root: Path, pins: Iterable[Pin] | None = None) -> dict[str, str]:
    """Hex SHA-256 of what a run reads of each source under `root`; the cohorts by their pinned versions."""
    pins = pin_cohorts(used_cohorts(params), root) if pins is None else pins
    return {"cohorts": pins_sha256(pins), "truth": sha256_tree(root / SOURCES["truth"])}


def _arguments(params: Params, sources: dict[str, str], hashes: dict[str, str], registry: str) -> dict[str, str]:
    """Sections as JSON, sources with the hash of what is in them."""
    contents = {f"{name}_sha256": value for name, value in hashes.items()}
    sections = {f"{stage.name}_params": params.section(stage.name).model_dump_json() for stage in STAGES}
    return sources | contents | {"registry": registry} | sections
