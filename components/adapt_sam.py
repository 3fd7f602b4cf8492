"""Component of the adapt_sam stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def adapt_sam(
    params: str,
    code_version: str,
    truth: str,
    truth_sha256: str,
    dataset: dsl.Input[dsl.Dataset],
    sam: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Adapts SAM to bone scans. `truth` holds the exact masks of simulated children, if any."""
    from scintiflow.stages.door import run_stage

    inputs = {"truth": truth, "dataset": dataset.path}
    numbers = run_stage("adapt_sam", params, inputs, {"sam": sam.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
