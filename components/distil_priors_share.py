"""Component that does a share of distil_priors' work ahead of it."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def distil_priors_share(
    params: str,
    code_version: str,
    share: int,
    shares: int,
    dataset: dsl.Input[dsl.Dataset],
    sam: dsl.Input[dsl.Model],
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Computes the priors of one share of the patients into the store that distil_priors reads.

    `code_version` tells the cache which code; the store's keys say it again.
    """
    from pathlib import Path

    from scintiflow.files import write_json
    from scintiflow.params import parse_section
    from scintiflow.stages.distil_priors import Inputs, run_share

    inputs = Inputs(Path(dataset.path), Path(sam.path))
    numbers = run_share(parse_section("distil_priors", params), inputs, share, shares)
    write_json(Path(report.path), numbers)
    for name, value in numbers.items():
        report.log_metric(name, value)
