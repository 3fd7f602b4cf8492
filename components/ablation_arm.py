"""Component of the ablation_arm stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ablation_arm(
    arm: str,
    code_version: str,
    dataset: dsl.Input[dsl.Dataset],
    priors: dsl.Input[dsl.Dataset],
    unadapted_priors: dsl.Input[dsl.Dataset],
    scores: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Trains and scores one arm with one seed. `arm` is JSON: `params`, `truth`, `truth_sha256`."""
    import json

    from scintiflow.stages.door import run_stage

    wanted = json.loads(arm)
    inputs = {
        "dataset": dataset.path,
        "priors": priors.path,
        "unadapted_priors": unadapted_priors.path,
        "truth": wanted["truth"],
    }
    params = json.dumps(wanted["params"])
    numbers = run_stage("ablation_arm", params, inputs, {"scores": scores.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
