import sys
from pathlib import Path

import pytest

from scintiflow.cohorts import listing

sys.path.append(str(Path(__file__).parents[1] / "dicom"))  # dicom_samples


@pytest.fixture(autouse=True)
def _impatience(monkeypatch):
    """Transfers are tried as often as ever, without the seconds in between: nothing here comes back by waiting."""
    monkeypatch.setattr(listing, "LONGER_EACH_TIME", 0.05)
