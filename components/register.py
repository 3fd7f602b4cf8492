"""Component of the register stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def register(
    params: str,
    code_version: str,
    registry: str,
    cascade: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    registration: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Asks the gate and registers a model version. `registry` says which registry is meant."""
    from scintiflow.stages.door import run_stage

    inputs = {"cascade": cascade.path, "evaluation": evaluation.path}
    numbers = run_stage("register", params, inputs, {"registration": registration.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
