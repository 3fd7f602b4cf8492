"""What a run and its model version say of where they come from."""

from collections.abc import Iterable

from scintiflow.cluster.pins import Pin
from scintiflow.cluster.source_tree import TreeState


def provenance(work_key: str, arguments: dict[str, str], pins: Iterable[Pin], tree: TreeState) -> dict[str, str]:
    """Tags of the MLflow parent run and of the version that it registers, without their common prefix.

    Args:
        work_key: hash of what decides the result, see `planning.work_key`.
        arguments: of the pipeline.
    """
    pins = tuple(pins)
    found = {
        "work_key": work_key,
        "git_sha": tree.sha or "none",
        "tree": "dirty" if tree.changes else "clean",
        "cohorts_sha256": arguments["cohorts_sha256"],
        "truth_sha256": arguments["truth_sha256"],
        **{f"cohort.{pin.name}": pin.version for pin in pins},
        **{f"cohort_objection.{pin.name}": pin.objection for pin in pins if pin.objection},
    }
    return found | ({"diff_sha256": tree.diff_sha256} if tree.changes else {})
