"""What a run and its model version say of where they come from."""

import hashlib
import json
from collections.abc import Iterable

from scintiflow.cluster.pins import Pin
from scintiflow.cluster.source_tree import TreeState
from scintiflow.params import Params
from scintiflow.stages.code_version import code_version
from scintiflow.stages.graph import STAGES


def work_key(params: Params, arguments: dict[str, str]) -> str:
    """Hex SHA-256 of what decides the result. Where it runs and who asks for it do not count."""
    work = {
        "cohorts": arguments["cohorts_sha256"],
        "truth": arguments["truth_sha256"],
        "params": {stage.name: params.section(stage.name).sha256() for stage in STAGES},
        "code": {stage.name: code_version(stage.name) for stage in STAGES},
    }
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()


def provenance(work_key: str, arguments: dict[str, str], pins: Iterable[Pin], tree: TreeState) -> dict[str, str]:
    """Tags of the MLflow parent run and of the version that it registers, without their common prefix.

    Args:
        work_key: hash of what decides the result, see above.
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
