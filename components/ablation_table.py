"""Component of the ablation_table stage."""

from typing import List  # noqa: UP035  Kubeflow reads the annotation

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ablation_table(
    params: str,
    code_version: str,
    scores: dsl.Input[List[dsl.Dataset]],  # noqa: UP006
    table: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Gathers the scores of all arms and seeds into one table."""
    import shutil
    import tempfile

    from scintiflow.stages.door import run_stage

    with tempfile.TemporaryDirectory() as gathered:
        for number, part in enumerate(scores):
            shutil.copytree(part.path, f"{gathered}/{number:03d}")
        numbers = run_stage(
            "ablation_table", params, {"scores": gathered}, {"table": table.path}, report.path, code_version
        )
    for name, value in numbers.items():
        report.log_metric(name, value)
