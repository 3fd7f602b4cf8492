"""Component that does a share of ingest's work ahead of it."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest_share(
    params: str,
    code_version: str,
    cohorts: str,
    cohorts_sha256: str,
    share: int,
    shares: int,
    report: dsl.Output[dsl.Metrics],
) -> None:
    """Registers and packs the pairs of one share of the patients, for ingest to find. Inputs as of ingest."""
    import json
    from pathlib import Path

    from scintiflow.cohorts.fetch import cohorts_at
    from scintiflow.files import write_json
    from scintiflow.params import parse_section
    from scintiflow.stages.ingest import Inputs, run_share

    inputs = Inputs(cohorts_at(cohorts, json.loads(params)["cohorts"]))
    numbers = run_share(parse_section("ingest", params), inputs, share, shares)
    write_json(Path(report.path), numbers)
    for name, value in numbers.items():
        report.log_metric(name, value)
