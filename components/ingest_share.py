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
    """Registers and packs the pairs of one share of the patients, for ingest to find.

    Inputs as of ingest; of a pinned commit nothing but the scans of these patients is fetched.
    """
    from pathlib import Path

    from scintiflow.cohorts.fetch import cohorts_at, patients_at
    from scintiflow.cohorts.selection import EVERYTHING, Selection
    from scintiflow.dataset.shares import Share
    from scintiflow.files import write_json
    from scintiflow.params import parse_section
    from scintiflow.stages.ingest import Inputs, run_share

    section, own = parse_section("ingest", params), Share(share, shares)
    wanted = EVERYTHING  # pictures have no record that says whose they are
    if section.source == "dicom":
        wanted = Selection(patients=frozenset(filter(own.holds, patients_at(cohorts, section.cohorts))))
    numbers = run_share(section, Inputs(cohorts_at(cohorts, section.cohorts, wanted)), own)
    write_json(Path(report.path), numbers)
    for name, value in numbers.items():
        report.log_metric(name, value)
