"""Component of the evaluate stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    params: str,
    code_version: str,
    truth: str,
    truth_sha256: str,
    dataset: dsl.Input[dsl.Dataset],
    sam: dsl.Input[dsl.Model],
    priors: dsl.Input[dsl.Dataset],
    cascade: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Scores the restorer, the champion and the baselines on held-out patients."""
    from scintiflow.stages.door import run_stage

    paths = {"dataset": dataset.path, "sam": sam.path, "priors": priors.path, "cascade": cascade.path}
    inputs = {"truth": truth, "champion": champion.path} | paths
    numbers = run_stage("evaluate", params, inputs, {"evaluation": evaluation.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
