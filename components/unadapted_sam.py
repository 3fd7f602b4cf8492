"""Component of the unadapted_sam stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def unadapted_sam(
    params: str, code_version: str, sam: dsl.Output[dsl.Model], report: dsl.Output[dsl.Metrics]
) -> None:
    """SAM as it comes."""
    from scintiflow.stages.door import run_stage

    numbers = run_stage("unadapted_sam", params, {}, {"sam": sam.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
