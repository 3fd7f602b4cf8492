"""The end of a pipeline run on a cluster: the run, and the model that it made, say what they were made of."""

import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from scintiflow.registry.lineage import RECIPE
from scintiflow.registry.models import tag_version
from scintiflow.registry.runs import PARENT_TAG, STAGE_TAG, end_parent, find_parent, open_client
from scintiflow.registry.surroundings import surroundings

PREFIX = "scintiflow."
COHORT = "scintiflow.cohort."
PROVENANCE = ("work_key", "git_sha", "tree", "cohorts_sha256", "truth_sha256", "diff_sha256")


def close_cluster_run(tags: dict[str, str], report: Path, recipe: str = "") -> str | None:
    """End the parent run as FINISHED with the report; its id, or None if every stage was reused.

    Which cohorts were read is taken from the stages that read them, where the submitter did not say (a schedule).
    The model version that this run registered gets the same tags.

    Args:
        tags: provenance, without the common prefix; what the submitter left with the run stands.
        recipe: JSON of the whole recipe, if the submitter left none with the run.
    """
    where = surroundings()
    client = open_client(where)
    parent = find_parent(client, where)
    if parent is None:
        return None
    run_id = parent.info.run_id
    stages = client.search_runs([parent.info.experiment_id], filter_string=f"tags.`{PARENT_TAG}` = '{run_id}'")
    read = {name.removeprefix(PREFIX): value for stage in stages for name, value in _cohorts(stage).items()}
    own = {name.removeprefix(PREFIX): value for name, value in parent.data.tags.items() if name.startswith(PREFIX)}
    found = tags | read | own
    with tempfile.TemporaryDirectory() as folder:
        artifacts = [report]
        if recipe:
            artifacts.append(Path(folder) / RECIPE)
            artifacts[-1].write_text(recipe, encoding="utf-8")
        end_parent(client, parent, "FINISHED", {}, tags | read, artifacts)
    kept = {name: value for name, value in found.items() if name in PROVENANCE or name.startswith("cohort")}
    for register in stages:
        if register.data.tags.get(STAGE_TAG) == "register" and register.info.status == "FINISHED":
            _tag_its_version(client, register.info.run_id, kept | {"pipeline_run_id": run_id})
    return run_id


def _cohorts(stage: Run) -> dict[str, str]:
    return {name: value for name, value in stage.data.tags.items() if name.startswith(COHORT)}


def _tag_its_version(client: MlflowClient, register_run: str, tags: dict[str, str]) -> None:
    for version in client.search_model_versions(f"run_id = '{register_run}'"):
        tag_version(version.name, str(version.version), tags)
