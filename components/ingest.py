"""Component of the ingest stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    params: str,
    code_version: str,
    cohorts: str,
    cohorts_sha256: str,
    dataset: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Cohorts in, packed data set out. `cohorts` is a folder, or SOURCE@SHA: fetched at that commit.

    `cohorts_sha256` makes the cache see changed content.
    """
    import json

    from scintiflow.cohorts.fetch import cohorts_at
    from scintiflow.stages.door import run_stage

    inputs = {"cohorts": str(cohorts_at(cohorts, json.loads(params)["cohorts"]))}
    numbers = run_stage("ingest", params, inputs, {"dataset": dataset.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
