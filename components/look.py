"""Component that finds out what there is to do; no stage, for it makes nothing."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def look(recipe: str, commit: str, cohorts: str, truth: str) -> NamedTuple(
    "Found", cohorts_sha256=str, truth_sha256=str, registry=str, champion_to_beat=str, tags=str
):
    """Versions on the volume and the champion in the registry, which a schedule could not know when it was made."""
    import json
    from collections import namedtuple
    from pathlib import Path

    from scintiflow.cluster.first_look import look_around
    from scintiflow.params import Params

    found = look_around(Params.model_validate_json(recipe), commit, Path(cohorts), Path(truth))
    print(json.dumps(found.tags, indent=2))
    values = vars(found) | {"tags": json.dumps(found.tags)}
    return namedtuple("Found", values)(**values)
