"""Component of the fetch_champion stage."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fetch_champion(
    params: str,
    code_version: str,
    registry: str,
    to_beat: str,
    champion: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Fetches the champion by its alias. `registry` and `to_beat` tell the cache which registry and champion."""
    from scintiflow.stages.door import run_stage

    numbers = run_stage("fetch_champion", params, {}, {"champion": champion.path}, report.path, code_version)
    for name, value in numbers.items():
        report.log_metric(name, value)
