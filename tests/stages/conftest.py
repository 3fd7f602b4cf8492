"""One simulated child's export, for every test of restoring."""

from pathlib import Path

import pytest

from scintiflow.dicom.reading import read_scan
from scintiflow.dicom.reasons import Rejection
from scintiflow.params import PhantomParams, load_params
from scintiflow.phantom.cohort import simulate_cohort


@pytest.fixture(scope="session")
def scans(tmp_path_factory) -> list[Path]:
    """Paths of a child's two scans, rapid first."""
    protocol = load_params(Path(__file__).parents[2] / "params.yaml").ingest.protocol
    folder = tmp_path_factory.mktemp("hospital")
    child = PhantomParams(cohort="one", children=1, seed=4, youngest_years=3.0, oldest_years=4.0, lesions_at_most=0)
    velocities = protocol.standard_velocity_mm_s, protocol.rapid_velocity_mm_s
    simulate_cohort(child, *velocities, folder / "export", folder / "truth", workers=1)
    found = []
    for path in sorted((folder / "export").rglob("*")):
        try:
            found.append((-read_scan(path).velocity_mm_s, path))
        except Rejection:
            continue
    return [path for _, path in sorted(found)]
