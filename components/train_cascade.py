"""Component of the train_cascade stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train_cascade(
    params: str,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    priors: dsl.Input[dsl.Dataset],
    cascade: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Trains f^IR1 and f^IR2 with SPI, SKD and SCM."""
    from scintiflow.stages.door import run_stage

    inputs = {"dataset": dataset.path, "priors": priors.path}
    numbers = run_stage("train_cascade", params, inputs, {"cascade": cascade.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
