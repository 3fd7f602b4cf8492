"""Component of the distil_priors stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def distil_priors(
    params: str,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    sam: dsl.Input[dsl.Model],
    priors: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Computes the semantic priors of every study once."""
    from scintiflow.stages.door import run_stage

    inputs = {"dataset": dataset.path, "sam": sam.path}
    numbers = run_stage("distil_priors", params, inputs, {"priors": priors.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
