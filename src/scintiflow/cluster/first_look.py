"""What a scheduled run finds on its day: cohorts and truth on the volume, the champion in the registry.

The arguments of a schedule were fixed when it was made, so they cannot say it. Its first step does, on a CPU, and
hands it to the other steps as parameters. Kubeflow's cache knows a parameter by its value, and an artifact by its
number, which is another one each time a step runs. So where nothing has changed no step runs again, and nobody asks
for a GPU; had ingest run, all that follows would too.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scintiflow.cluster.pins import CONTENT, DVC, Pin, pins_sha256, used_cohorts
from scintiflow.cluster.provenance import provenance, work_key
from scintiflow.cluster.source_tree import TreeState
from scintiflow.cohorts.versions import COHORTS, cohort_versions
from scintiflow.cohorts.withdrawals import LIST
from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file, sha256_tree
from scintiflow.params import Params
from scintiflow.registry.champion import champion_to_beat
from scintiflow.registry.runs import registry_identity


@dataclass(frozen=True)
class FirstLook:
    """Arguments that `pipeline submit` would have found; `tags` are the provenance of the run and of its model."""

    cohorts_sha256: str
    truth_sha256: str
    registry: str
    champion_to_beat: str
    tags: dict[str, str]


def look_around(params: Params, commit: str, cohorts: Path, truth: Path) -> FirstLook:
    """Arguments: the recipe and the commit that held it when the schedule was made; folders of the volume.

    The same cohorts, truth and recipe give the same arguments and work key as in a submitted run, as long as no
    patient was withdrawn: a submitter refuses such a cohort, ingest leaves the patient out.
    Raises ScintiflowError if a cohort is not there or MLflow does not answer.
    """
    pins = found_versions(cohorts, used_cohorts(params))
    contents = {"cohorts_sha256": _with_withdrawn(cohorts, pins_sha256(pins)), "truth_sha256": sha256_tree(truth)}
    key = work_key(params, contents)
    return FirstLook(
        **contents,
        registry=registry_identity(),
        champion_to_beat=champion_to_beat(params.register_.model_name, key),
        tags=provenance(key, contents, pins, TreeState(commit, (), b"")),
    )


def found_versions(cohorts: Path, names: Iterable[str]) -> tuple[Pin, ...]:
    """What the .dvc files beside the cohorts say, as `pins.pin_cohorts` does with a git repository at hand."""
    has_pointers = cohorts.parts[-len(COHORTS.parts) :] == COHORTS.parts
    tracked = cohort_versions(cohorts.parents[len(COHORTS.parts) - 1]) if has_pointers else {}
    pins = []
    for name in names:
        if not (cohorts / name).is_dir():
            raise ScintiflowError(
                "this cohort is not on the volume",
                where=cohorts / name,
                remedy="Bring it with infra/kubernetes/pull-cohorts, or take its name out of the recipe",
            )
        version = f"{DVC}{tracked[name].md5}" if name in tracked else f"{CONTENT}{sha256_tree(cohorts / name)}"
        pins.append(Pin(name, version, is_here=True))
    return tuple(pins)


def _with_withdrawn(cohorts: Path, versions_sha256: str) -> str:
    """A new withdrawal makes ingest run again, also where the version of the cohort has stayed."""
    if not (cohorts / LIST).is_file():
        return versions_sha256
    return hashlib.sha256(json.dumps([versions_sha256, sha256_file(cohorts / LIST)]).encode()).hexdigest()
