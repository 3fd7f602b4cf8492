"""Component of the restore_real stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def restore_real(
    params: str,
    code_version: str,
    cohorts: str,
    cohorts_sha256: str,
    evaluation: dsl.Input[dsl.Artifact],
    registration: dsl.Input[dsl.Artifact],
    restored: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Restores the thinned real scan with the registered model and writes the final report.

    `cohorts` is a folder, or SOURCE@SHA: of that commit the single scans are fetched.
    """
    import json

    from scintiflow.cohorts.fetch import cohorts_at
    from scintiflow.cohorts.selection import UNPAIRED
    from scintiflow.stages.door import run_stage

    real = str(cohorts_at(cohorts, json.loads(params)["cohorts"], UNPAIRED))
    inputs = {"cohorts": real, "evaluation": evaluation.path, "registration": registration.path}
    numbers = run_stage("restore_real", params, inputs, {"restored": restored.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
