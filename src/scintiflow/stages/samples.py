"""The sample cohorts of a fresh machine: simulated children, and the one real scan that is public."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from pydicom.data import get_testdata_file

from scintiflow.cohorts.add import add_cohort
from scintiflow.cohorts.tracking import track_cohort
from scintiflow.cohorts.wording import report_lines
from scintiflow.dicom.identity import load_key
from scintiflow.errors import ScintiflowError
from scintiflow.params import Params
from scintiflow.phantom.cohort import simulate_cohort
from scintiflow.stages.graph import SOURCES

GE_COHORT = "ge-millennium"
GE_SCAN = "JPEG-LL.dcm"  # PyPI pydicom-data: whole-body bone scan, GE Millennium, lossless JPEG
DEMONSTRATION_KEY = Path("profiles/public-demonstration.key")
EXPORTS = Path("data/exports")


def make_sample_cohorts(params: Params, root: Path) -> Iterator[str]:
    """Simulate, export, check, de-identify and version; yields what was done, a line each.

    Doing it again changes nothing.
    """
    protocol = params.ingest.protocol
    cohorts, truth = root / SOURCES["cohorts"], root / SOURCES["truth"]
    simulated = root / EXPORTS / params.phantom.cohort
    summary = simulate_cohort(
        params.phantom,
        protocol.standard_velocity_mm_s,
        protocol.rapid_velocity_mm_s,
        export=simulated,
        truth=truth,
    )
    yield summary.sentence()

    exports = {params.phantom.cohort: simulated, GE_COHORT: _ge_export(root / EXPORTS / GE_COHORT)}
    key = load_key(root / DEMONSTRATION_KEY)
    for name, export in exports.items():
        report = add_cohort(export, name, protocol=protocol, key=key, cohorts=cohorts)
        yield from report_lines(report)
        yield from track_cohort(cohorts / name)


def _ge_export(folder: Path) -> Path:
    """The public GE scan, laid out as if a hospital had exported it."""
    source = get_testdata_file(GE_SCAN, download=False)
    if source is None:
        raise ScintiflowError(
            f"the real scan {GE_SCAN} is missing", where="pydicom-data", remedy="Install it again with `make setup`"
        )
    target = folder / GE_SCAN
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return folder
